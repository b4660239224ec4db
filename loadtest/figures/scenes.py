"""The scenes of loadtest/million. They run on the machine with the connections: this one, or the guest."""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import load
import servers
import watch

STEPS = 10
# Open files that requests to the admin port may need while files are counted.
SLACK = 20
# A message a minute on each connection; an emulated machine carries that rate.
EVERY_S = 60
EMULATED_RATE = 1000
PEERS = ("proxy-echo", "tokio", "go", "haproxy")
# The requests of the status page, every 2 s, and a search through all connections, in turn.
PAGE = [
    "/status.json",
    "/connections.json?sort=number&order=desc&offset=0&limit=100",
    "/balancers.json",
    "/history.json",
]
SEARCHES = [
    "/connections.json?sort=bytes_in&limit=1000",
    "/connections.json?sort=idle&order=asc&offset=9000&limit=1000",
    "/connections.json?filter=127.0.0.7&sort=age",
]
ANSWER_LIMIT_S = 600
# Most calls in a turn of the loop: 128 accepts, and 16 of the admin port; a turn of each of 256 events, and of 256
# connections of each of two queues; a close in each of these, of 128 connections whose time is over, and of 128 when
# the server ends.
CAPS = {"accept4": 128 + 16, "recvfrom": 3 * 256 + 16, "sendto": 2 * 3 * 256 + 16, "close": 3 * 256 + 128 + 128 + 16}
CHILDREN = []
CLEAN = ("connections_failed", "connections_lost", "requests_unanswered")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--peers", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--emulated", action="store_true")
    return parser.parse_args()


class Server:
    """A proxy-echo that gets its sockets passed, as from a service manager."""

    def __init__(self, stage, *options):
        command = [str(stage.release / "proxy-echo"), "--log", "quiet", "--log-format", "json", *options]
        self.trace = stage.options.out.with_suffix(".trace")
        if stage.options.trace:
            calls = ",".join(["trace=epoll_wait", "epoll_pwait", *CAPS])
            # With strace as the server's grandchild, this script is the server's parent.
            command = ["strace", "-D", "-f", "-q", "-s", "0", "-e", calls, "-o", str(self.trace), *command]
        first, second = (listener.fileno() for listener in stage.listeners)
        # bash, because sh allows descriptors of only one digit.
        passing = f'LISTEN_PID=$$ LISTEN_FDS=2 exec "$@" 3<&{first} 4<&{second}'
        as_manager = ["bash", "-c", passing, "bash"]
        self.told = []
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"proxy-echo-{os.getpid()}-{id(self)}"
        self.manager.bind(f"\0{name}")
        self.process = started(
            [*as_manager, *command],
            stdin=subprocess.DEVNULL,
            pass_fds=(first, second),
            env=os.environ | {"NOTIFY_SOCKET": f"@{name}"},
        )
        self.events = {}
        self.news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()
        self.event("listening")

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self.news:
                self.events[event["event"]] = event | {"at": time.monotonic()}
                self.news.notify_all()

    def _listen(self):
        """The server's notices to its service manager."""
        while True:
            self.told.append(self.manager.recv(4096).decode())

    def event(self, name):
        """Waits for an event of the log."""
        with self.news:
            if not self.news.wait_for(lambda: name in self.events, ANSWER_LIMIT_S):
                raise SystemExit(f"the server does not come to {name}: {self.events}")
            return self.events[name]

    def status(self, name):
        return watch.status(self.process.pid, name)

    def get(self, path):
        """An answer of its admin port."""
        url = f"http://{self.event('admin_listening')['address']}{path}"
        with urllib.request.urlopen(url, timeout=ANSWER_LIMIT_S) as answer:
            return answer.read().decode()

    def most_calls(self):
        """The most of each system call between two waits for events, from strace's output after the server has ended."""
        turn, most = Counter(), Counter()
        for line in self.trace.open(errors="replace"):
            # Calls of the log's thread are few, and count too.
            call = re.match(r"\d+ +(?:<\.\.\. )?(\w+)[ (]", line)
            if call and call[1].startswith("epoll") and "resumed" not in line:
                turn.clear()
            elif call and call[1] in CAPS and "resumed" not in line:
                turn[call[1]] += 1
                most[call[1]] = max(most[call[1]], turn[call[1]])
        return most

    def metric(self, name):
        return float(re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics"), re.MULTILINE)[1])


class Stage:
    """Where the scenes take place."""

    def __init__(self, options):
        self.options = options
        self.release = options.programs
        # Two ports, because the source ports for one destination are used up sooner.
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=4096) for _ in range(2)]
        self.ports = [listener.getsockname()[1] for listener in self.listeners]
        self.started = time.monotonic()
        self.slab = watch.slab()
        self.counters = watch.kernel_counters()
        self.drops = {}
        self.problems = []

    def check_turns(self, server):
        """With --trace: compares the system calls of the server's turns with their caps."""
        most = server.most_calls() if self.options.trace else {}
        over = {call: count for call, count in most.items() if count > CAPS[call]}
        if over or (self.options.trace and most["accept4"] == 0):
            self.problems.append(f"calls in a turn: {dict(most)}, caps {CAPS}")
        return dict(most)

    def scene_ends(self, scene):
        """Notes the packets that the kernel dropped in the scene, and the memory in socket buffers now."""
        now = watch.kernel_counters()
        counts = {name: now[name] - self.counters[name] for name in now if now[name] > self.counters[name]}
        self.counters = now
        self.drops[scene] = counts
        self.say(f"{scene}: the kernel's drops {counts or 'none'}, {watch.sockstat('mem'):,} pages in buffers")

    def say(self, text):
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    def load(self, command, *arguments):
        """Starts the load generator."""
        waits = ["--max-lag", "1s", "--max-wait", "1"] if self.options.emulated else []
        known = ["--proxy", "v1", "--expect-reflect", "yes", "--timeout", "120s", "--quiet", "--json"]
        targets = [f"127.0.0.1:{port}" for port in self.ports]
        generator = [str(self.release / "loadtest"), command, *targets, *known, *waits, *arguments]
        return started(generator, stderr=subprocess.PIPE, text=True)

    def result(self, generator, scene, may_lose=False, codes=(0, 3, 4, 5)):
        """The generator's result; its errors are kept as problems. A generator or machine that is too slow (3, 4, 5) is not one."""
        output, errors = generator.communicate(timeout=ANSWER_LIMIT_S)
        if not output:
            raise SystemExit(f"{scene}: {errors.strip()}")
        found = json.loads(output)
        totals = found["totals"]
        counts = {kind: totals[kind] for kind in CLEAN} | totals["verification"]
        if may_lose:
            del counts["connections_lost"]
        wrong = {kind: count for kind, count in counts.items() if count}
        if wrong or generator.returncode not in codes:
            self.problems.append(f"{scene}: {wrong or found['verdict']['words']} {totals['errors'] or ''}")
        return found

    def opening(self, generator, server, base):
        """Waits until all connections are open, in addition to `base` files. Returns figures at each tenth of them."""
        rows, count, step = [], self.options.connections, 0
        before = (time.monotonic(), 0)
        while step < STEPS:
            opened = watch.open_files(server.process.pid) - base + SLACK
            if opened < count * (step + 1) // STEPS:
                if generator.poll() is not None:
                    break  # its result tells why
                if time.monotonic() - before[0] > ANSWER_LIMIT_S:
                    raise SystemExit(f"no more than {opened:,} connections are open")
                time.sleep(0.02)
                continue
            now = time.monotonic()
            step = opened * STEPS // count
            row = {
                "open": count * step // STEPS,
                "server": server.status("VmRSS"),
                "loadtest": watch.status(generator.pid, "VmRSS"),
                "kernel": watch.slab() - self.slab,
                "per_second": (opened - before[1]) / (now - before[0]),
            }
            rows.append(row)
            self.say(f"{row['open']:,} open, {row['per_second']:,.0f} connects/s, {mib(row['server'])} the server's")
            before = (now, opened)
        return rows


def quiet_ones(stage):
    """The scenes without an admin port: opening, idle, others that come and go, and a restart. Returns the new server."""
    options = stage.options
    drain_s = 30 if options.connections >= 100_000 else 1
    server = Server(stage, "--idle-timeout", "0", "--drain-timeout", f"{drain_s}s")
    before = server.status("VmRSS")
    waits = watch.Waits(stage.ports[0])
    base = watch.open_files(server.process.pid)
    idle = stage.load("idle", "-c", str(options.connections), "-d", "24h", "--warmup", "0s")
    rows = stage.opening(idle, server, base)
    time.sleep(min(5, options.seconds))
    stage.scene_ends("opening")

    waits.scene = "idle"
    cpu = watch.cpu_s(server.process.pid)
    time.sleep(options.seconds)
    found = {"before": before, "rows": rows, "seconds": options.seconds}
    found["idle"] = {"server": server.status("VmRSS"), "peak": server.status("VmHWM")}
    found["idle"]["cpu"] = (watch.cpu_s(server.process.pid) - cpu) / options.seconds
    found["idle"]["loadtest"], found["idle"]["kernel"] = watch.status(idle.pid, "VmRSS"), watch.slab() - stage.slab
    stage.say(f"idle: {found['idle']}")

    waits.scene = "coming and going"
    comers = ["-c", "50", "-d", f"{options.seconds:g}s"]
    churn = stage.result(stage.load("crr", *comers), waits.scene)
    found["churn"] = figures(churn)
    stage.say(f"others come and go beside them: {found['churn']}")

    stage.scene_ends(waits.scene)
    waits.scene = "restart"
    new = Server(stage, "--idle-timeout", "0", "--admin", "127.0.0.1:0")
    ended = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    stopping = server.event("stopping")
    accepted = new.metric("proxy_echo_connections_accepted_total")
    comers = stage.result(stage.load("crr", *comers), waits.scene)
    accepted = new.metric("proxy_echo_connections_accepted_total") - accepted
    found["restart"] = figures(comers) | {"had": stopping["connections"], "to_the_new": accepted}
    stage.say(f"restart: {found['restart']}")
    if accepted < comers["totals"]["connections_opened"] or stopping["connections"] < options.connections:
        stage.problems.append(f"restart: {found['restart']}, but {comers['totals']['connections_opened']} connected")
    server.process.wait(ANSWER_LIMIT_S)
    ended = server.event("terminated")["at"] - ended
    cut = server.events.get("cut", {"connections": 0})
    found["end"] = {"seconds": ended, "drain_s": drain_s, "cut": cut["connections"], "code": server.process.returncode}
    found["end"]["asked_for_time"] = sum("EXTEND_TIMEOUT_USEC" in news for news in server.told)
    stage.say(f"end: {found['end']}")
    idle.send_signal(signal.SIGINT)
    # The server counted all connections when it was told to stop. Some of its closes may still be under way.
    result = stage.result(idle, "idle", may_lose=True, codes=(1, 3, 128 + signal.SIGINT))
    if result["totals"]["connections_opened"] != options.connections or server.process.returncode != 0:
        stage.problems.append(f"idle: {result['totals']['connections_opened']} opened, {found['end']}")
    stage.scene_ends(waits.scene)
    found["waits"] = waits.end()
    found["calls"] = stage.check_turns(server)
    return found, new


def speaking_ones(stage, server):
    """The scenes with an admin port, which gets requests all the time: all connections open again, and each sends a line now and then."""
    options = stage.options
    rate = options.connections / EVERY_S
    rate = min(rate, EMULATED_RATE) if options.emulated else rate
    found = {"before": server.status("VmRSS"), "rate": rate, "every_s": options.connections / rate}
    waits = watch.Waits(stage.ports[0])
    base = watch.open_files(server.process.pid)
    asking = {"/metrics": watch.Asking(server, 5, ["/metrics"])}
    asking |= {"page": watch.Asking(server, 2, PAGE), "searches": watch.Asking(server, 10, SEARCHES)}
    seconds = 3 * options.seconds
    load_arguments = ["-c", str(options.connections), "-R", str(rate), "-d", f"{seconds:g}s", "--warmup", "1s"]
    lines = stage.load("rr", *load_arguments)
    found["rows"] = stage.opening(lines, server, base)
    waits.scene = "lines, admin port asked"
    found |= {"server": server.status("VmRSS"), "peak": server.status("VmHWM")}
    while lines.poll() is None:
        resident = server.status("VmRSS")
        time.sleep(0.2)
        if watch.open_files(server.process.pid) < options.connections:
            break
        found |= {"server": resident, "peak": server.status("VmHWM"), "loadtest": watch.status(lines.pid, "VmRSS")}
    found["lines"] = figures(
        stage.result(
            lines,
            waits.scene,
        )
    )
    stage.scene_ends(waits.scene)
    found["asking"] = {name: thread.end() for name, thread in asking.items()}
    stage.problems += [error for thread in asking.values() for error in thread.errors]
    found["turns"] = [
        (bound, int(float(count)))
        for bound, count in re.findall(r'loop_turn_seconds_bucket{le="([^"]+)"} (\S+)', server.get("/metrics"))
    ]
    stage.say(f"lines: {found['lines']}; {found['asking']}; {mib(found['server'])}, at most {mib(found['peak'])}")
    found["waits"] = waits.end()
    server.process.send_signal(signal.SIGTERM)
    if code := server.process.wait(ANSWER_LIMIT_S):
        stage.problems.append(f"the new server ends with {code}")
    found["calls"] = stage.check_turns(server)
    return found


def peer(stage, name, found):
    """Measures the alternatives, with the same number of idle connections."""
    options = stage.options
    workshop = servers.Workshop(load.cores()[0], options.target)
    with workshop.running(servers.SERVERS[name]) as (address, process):
        command = ["idle", address, "-c", str(options.peers), "--proxy", "v1", "--expect-reflect", "yes", "-d", "1s"]
        command += ["--server-pid", str(process.pid), "--timeout", "300s", "--quiet", "--json"]
        done = subprocess.run([stage.release / "loadtest", *command], capture_output=True, text=True, check=False)
    result = json.loads(done.stdout) if done.stdout else None
    if not result or any(result["totals"][kind] for kind in CLEAN):
        stage.problems.append(f"{name}: {result['totals'] if result else done.stderr.strip()}")
        return
    rate = options.peers / result["setup_s"]
    found[name] = {"bytes": result["server"]["rss_per_connection_bytes"], "per_second": rate}
    stage.say(f"{name}, {options.peers:,} idle: {found[name]}")


def started(command, **options):
    """A process out of reach of the terminal's Ctrl-C: this script ends it."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **options)
    CHILDREN.append(process)
    return process


def figures(result):
    """The figures to keep of a result."""
    run = result["runs"][0]
    kept = {key: run[key] for key in ("rate", "p50_ns", "p99_ns", "max_ns")}
    return kept | {"completed": result["totals"]["measured_completed"], "verdict": result["verdict"]}


def mib(size):
    return f"{size / 2**20:.1f} MiB"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    stage = Stage(options)
    found = {"problems": stage.problems, "drops": stage.drops, "peers": {}}

    def keep():
        options.out.write_text(json.dumps(found))

    found["quiet"], server = quiet_ones(stage)
    keep()
    found["speaking"] = speaking_ones(stage, server)
    keep()
    for name in PEERS if options.peers else []:
        try:
            peer(stage, name, found["peers"])
        except SystemExit as error:
            stage.problems.append(str(error))
        keep()
    found["is_whole"] = True
    keep()


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        for child in CHILDREN:
            child.kill()
