"""A name server between dnsdist and its back end: the PROXY header goes on as it came, and an answer is the question as it comes back
from proxy-echo, with the bit that makes it an answer."""

import contextlib
import socket
import threading

from web import read_header

# A question for x.example's address over TCP, id 0x1234, with one additional record.
QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01x\x07example\x00\x00\x01\x00\x01"
# Length of the padding in one question. A message has at most 65,535 bytes.
PADDING = 60_000


def question(padding):
    """With this padding (RFC 7830) in an OPT record (RFC 6891), behind its length."""
    option = b"\x00\x0c" + len(padding).to_bytes(2, "big") + padding
    message = QUESTION + b"\x00\x00\x29\x10\x00\x00\x00\x00\x00" + len(option).to_bytes(2, "big") + option
    return len(message).to_bytes(2, "big") + message


def answer_to(question):
    return question[:4] + bytes([question[4] | 0x80]) + question[5:]


def exchange(stream, payload):
    """Sends the payload in questions, one after the other. Returns what came back, without what is not payload."""
    back = b""
    with stream.makefile("rb") as file:
        for start in range(0, len(payload), PADDING):
            padding = payload[start:start + PADDING]
            stream.sendall(question(padding))
            answer = file.read(len(question(padding)))
            if answer[:5] != answer_to(question(padding))[:5]:
                raise OSError(f"{len(back)} bytes, and no answer")
            back += answer[-len(padding):]
    return back


@contextlib.contextmanager
def between(address, echoes):
    """The name server. The lines that proxy-echo reflects are added to the list; without `echoes` the back end gets headers only."""
    lines = []
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, 8888), family=family, backlog=64)
    threading.Thread(target=serve, args=(listener, address, echoes, lines), daemon=True).start()
    try:
        yield lines
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def serve(listener, address, echoes, lines):
    while True:
        try:
            stream = listener.accept()[0]
        except OSError:
            return
        threading.Thread(target=relay, args=(stream, address, echoes, lines), daemon=True).start()


def relay(stream, address, echoes, lines):
    with contextlib.suppress(OSError), stream, stream.makefile("rb") as file, \
            socket.create_connection((address, 8889), timeout=60) as back_end, back_end.makefile("rb") as back:
        back_end.sendall(read_header(file))
        if echoes:
            lines.append(back.readline().decode().strip())
        while len(message := file.read(2)) == 2:
            message += file.read(int.from_bytes(message, "big"))
            if echoes:
                back_end.sendall(message)
                message = back.read(len(message))
            stream.sendall(answer_to(message))
