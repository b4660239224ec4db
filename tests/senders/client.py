"""The client of a sender under test: over TCP, TLS or HTTP, or a balancer whose PROXY header has TLVs."""

import base64
import pathlib
import random
import re
import socket
import ssl
import subprocess
import threading
import time

import dns

DEADLINE = 60
REQUEST = b"GET / HTTP/1.1\r\nHost: conform\r\nConnection: close\r\n\r\n"


# Addresses, port and TLVs in the header of a balancer before the sender. The client's port is that of the connection.
BALANCED = {"127.0.0.1": ("192.0.2.1", "192.0.2.2"), "::1": ("2001:db8::1", "2001:db8::2")}
BALANCED_PORT = 443
TLVS = {0x02: b"echo.example", 0xEA: b"\x01vpce-08d2bf15fac5001c9", 0xE1: b"from the balancer"}
# The client's port in the configurations of swaks.
MAIL_PORT = 4711


def connect(sender, folder):
    """A connection to the sender. Over TLS the sender's certificate is checked, and the same one is presented if the sender asks for one."""
    stream = socket.create_connection((sender.address, 8080), timeout=DEADLINE)
    if sender.client == "balancer":
        stream.sendall(balancers_header(sender, stream.getsockname()[1]))
    if sender.client != "tls":
        return stream
    context = ssl.create_default_context(cafile=f"{folder}/cert.pem")
    context.load_cert_chain(f"{folder}/server.pem")
    return context.wrap_socket(stream, server_hostname="localhost")


def balancers_header(sender, port):
    family = socket.AF_INET6 if ":" in sender.address else socket.AF_INET
    ends = b"".join(socket.inet_pton(family, end) for end in BALANCED[sender.address])
    ends += port.to_bytes(2, "big") + BALANCED_PORT.to_bytes(2, "big")
    body = ends + b"".join(bytes([kind]) + len(value).to_bytes(2, "big") + value for kind, value in TLVS.items())
    kind = 0x21 if family == socket.AF_INET6 else 0x11
    return b"\r\n\r\n\0\r\nQUIT\n\x21" + bytes([kind]) + len(body).to_bytes(2, "big") + body


def expected(sender, port):
    """The line that proxy-echo must reflect for the client with this port."""
    source, destination, last_port = sender.address, sender.address, 8080
    if sender.client == "none":
        (source, destination), last_port = BALANCED[sender.address], 25
    if sender.client == "balancer":
        (source, destination), last_port = BALANCED[sender.address], BALANCED_PORT
    if sender.name.startswith("caddy"):
        destination, port, last_port = ("::" if ":" in source else "0.0.0.0"), 0, 0
    if sender.name.startswith("trafficserver"):
        # Version 9.2 swaps source and destination.
        source, destination, port, last_port = destination, source, last_port, port
    return f"PROXY {'TCP6' if ':' in source else 'TCP4'} {source} {destination} {port} {last_port}"


def request(sender, folder):
    """Sends requests until the back end has answered. Returns the ports of the connections."""
    if sender.client == "none":
        # The command fails, because no mail server greets it.
        subprocess.run(sender.command, shell=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=DEADLINE)
        return [MAIL_PORT]
    ports, end = [], time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            with connect(sender, folder) as stream:
                ports.append(stream.getsockname()[1])
                if sender.client == "dns":
                    dns.exchange(stream, b"a question")
                    return ports
                stream.sendall(REQUEST)
                # A sender without a back end answers with its own error.
                if b" 200 " in stream.recv(1000):
                    return ports
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the back end does not answer through the sender")


def megabyte_through(sender, folder, reflected):
    """Sends a megabyte, and compares the answer with it. Returns the header before the answer, or from the reflected ones."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return attempt(sender, folder, reflected)
        except (OSError, Unready) as error:
            # The sender has not noticed yet that the back end is up again.
            if time.monotonic() > end:
                raise SystemExit(f"no megabyte came back: {error}")
            time.sleep(0.2)


def mailed(sender, folder, texts):
    """Sends a mail of a megabyte by a program that is itself the client. Returns the header, which is the answer to the mail."""
    payload = base64.encodebytes(random.Random(1).randbytes(1 << 20)).replace(b"\n", b"\r\n")
    pathlib.Path(folder, "payload").write_bytes(payload)
    done = subprocess.run(f"{sender.command} --body @payload --suppress-data", shell=True, cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=DEADLINE)
    if done.returncode != 0 or f"<-  250 {expected(sender, MAIL_PORT)}" not in done.stdout:
        raise SystemExit(f"no header came back: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    if not texts or payload not in texts[-1]:
        raise SystemExit("what came back is not the mail that was sent")
    return expected(sender, MAIL_PORT)


class Unready(Exception):
    """No header came back."""


def attempt(sender, folder, reflected):
    payload = random.Random(1).randbytes(1 << 20)
    head = {"http": b"POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: 1048576\r\nConnection: close\r\n\r\n",
            "pipe": b"GET / HTTP/1.1\r\nHost: echo\r\n\r\n"}.get(sender.client, b"")
    with connect(sender, folder) as stream:
        port = stream.getsockname()[1]
        if sender.client == "dns":
            answer, lines = dns.exchange(stream, payload), reflected
        else:
            answer = exchange(stream, head + payload, payload[-1000:])
            # The web server's answer comes before the header, and the request as the proxy changed it after the header.
            lines = [line.decode() for line in re.findall(rb"PROXY [^\r\n]*(?=\r\n)", answer)][:1]
    if not lines:
        raise Unready("no header came back")
    if expected(sender, port) not in lines:
        raise SystemExit(f"the header is {lines[0]}, not {expected(sender, port)}")
    if not answer.endswith(payload):
        raise SystemExit("what came back is not the megabyte that was sent")
    return expected(sender, "PORT")


def exchange(stream, data, end):
    """Sends the data, and reads until this end of it comes back."""
    sending = threading.Thread(target=send, args=(stream, data), daemon=True)
    sending.start()
    answer = bytearray()
    while not answer.endswith(end):
        some = stream.recv(1 << 16)
        if not some:
            raise Unready(f"{len(answer)} bytes, and an end")
        answer += some
    sending.join(DEADLINE)
    return answer


def send(stream, data):
    try:
        stream.sendall(data)
    except OSError:
        # The bytes read show that.
        pass
