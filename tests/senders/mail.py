"""A mail server between swaks and proxy-echo: the PROXY header and a mail's text go on as they came, and the answer to the mail is the
line that proxy-echo reflects."""

import contextlib
import socket
import threading

from web import read_header, through


@contextlib.contextmanager
def between(address):
    """The mail server. The texts that came back from proxy-echo are added to the list."""
    texts = []
    with socket.create_server((address, 8888)) as listener:
        threading.Thread(target=serve, args=(listener, address, texts), daemon=True).start()
        yield texts


def serve(listener, address, texts):
    stream = listener.accept()[0]
    with stream, stream.makefile("rb") as file:
        header = read_header(file)
        stream.sendall(b"220 mail\r\n")
        while command := file.readline().upper():
            if command.startswith(b"DATA"):
                stream.sendall(b"354 go on\r\n")
                text = b"".join(iter(file.readline, b".\r\n"))
                line, _, back = through(header + text, len(text), address).partition(b"\r\n")
                texts.append(back)
                stream.sendall(b"250 " + line + b"\r\n")
            else:
                stream.sendall(b"221 bye\r\n" if command.startswith(b"QUIT") else b"250 mail\r\n")
