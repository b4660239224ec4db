"""HAProxy and nginx with the configurations of deploy/, in front of the server; on a machine, for their fixed ports."""

import pytest
from conftest import DEPLOY
from echo import talk


@pytest.fixture
def server(machine, release):
    """A machine on which the server runs on its usual port."""
    machine.copy(release / "proxy-echo", "/usr/local/bin/proxy-echo")
    machine.start("/usr/local/bin/proxy-echo", "--log", "quiet")
    machine.wait_for_port(8888)
    return machine


def reflected(connection, port):
    """The header that the balancer sends for this client."""
    host, source = connection.getsockname()
    return f"PROXY TCP4 {host} {host} {source} {port}\r\n".encode()


def test_haproxy_sends_the_client_in_version_2(server):
    server.copy(DEPLOY / "haproxy/haproxy.cfg", "/etc/haproxy.cfg")
    server.run("haproxy", "-c", "-f", "/etc/haproxy.cfg")
    server.start("haproxy", "-db", "-f", "/etc/haproxy.cfg")
    server.wait_for_port(8000)
    connection = server.connect(8000)
    talk(connection, b"", reflected(connection, 8000))


def test_nginx_sends_the_client_in_version_1(server):
    server.copy(DEPLOY / "nginx/nginx.conf", "/etc/nginx.conf")
    server.run("nginx", "-t", "-c", "/etc/nginx.conf")
    server.start("nginx", "-c", "/etc/nginx.conf", "-g", "daemon off;")
    server.wait_for_port(8001)
    connection = server.connect(8001)
    talk(connection, b"", reflected(connection, 8001))
