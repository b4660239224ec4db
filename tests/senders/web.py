"""A web server between a sender that speaks HTTP only and proxy-echo: the sender's header goes on to proxy-echo as it came, and what
comes back for the body is the answer's body."""

import re
import socket
import threading


def serve(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 8888), family=family) as listener:
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0], address), daemon=True).start()


def answer(stream, address):
    with stream, stream.makefile("rb") as file:
        header = read_header(file)
        head = b""
        while line := file.readline().strip():
            head += line + b"\n"
        length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        body = file.read(int(length[1])) if length else b""
        back = through(header + body, len(body), address)
        stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(back) + back)


def read_header(file):
    """The PROXY header, of either version."""
    header = file.read(12)
    if header.startswith(b"PROXY "):
        return header + file.readline()
    header += file.read(4)
    return header + file.read(int.from_bytes(header[14:16], "big"))


def through(sent, length, address):
    """What proxy-echo sends back: a line, and the body."""
    with socket.create_connection((address, 8889), timeout=60) as echo, echo.makefile("rb") as file:
        threading.Thread(target=echo.sendall, args=(sent,), daemon=True).start()
        return file.readline() + file.read(length)
