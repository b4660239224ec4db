"""A web server between a sender that speaks HTTP only and proxy-echo: the sender's header goes on to proxy-echo as it came, and what
comes back for the body is the answer's body."""

import re
import socket
import threading


def serve():
    with socket.create_server(("127.0.0.1", 8888)) as listener:
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def answer(stream):
    with stream, stream.makefile("rb") as file:
        header = file.read(12)
        if header.startswith(b"PROXY "):
            header += file.readline()
        else:
            header += file.read(4)
            header += file.read(int.from_bytes(header[14:16], "big"))
        head = b""
        while line := file.readline().strip():
            head += line + b"\n"
        length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        body = file.read(int(length[1])) if length else b""
        back = through(header + body, len(body))
        stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(back) + back)


def through(sent, length):
    """What proxy-echo sends back: a line, and the body."""
    with socket.create_connection(("127.0.0.1", 8889), timeout=60) as echo, echo.makefile("rb") as file:
        threading.Thread(target=echo.sendall, args=(sent,), daemon=True).start()
        return file.readline() + file.read(length)
