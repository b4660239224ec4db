"""What is seen from outside while a scene of loadtest/million goes on: by clients, by the admin port, by the kernel."""

import contextlib
import os
import re
import socket
import threading
import time
from pathlib import Path

# Connects and segments that the kernel drops, and its shortage of memory for sockets.
DROPS = (
    "ListenOverflows ListenDrops TCPBacklogDrop TCPRcvQDrop TCPReqQFullDrop PruneCalled TCPMemoryPressures TCPTimeouts"
).split()


class Waits(threading.Thread):
    """One more client, which sends a line ten times a second: its longest wait in each scene shows the longest turn."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n")
        self.socket.recv(1024)
        self.longest = {}
        self.scene = "opening"
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                started, scene = time.monotonic(), self.scene
                self.socket.sendall(b"Hello\r\n")
                if not self.socket.recv(1024):
                    return
                self.longest[scene] = max(self.longest.get(scene, 0), time.monotonic() - started)
                time.sleep(0.1)

    def end(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        return self.longest


class Asking(threading.Thread):
    """Requests some paths of the admin port again and again."""

    def __init__(self, server, every_s, paths):
        super().__init__(daemon=True)
        self.server, self.every_s, self.paths = server, every_s, paths
        self.answers, self.longest, self.errors = 0, 0, []
        self.is_over = threading.Event()
        self.start()

    def run(self):
        while not self.is_over.is_set():
            for path in self.paths:
                started = time.monotonic()
                try:
                    self.server.get(path)
                except (OSError, ValueError) as error:
                    self.errors.append(f"{path}: {error}")
                    continue
                self.answers += 1
                self.longest = max(self.longest, time.monotonic() - started)
            self.is_over.wait(self.every_s)

    def end(self):
        self.is_over.set()
        self.join()
        return {"answers": self.answers, "longest_s": self.longest}


def open_files(pid):
    """The number of a process's open files; before Linux 6.2, half of the machine's sockets instead."""
    count = os.stat(f"/proc/{pid}/fd").st_size
    if count:
        return count
    return sockstat("inuse") // 2


def sockstat(name):
    """A figure of /proc/net/sockstat about TCP."""
    line = re.search(r"^TCP: (.*)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)[1]
    return int(re.search(rf"{name} (\d+)", line)[1])


def kernel_counters():
    """The kernel's counters of drops, by their names (nstat)."""
    names, values = Path("/proc/net/netstat").read_text().splitlines()[:2]
    counters = dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
    dropped = sum(int(line.split()[1], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines())
    return {name: counters[name] for name in DROPS if name in counters} | {"softnet dropped": dropped}


def status(pid, name):
    """A size from /proc/PID/status, in bytes."""
    return int(re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]) * 1024


def slab():
    """The kernel's objects on this machine in bytes, sockets included."""
    return int(re.search(r"^Slab:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)[1]) * 1024


def cpu_s(pid):
    """A process's CPU time in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
