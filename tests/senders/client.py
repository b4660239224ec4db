"""The client of a sender under test: over TCP, TLS or HTTP."""

import random
import re
import socket
import ssl
import threading
import time

DEADLINE = 60
REQUEST = b"GET / HTTP/1.1\r\nHost: conform\r\nConnection: close\r\n\r\n"


def connect(sender, folder):
    """A connection to the sender. Over TLS the sender's certificate is checked, and the same one is presented if the sender asks for one."""
    stream = socket.create_connection(("127.0.0.1", 8080), timeout=DEADLINE)
    if sender.client != "tls":
        return stream
    context = ssl.create_default_context(cafile=f"{folder}/cert.pem")
    context.load_cert_chain(f"{folder}/server.pem")
    return context.wrap_socket(stream, server_hostname="localhost")


def request(sender, folder):
    """Sends requests until the back end has answered. Returns the ports of the connections."""
    ports, end = [], time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            with connect(sender, folder) as stream:
                ports.append(stream.getsockname()[1])
                stream.sendall(REQUEST)
                # A sender without a back end answers with its own error.
                if b" 200 " in stream.recv(1000):
                    return ports
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the back end does not answer through the sender")


def megabyte_through(sender, folder):
    """Sends a megabyte, and compares the answer with it. Returns the header before the answer."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return attempt(sender, folder)
        except (OSError, Unready) as error:
            # The sender has not noticed yet that the back end is up again.
            if time.monotonic() > end:
                raise SystemExit(f"no megabyte came back: {error}")
            time.sleep(0.2)


class Unready(Exception):
    """No header came back."""


def attempt(sender, folder):
    payload = random.Random(1).randbytes(1 << 20)
    head = {"http": b"POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: 1048576\r\nConnection: close\r\n\r\n",
            "pipe": b"GET / HTTP/1.1\r\nHost: echo\r\n\r\n"}.get(sender.client, b"")
    with connect(sender, folder) as stream:
        port = stream.getsockname()[1]
        sending = threading.Thread(target=send, args=(stream, head + payload), daemon=True)
        sending.start()
        answer = bytearray()
        while not answer.endswith(payload[-1000:]):
            some = stream.recv(1 << 16)
            if not some:
                raise Unready(f"{len(answer)} bytes, and an end")
            answer += some
        sending.join(DEADLINE)
    # The web server's answer comes before the header, and the request as the proxy changed it after the header.
    found = re.search(rb"PROXY [^\r\n]*\r\n", answer)
    if not found:
        raise Unready("no header came back")
    header = found[0].decode().strip()
    shown = "PROXY TCP4 127.0.0.1 0.0.0.0 0 0" if sender.client == "http" else f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} 8080"
    if header != shown:
        raise SystemExit(f"the header is {header}, not {shown}")
    if not answer.endswith(payload):
        raise SystemExit("what came back is not the megabyte that was sent")
    return header.replace(str(port), "PORT")


def send(stream, data):
    try:
        stream.sendall(data)
    except OSError:
        # The bytes read show that.
        pass
