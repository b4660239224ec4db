"""The measured servers: installs their packages, builds, starts and ends them."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "loadtest" / "peers"
# In an emulated machine they take longer.
START_LIMIT_S = 180
# Where Debian has HAProxy.
os.environ["PATH"] += ":/usr/sbin"


@dataclasses.dataclass(frozen=True)
class Server:
    """A server. In its commands {peers} is the folder of its source, {out} the folder of its build, {port} its port."""

    name: str
    about: str
    command: str
    package: str = ""
    build: str = ""
    version: str = ""
    # Its threads end with their connections, so that loadtest could not count their CPU time.
    threads_end: bool = False


CARGO = "cargo build --release --quiet --locked --manifest-path {peers}/Cargo.toml --target-dir {out} --bin "

SERVERS = {
    server.name: server
    for server in (
        Server(
            "floor",
            "C: the least that a single-threaded epoll echo can do",
            "{out}/floor {port}",
            "gcc libc6-dev",
            "gcc -O2 -o {out}/floor {peers}/floor.c",
            "gcc -dumpfullversion",
        ),
        Server("proxy-echo", "this server, --log quiet", "{release}/proxy-echo --listen 127.0.0.1:{port} --log quiet"),
        Server("proxy-echo+log", "this server as it comes", "{release}/proxy-echo --listen 127.0.0.1:{port}"),
        Server("tokio", "Rust: tokio and ppp", "{out}/release/tokio {port}", "gcc libc6-dev", CARGO + "tokio"),
        Server(
            "threads",
            "Rust: std threads and ppp",
            "{out}/release/threads {port}",
            "gcc libc6-dev",
            CARGO + "threads",
            threads_end=True,
        ),
        Server(
            "go",
            "Go: a goroutine each",
            "{out}/go {port}",
            "golang-go",
            "go build -o {out}/go {peers}/echo.go",
            "go version",
        ),
        Server("node", "Node: events and a pipe", "node {peers}/node.js {port}", "nodejs", version="node --version"),
        Server("haproxy", "HAProxy: its Lua", "haproxy -db -f {peers}/haproxy.cfg", "haproxy", version="haproxy -v"),
        Server(
            "ruby",
            "Ruby: the article's",
            "ruby {peers}/ruby.rb {port}",
            "ruby",
            version="ruby --version",
            threads_end=True,
        ),
    )
}


def install(servers):
    """Installs missing packages by apt."""
    # A program on the path may come from elsewhere than apt, and is used as well.
    programs = {"golang-go": "go", "nodejs": "node", "haproxy": "haproxy", "ruby": "ruby", "gcc": "gcc"}
    install_packages({package: programs.get(package) for server in servers for package in server.package.split()})


def install_packages(programs):
    """Installs by apt those packages whose programs are not on the path; if a package names no program, unless it is installed."""
    if not shutil.which("apt-get"):
        return
    missing = []
    for package, program in sorted(programs.items()):
        if program and shutil.which(program):
            continue
        query = ["dpkg-query", "-W", "-f", "${Status}", package]
        status = subprocess.run(query, capture_output=True, text=True, check=False).stdout
        if not status.startswith("install ok installed"):
            missing.append(package)
    if missing:
        print(f"installing {' '.join(missing)}", flush=True)
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*as_root, "apt-get", "update", "-qq"], check=True)
        apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        subprocess.run([*as_root, *apt, *missing], stdout=subprocess.DEVNULL, check=True)


class Workshop:
    """The place where all servers are built and started."""

    def __init__(self, core, target=None):
        self.core = core
        target = target or self._target()
        self.release = target / "release"
        self.out = target / "peers"

    @staticmethod
    def _target():
        metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
        found = subprocess.run(metadata, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return Path(json.loads(found)["target_directory"])

    def build(self, servers):
        """Builds the generator and the servers."""
        self.out.mkdir(parents=True, exist_ok=True)
        print("building", flush=True)
        ours = ["cargo", "build", "--release", "--quiet", "--locked", "--workspace", "--bins"]
        subprocess.run(ours, cwd=ROOT, check=True)
        for server in servers:
            if server.build:
                subprocess.run(self._words(server.build), cwd=PEERS, check=True)

    @contextlib.contextmanager
    def running(self, server):
        """Starts it on its core; yields its address and process, and ends it."""
        port = _free_port()
        environment = os.environ | {"PORT": str(port), "PEERS": str(PEERS)}
        command = ["taskset", "-c", str(self.core), *self._words(server.command, port)]
        # Out of reach of the terminal's Ctrl-C: this script ends it.
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _wait_until_it_listens(server, process, port)
            yield f"127.0.0.1:{port}", process
        finally:
            process.kill()
            process.wait()

    def versions(self, servers):
        """The compared servers with their versions, in words."""
        found = []
        for server in servers:
            if server.version:
                text = subprocess.run(server.version.split(), capture_output=True, text=True, check=True).stdout
                number = re.search(r"\d+\.\d[\w.]*", text)
                found.append(f"{'gcc' if server.name == 'floor' else server.name} {number[0]}")
        lock = (PEERS / "Cargo.lock").read_text()
        rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        tokio = re.search(r'name = "tokio"\nversion = "([^"]+)"', lock)[1]
        return ", ".join([f"rustc {rust}", *([f"tokio {tokio}"] if SERVERS["tokio"] in servers else []), *found])

    def _words(self, command, port=0):
        places = {"peers": PEERS, "out": self.out, "release": self.release, "port": port}
        return [word.format(**places) for word in command.split()]


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_listens(server, process, port):
    deadline = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise SystemExit(f"{server.name} does not start: {' '.join(process.args)}")
