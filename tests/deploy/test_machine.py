"""The units and the Debian package on a machine that systemd has booted."""

import contextlib
import re
import threading

import pytest
from conftest import DEPLOY
from echo import V1, read, talk
from machine import until

UNITS = "proxy-echo.service", "proxy-echo@next.service", "proxy-echo.socket"
CHANGE = "systemctl start proxy-echo@next && systemctl restart proxy-echo && systemctl stop proxy-echo@next"


@pytest.fixture
def installed(machine, release):
    """A machine with the package installed and the server started."""
    packages = sorted((release.parent / "debian").glob("proxy-echo_*.deb"), key=lambda path: path.stat().st_mtime)
    machine.copy(packages[-1], "/proxy-echo.deb")
    machine.run("dpkg", "--install", "/proxy-echo.deb")
    machine.run("systemctl", "enable", "--now", "proxy-echo.socket", "proxy-echo.service")
    return machine


def prop(machine, unit, name):
    return machine.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()


def test_units_are_right_and_hardened(installed):
    verified = installed.run("systemd-analyze", "verify", *UNITS)
    assert not [line for line in verified.stderr.splitlines() if "proxy-echo" in line]
    for unit in UNITS[:2]:
        exposure = installed.run("systemd-analyze", "security", "--no-pager", "--offline=true", unit).stdout
        level = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", exposure)[1])
        assert level <= 1.2, exposure


def test_a_server_runs_without_any_rights(installed):
    talk(installed.connect(8888))
    pid = prop(installed, "proxy-echo", "MainPID")
    status = dict(line.split(":\t", 1) for line in installed.run("cat", f"/proc/{pid}/status").stdout.splitlines())
    assert "0" not in status["Uid"].split()
    assert status["CapEff"] == "0000000000000000"
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert prop(installed, "proxy-echo", "StatusText")


def test_installing_opens_no_port(machine, release):
    package = sorted((release.parent / "debian").glob("proxy-echo_*.deb"))[-1]
    machine.copy(package, "/proxy-echo.deb")
    machine.run("dpkg", "--install", "/proxy-echo.deb")
    assert machine.run("ss", "--no-header", "--listening", "--tcp", "sport = :8888").stdout == ""
    assert machine.run("systemctl", "is-active", "proxy-echo", check=False).stdout.strip() == "inactive"


def test_the_package_has_what_belongs_to_it(installed):
    version = installed.run("proxy-echo", "--version").stdout
    assert version.startswith("proxy-echo ")
    assert "loadtest" in installed.run("loadtest", "--version").stdout
    assert "proxy-echo" in installed.run("zcat", "/usr/share/man/man1/proxy-echo.1.gz").stdout
    for completion in (
        "bash-completion/completions/proxy-echo",
        "zsh/vendor-completions/_proxy-echo",
        "fish/vendor_completions.d/proxy-echo.fish",
    ):
        assert "proxy-echo" in installed.run("cat", f"/usr/share/{completion}").stdout
    installed.run("bash", "-n", "/usr/share/bash-completion/completions/proxy-echo")
    installed.run("dpkg", "--purge", "proxy-echo")
    assert installed.run("systemctl", "is-active", "proxy-echo", check=False).stdout.strip() == "inactive"
    assert installed.run("sh", "-c", "ls /etc/default/proxy-echo* /usr/bin/proxy-echo", check=False).stdout == ""


@contextlib.contextmanager
def clients(machine, failures, served):
    """Clients that come one after the other, four at a time, until the block ends."""
    over = threading.Event()

    def come():
        while not over.is_set():
            try:
                talk(machine.connect(8888))
                served.append(1)
            except (OSError, AssertionError) as error:
                failures.append(error)

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_change_of_servers_loses_no_connection(installed):
    assert f"#   {CHANGE}\n" in (DEPLOY / "systemd/proxy-echo.service").read_text()
    failures, served = [], []
    pids = [prop(installed, "proxy-echo", "MainPID")]
    with clients(installed, failures, served):
        for _ in range(3):
            enough = len(served) + 10
            installed.run("sh", "-c", CHANGE)
            pids.append(prop(installed, "proxy-echo", "MainPID"))
            until(lambda enough=enough: len(served) > enough)
    assert failures == []
    assert len(set(pids)) == 4
    assert prop(installed, "proxy-echo@next", "Result") == "success"


def test_while_one_server_drains_the_other_takes_new_connections(installed):
    with installed.connect(8888) as old:
        old.sendall(V1)
        assert read(old, len(V1)) == V1
        installed.run("systemctl", "start", "proxy-echo@next")
        installed.run("systemctl", "stop", "--no-block", "proxy-echo")
        until(lambda: prop(installed, "proxy-echo", "ActiveState") == "deactivating")
        for _ in range(20):
            talk(installed.connect(8888))
        old.sendall(b"still here\r\n")
        assert read(old, 12) == b"still here\r\n"
    until(lambda: prop(installed, "proxy-echo", "ActiveState") == "inactive")
    for _ in range(20):
        talk(installed.connect(8888))
    assert prop(installed, "proxy-echo", "ActiveState") == "inactive"


def test_a_client_that_comes_during_a_restart_waits_and_is_served(installed):
    failures, served = [], []
    with clients(installed, failures, served):
        installed.run("systemctl", "restart", "proxy-echo")
    assert failures == [] and served


def test_a_server_that_dies_or_hangs_is_started_again(installed):
    pid = prop(installed, "proxy-echo", "MainPID")
    installed.run("kill", "-KILL", pid)
    talk(installed.connect(8888))
    until(lambda: prop(installed, "proxy-echo", "ActiveState") == "active")
    pid = prop(installed, "proxy-echo", "MainPID")
    # The unit's half a minute is long for a test.
    drop_in = "/etc/systemd/system/proxy-echo.service.d/watchdog.conf"
    installed.run("install", "-D", "/dev/stdin", drop_in, input="[Service]\nWatchdogSec=1\n")
    installed.run("systemctl", "daemon-reload")
    installed.run("systemctl", "restart", "proxy-echo")
    pid = prop(installed, "proxy-echo", "MainPID")
    installed.run("kill", "-STOP", pid)
    until(lambda: prop(installed, "proxy-echo", "MainPID") not in ("0", pid))
    talk(installed.connect(8888))


def test_arguments_that_make_no_sense_are_not_tried_again(installed):
    installed.run("sh", "-c", "echo PROXY_ECHO_IDLE_TIMEOUT=soon >> /etc/default/proxy-echo")
    installed.run("systemctl", "restart", "proxy-echo", check=False)
    until(lambda: prop(installed, "proxy-echo", "ActiveState") == "failed")
    assert prop(installed, "proxy-echo", "NRestarts") == "0"
    assert prop(installed, "proxy-echo", "ExecMainStatus") == "2"
