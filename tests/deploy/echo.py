"""A client of the echo server, and the checks of what it receives."""

V1 = b"PROXY TCP4 124.100.123.123 10.0.8.154 53971 8888\r\n"


def talk(connection, header=V1, reflected=V1):
    """Plays the balancer with `header`, expects `reflected`, then an echo."""
    with connection:
        connection.sendall(header + b"Hello\r\n")
        expected = reflected + b"Hello\r\n"
        received = read(connection, len(expected))
        assert received == expected, received


def read(connection, length):
    """`length` bytes, or fewer if the connection ends."""
    received = b""
    while len(received) < length and (some := connection.recv(length - len(received))):
        received += some
    return received
