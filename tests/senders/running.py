"""Runs a sender with its configuration of deploy/senders."""

import contextlib
import os
import pathlib
import re
import tempfile

from machinery import PLACES, ROOT, call, start, stop, wait_for

DEPLOY = ROOT / "deploy" / "senders"


@contextlib.contextmanager
def running(sender, log, echo=None):
    """The sender, in a folder of its own, and behind it `echo`, the command of a server on port 8888. Yields the folder and the sender's
    process."""
    with tempfile.TemporaryDirectory(prefix=f"sender-{sender.name}-") as folder, contextlib.ExitStack() as started:
        os.chmod(folder, 0o755)
        for file in (DEPLOY / sender.name).iterdir():
            pathlib.Path(folder, file.name).write_text(at(sender, file.read_text()))
        if sender.prepare:
            call(sender.prepare, shell=True, cwd=folder, stdout=log, stderr=log)

        def begin(command, port):
            process = start(command, folder, log, dict(os.environ))
            started.callback(stop, process)
            wait_for(port, sender.address)
            return process

        if echo:
            begin(echo, 8888)
        if sender.client == "none":
            yield folder, None
        else:
            yield folder, begin(at(sender, sender.command).format(**PLACES, dir=folder), 8080)


def at(sender, text):
    """A configuration for the sender's address. IPv6 is in brackets before a port."""
    if ":" in sender.address and not sender.is_bare:
        text = re.sub(r"(?<!\[)127\.0\.0\.1(?=:\d)", f"[{sender.address}]", text)
    return text.replace("127.0.0.1", sender.address)
