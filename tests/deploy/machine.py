"""A machine for a test, booted by systemd in namespaces: its files are this one's under a layer that goes with it, its
network is its own, and nothing in it is a stand-in. A boot takes half a second."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000


class Machine:
    """`with Machine() as machine: machine.run("systemctl", "status")`"""

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
            undo.callback(shutil.rmtree, self.folder)
            _mount(undo, "tmpfs", self.folder, "size=1G")
            for name in ("upper", "work", "root"):
                (self.folder / name).mkdir()
            self.root = self.folder / "root"
            layers = f"lowerdir=/,upperdir={self.folder}/upper,workdir={self.folder}/work"
            _mount(undo, "overlay", self.root, layers)
            # Images for containers forbid packages to start and stop services; a machine does not.
            (self.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
            self._boot(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self._undo.close()

    def _boot(self, undo):
        notices = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notices.bind(str(self.folder / "notices"))
        notices.settimeout(60)
        command = [
            "systemd-nspawn",
            "--quiet",
            f"--directory={self.root}",
            "--private-network",
            "--boot",
            "--register=no",
        ]
        command += ["--keep-unit", "--link-journal=no", "--console=pipe", "--notify-ready=yes", "--hostname=machine"]
        # Start only the units of every system, and none that this one happens to have installed.
        command += ["systemd.unit=basic.target"]
        output = undo.enter_context(open(self.folder / "console", "w"))
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notices")}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        undo.callback(process.wait, 30)
        while True:
            notice = dict(line.split("=", 1) for line in notices.recv(65536).decode().split("\n") if "=" in line)
            if "X_NSPAWN_LEADER_PID" in notice:
                self.pid = int(notice["X_NSPAWN_LEADER_PID"])
                # When its first process ends, so do the machine and every process in it.
                undo.callback(os.kill, self.pid, signal.SIGKILL)
            if notice.get("READY") == "1":
                return

    def inside(self, *command):
        """The command that runs `command` in the machine."""
        return ["nsenter", "--target", str(self.pid), "--all", "--", *map(str, command)]

    def run(self, *command, check=True, **options):
        """Runs a command to its end; its output is text."""
        done = subprocess.run(self.inside(*command), capture_output=True, text=True, timeout=150, **options)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, *command):
        """Starts a process that ends with the machine, if not before."""
        process = subprocess.Popen(self.inside(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._undo.callback(process.wait, 30)
        self._undo.callback(process.kill)

    def copy(self, source, path):
        """Puts a file into the machine, executable if it was: not under /run or /tmp, which the machine mounts."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    def connect(self, port):
        """A connection to a port of the machine. A socket belongs to the network in which its thread made it."""
        result = []

        def dial():
            try:
                with open(f"/proc/{self.pid}/ns/net") as network:
                    if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                result.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            except OSError as error:
                result.append(error)

        thread = threading.Thread(target=dial)
        thread.start()
        thread.join()
        if isinstance(result[0], OSError):
            raise result[0]
        return result[0]

    def wait_for_port(self, port):
        """Waits until a program listens there."""
        until(lambda: self.run("ss", "--no-header", "--listening", "--tcp", f"sport = :{port}").stdout)


def until(condition, seconds=30):
    """Repeats the question until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)
    return answer


def _mount(undo, kind, target, options):
    subprocess.run(["mount", "-t", kind, "-o", options, kind, target], check=True)
    undo.callback(subprocess.run, ["umount", "--lazy", target], check=True)
