"""The files for Docker, Grafana and the load generator's Job: checked, and run as far as possible without these programs."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import DEPLOY
from echo import V1, read, talk

STAND_INS = Path(__file__).with_name("stand-ins")


def test_every_variable_is_an_option(release):
    # The first is read when the program is built.
    known = {"PROXY_ECHO_COMMIT"}
    for command in (["proxy-echo", "--help"], ["loadtest", "rr", "--help"]):
        text = subprocess.run([release / command[0], *command[1:]], capture_output=True, text=True, check=True).stdout
        known |= set(re.findall(r"\[env: (\w+)=", text))
    assert len(known) > 40
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.parent.name != "generated":
            used = set(re.findall(r"\b(?:PROXY_ECHO|LOADTEST)_[A-Z_]+\b", path.read_text()))
            assert used <= known, f"{path}: {used - known}"


@pytest.fixture
def server(release):
    """A server with an admin port; its addresses are read from its log."""
    command = [release / "proxy-echo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        addresses = []
        while len(addresses) < 2:
            line = process.stdout.readline()
            assert line, "it ended"
            addresses += re.findall(r"(?:server|admin) is on 127.0.0.1:(\d+)", line)
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        yield tuple(map(int, addresses))
        process.kill()
        drain.join()


def test_the_load_generators_job_makes_shards_that_merge(release, server, tmp_path):
    result = tmp_path / "whole.json"
    given = {
        **os.environ,
        # The Job runs `loadtest`, the stand-in Python with PyYAML.
        "PATH": ":".join(map(str, (STAND_INS, release, Path(sys.executable).parent, os.environ["PATH"]))),
        "FAKE_FOLDER": str(tmp_path),
        "FAKE_TARGET": f"127.0.0.1:{server[0]}",
        "START_IN": "3",
        # The machine is shared with other tests.
        "LOADTEST_MAX_LAG": "1s",
        "LOADTEST_MAX_WAIT": "1",
    }
    done = subprocess.run(
        [DEPLOY / "kubernetes/loadtest", f"--json={result}"], env=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    totals = json.loads(result.read_text())["totals"]
    assert (totals["connections_opened"], totals["requests_sent"]) == (8, 400)
    # The shards began at the same time, and not one after the other.
    shards = [json.loads((tmp_path / str(index)).read_text()) for index in range(4)]
    assert sorted(shard["shard"]["index"] for shard in shards) == [1, 2, 3, 4]


def test_every_metric_of_the_dashboard_is_one_of_the_servers(server):
    echo, admin = server
    with socket.create_connection(("127.0.0.1", echo), timeout=10) as client:
        client.sendall(V1)
        read(client, len(V1))
    with socket.create_connection(("127.0.0.1", echo), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        read(client, 1)
    check_dashboard("proxy-echo.json", scrape(admin), "proxy_echo|process", 15)


def test_every_metric_of_the_load_generators_dashboard_is_one_of_its_own(release, server):
    # Nobody listens on port 1: some connects fail, so that there are reasons for failure. A percentile needs messages.
    targets = [f"127.0.0.1:{server[0]}", "127.0.0.1:1"]
    command = [release / "loadtest", "rr", *targets, "--proxy", "v1", "-R", "1000", "-d", "1m"]
    with subprocess.Popen([*command, "--metrics", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True) as process:
        port = int(re.search(r"http://127.0.0.1:(\d+)/metrics", process.stderr.readline()).group(1))
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        deadline = time.monotonic() + 30
        while not all(sample in (metrics := scrape(port)) for sample in ('percentile="99"', "errors_total{")):
            assert time.monotonic() < deadline, metrics
        process.kill()
        drain.join()
    check_dashboard("loadtest.json", metrics, "loadtest", 12)


def scrape(port):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()


def check_dashboard(dashboard, metrics, prefixes, least):
    """Asserts that the dashboard has at least this many panels, all of existing metrics, and shows all metrics with the first prefix."""
    samples, labels = set(), set()
    for name, inside in re.findall(r"^(\w+)(?:\{(.*)\})? ", metrics, re.MULTILINE):
        samples.add(name)
        labels |= set(re.findall(r'(\w+)="', inside))
    panels = json.loads((DEPLOY / "grafana" / dashboard).read_text())["panels"]
    assert len(panels) > least and len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            named = set(re.findall(rf"\b(?:{prefixes})_\w+", target["expr"]))
            assert named and named <= samples, f"{panel['title']}: {named - samples}"
            grouped = ",".join(re.findall(r"\bby \((.*?)\)", target["expr"]))
            assert set(re.findall(r"\w+", grouped)) <= labels | {"instance"}, panel["title"]
    # The dashboard must show every metric of the program itself.
    text = json.dumps(panels)
    hidden = {
        name
        for name in samples
        if name.startswith(prefixes.split("|")[0] + "_") and not re.search(r"_(sum|count)$", name) and name not in text
    }
    assert hidden == set()


def test_the_dockerfile_has_no_lint():
    dockerfile = DEPLOY / "container/Dockerfile"
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), dockerfile], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_image_is_one_program_with_a_numeric_user():
    lines = (DEPLOY / "container/Dockerfile").read_text().splitlines()
    assert [line.split(" ", 1)[0] for line in lines[lines.index("FROM scratch AS proxy-echo") :]] == [
        "FROM",
        "COPY",
        "USER",
        "EXPOSE",
        "ENTRYPOINT",
    ]
    assert "USER 65532:65532" in lines


def test_a_static_binary_needs_nothing_beside_it(static, tmp_path):
    """As in `scratch`, with glibc in musl's place: a folder with one file."""
    program = tmp_path / "proxy-echo"
    program.write_bytes(static.read_bytes())
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    command = [
        "chroot",
        "--userspec=65532:65532",
        tmp_path,
        "/proxy-echo",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port = int(re.search(r"server is on 127.0.0.1:(\d+)", process.stdout.readline())[1])
        talk(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert Path(f"/proc/{process.pid}/status").read_text().split("Uid:")[1].split()[0] == "65532"
        process.terminate()
        assert process.wait(30) == 0
