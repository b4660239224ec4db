"""Installs, starts and stops the real programs of tests/receivers and tests/senders. What it installs besides packages lies in
target/receivers."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

TARGET = ROOT / "target" / "receivers"
PLACES = {
    "root": ROOT,
    "venv": TARGET / "venv",
    "node": TARGET / "node",
    "crates": TARGET / "crates" / "debug",
    "proxy_echo": ROOT / "target" / "debug" / "proxy-echo",
}
# The longest wait for a receiver to listen.
START_SECONDS = 90


def call(command, **options):
    subprocess.run(command, check=True, **options)


def install(receivers):
    """Installs the receivers' packages, without starting services."""
    TARGET.mkdir(parents=True, exist_ok=True)
    call(["cargo", "build", "--quiet", "--bin", "proxy-echo"], cwd=ROOT)
    apt = {package for receiver in receivers for package in receiver.apt}
    here = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Status}\n"], capture_output=True, text=True).stdout
    missing = sorted(name for name in apt if f"{name} install ok installed" not in here.splitlines())
    if missing:
        policy = pathlib.Path("/usr/sbin/policy-rc.d")
        is_ours = not policy.exists()
        if is_ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            call(["apt-get", "update", "-qq"])
            environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
            call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=environment, stdout=subprocess.DEVNULL)
        finally:
            if is_ours:
                policy.unlink()
    pip = sorted({package for receiver in receivers for package in receiver.pip})
    if pip:
        if not (TARGET / "venv").exists():
            call([sys.executable, "-m", "venv", TARGET / "venv"])
        call([TARGET / "venv" / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *pip])
    npm = sorted({package for receiver in receivers for package in receiver.npm})
    if npm:
        call(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", TARGET / "node", *npm])
    if any("{crates}" in receiver.command for receiver in receivers):
        manifest = HERE / "crates" / "Cargo.toml"
        call(["cargo", "build", "--quiet", "--locked", "--bins", "--examples", "--manifest-path", manifest, "--target-dir", TARGET / "crates"])
    if any(receiver.name == "exim" for receiver in receivers) and not (TARGET / "exim" / "version").exists():
        install_exim()


def install_exim():
    """Debian allows only one installed mail server: only Exim's program is unpacked."""
    folder = TARGET / "exim"
    folder.mkdir(exist_ok=True)
    call(["apt-get", "download", "-qq", "exim4-daemon-heavy"], cwd=folder)
    package = next(folder.glob("exim4-daemon-heavy_*.deb"))
    call(["dpkg-deb", "--extract", package, folder])
    version = subprocess.run(["dpkg-deb", "--field", package, "Version"], capture_output=True, text=True, check=True).stdout
    libraries = subprocess.run(["dpkg-deb", "--field", package, "Depends"], capture_output=True, text=True, check=True).stdout
    names = [name.split()[0] for name in libraries.split(",") if name.split()[0].startswith("lib")]
    call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names], stdout=subprocess.DEVNULL)
    (folder / "version").write_text(version.strip())
    package.unlink()


def start(command, folder, log, environment):
    return subprocess.Popen(["sh", "-c", f"exec {command}" if "=" not in command.split()[0] else command], cwd=folder,
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)


def stop(process):
    """Ends a program and its children, which have their own session."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue


def wait_for(port, address="127.0.0.1"):
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise SystemExit(f"nothing listens on port {port}")
            time.sleep(0.1)
