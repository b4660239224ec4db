"""docs/aws.md, command by command, against moto's AWS."""

import re
import subprocess
import sys
from pathlib import Path

from conftest import DEPLOY, body

PAGE = DEPLOY.parent / "docs/aws.md"
# The script does not stop at an error, and prints what failed. Other commands than AWS's are tested elsewhere. (moto shows no
# attributes of target groups before a call sets them, so `grep` finds none.)
STAND_INS = """
set -u
aws() { command aws "$@" || echo "aws $*" >> failed; }
cargo() { :; }
telnet() { echo "telnet $*"; }
openssl() { if [ "$1" = s_client ]; then echo "openssl $*"; else command openssl "$@" || echo "openssl $*" >> failed; fi; }
"""


def blocks():
    """The blocks of the page: (whether it is output rather than input; its text)."""
    for block in re.findall(r"^```.*\n((?:.*\n)*?)```$", PAGE.read_text(), re.MULTILINE):
        for text in re.split(r"\n\n", block.strip("\n")):
            if text.startswith("$ "):
                # The command with its continued lines; the rest is the session.
                yield False, re.match(r"\$ ((?:.*\\\n)*.*)", text)[1]
            else:
                yield text.startswith("["), text


def test_every_command_of_the_page_works(aws_environment, tmp_path):
    commands = "\n".join(text for said, text in blocks() if not said)
    assert commands.count("aws ") > 20
    program = tmp_path / "target/x86_64-unknown-linux-gnu/release/proxy-echo"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho proxy-echo $*\n")
    program.chmod(0o755)
    for name in ("classic.yaml", "nlb.yaml"):
        file = tmp_path / "deploy/cloudformation" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(body(name))
    environment = {**aws_environment, "PATH": f"{Path(sys.executable).parent}:{aws_environment['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", STAND_INS + commands], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert not (tmp_path / "failed").exists(), (tmp_path / "failed").read_text() + done.stderr
    assert "not found" not in done.stderr and "unbound" not in done.stderr, done.stderr
    (shown,) = [text for said, text in blocks() if said]
    assert shown in done.stdout
    assert re.findall(r"^proxy-echo check \S+\.amazonaws\.com:8888$", done.stdout, re.MULTILINE), done.stdout
    session = r"^openssl s_client -quiet -crlf -connect \S+\.amazonaws\.com:8888$"
    assert re.findall(session, done.stdout, re.MULTILINE), done.stdout
    assert re.findall(r"^telnet \S+\.amazonaws\.com 8888$", done.stdout, re.MULTILINE), done.stdout
