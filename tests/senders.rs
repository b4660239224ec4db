//! Real senders in front of the server, as Debian packages them: HAProxy, nginx and curl.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use std::{fs, io, thread};

use tempfile::TempDir;

#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use program::{Running, program};
use server::{DEADLINE, Server};

/// A balancer in front of a server. It inherits a listening socket as its standard input, so that ports do not collide
/// and no connection comes too early.
struct Balancer {
    address: SocketAddr,
    /// Ends before its directory does.
    _running: Running,
    directory: TempDir,
}

impl Balancer {
    fn start(directory: TempDir, mut command: Command, config: impl FnOnce(SocketAddr) -> String) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let file = directory.path().join("config");
        fs::write(&file, config(address)).expect("a file");
        let child = command.arg(file).stdin(OwnedFd::from(listener)).spawn().expect("the balancer starts");
        Balancer { address, _running: Running(child), directory }
    }

    /// HAProxy, with `bind` after its listening address and `options` after its servers' addresses. It checks that one
    /// server accepts connections, and that the other answers.
    fn haproxy(echo: SocketAddr, directory: TempDir, bind: &str, options: &str) -> Balancer {
        Self::haproxy_with("", echo, directory, bind, options)
    }

    /// The same, with a line of its section `global`.
    fn haproxy_with(global: &str, echo: SocketAddr, directory: TempDir, bind: &str, options: &str) -> Balancer {
        let stats = directory.path().join("stats");
        let stats = stats.display();
        let config = format!(
            "global\n stats socket {stats}\n nbthread 1\n {global}\n\
             defaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n\
             frontend front\n bind fd@0 {bind}\n unique-id-format %ci:%cp\n default_backend connects\n\
             backend connects\n server echo {echo} {options} check inter 200ms\n\
             backend answers\n option tcp-check\n tcp-check expect string PROXY\n\
             \x20server echo {echo} {options} check inter 200ms\n"
        );
        let mut command = program("haproxy", "haproxy");
        command.args(["-db", "-f"]);
        Balancer::start(directory, command, |_| config)
    }

    fn nginx(echo: SocketAddr) -> Balancer {
        const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let mut command = program("nginx", "nginx libnginx-mod-stream");
        assert!(Path::new(MODULE).is_file(), "{MODULE} is not installed: run `apt-get install libnginx-mod-stream`");
        command.env("NGINX", "0;").args(["-e", "stderr", "-c"]);
        let directory = tempfile::tempdir().expect("a directory");
        let pid = directory.path().join("pid").display().to_string();
        Balancer::start(directory, command, |front| {
            format!(
                "daemon off; worker_processes 1; error_log stderr; pid {pid}; load_module {MODULE};\n\
                 events {{ worker_connections 64; }}\n\
                 stream {{ server {{ listen {front}; proxy_pass {echo}; proxy_protocol on; }} }}\n"
            )
        })
    }

    /// For each of HAProxy's servers: name, status, number of times down, and result of the last check.
    fn servers(&self) -> Vec<[String; 4]> {
        let mut socket = UnixStream::connect(self.directory.path().join("stats")).expect("HAProxy runs");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        socket.write_all(b"show stat -1 4 -1\n").expect("HAProxy reads");
        let table = io::read_to_string(socket).expect("HAProxy answers");
        let mut rows = table.lines().filter(|line| !line.is_empty()).map(|line| line.split(',').collect::<Vec<_>>());
        let names = rows.next().expect("the names of the columns");
        let column = |name| names.iter().position(|&column| column == name).expect("HAProxy has this column");
        let columns = ["# pxname", "status", "chkdown", "check_status"].map(column);
        rows.map(|row| columns.map(|column| row[column].to_owned())).collect()
    }

    /// Asserts that HAProxy has checked both servers, and found them up each time.
    fn assert_up(&self) {
        let up = [["connects", "UP", "0", "L4OK"], ["answers", "UP", "0", "L7OK"]];
        let end = Instant::now() + DEADLINE;
        let mut servers = self.servers();
        while servers != up && Instant::now() < end {
            servers = self.servers();
        }
        assert_eq!(servers, up);
    }
}

/// A megabyte with every byte value, without a period that would hide a lost or doubled buffer.
fn megabyte() -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(1 << 20).collect()
}

/// Sends `payload`, and asserts that the PROXY line of `client` and then the payload come back.
fn echo(mut input: impl Write + Send, output: impl Read, payload: &[u8], client: impl FnOnce() -> [SocketAddr; 2]) {
    thread::scope(|scope| {
        // The closure closes curl's input; otherwise curl waits for more and reads no answer.
        scope.spawn(move || input.write_all(payload).expect("the sender takes a megabyte"));
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line).expect("the PROXY line");
        let [client, front] = client();
        let ports = (client.port(), front.port());
        assert_eq!(line, format!("PROXY TCP4 {} {} {} {}\r\n", client.ip(), front.ip(), ports.0, ports.1));
        let mut answer = vec![0; payload.len()];
        output.read_exact(&mut answer).expect("a megabyte");
        assert!(answer == payload, "what came back is not what was sent");
    });
}

/// Sends a megabyte through `balancer` on the test's own socket. Returns the part of the log line after the addresses.
fn echo_through(balancer: &Balancer, server: &mut Server, version: &str) -> String {
    let mut stream = TcpStream::connect(balancer.address).expect("the balancer listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    let addresses = [stream.local_addr().expect("it is connected"), balancer.address];
    echo(&stream, &stream, &megabyte(), || addresses);
    stream.shutdown(Shutdown::Write).expect("half-close");
    assert_eq!(stream.read(&mut [0]).expect("the balancer closes"), 0);
    assert_logged(server, version, addresses)
}

/// Asserts that the log names the client, and counts a megabyte in each direction.
fn assert_logged(server: &mut Server, version: &str, [client, front]: [SocketAddr; 2]) -> String {
    let line = server.wait_for(&format!(" PROXY {version} TCP4 {client} -> {front}"));
    let number = line.split(['#', ' ']).nth(2).and_then(|number| number.parse().ok()).expect("a number");
    let story = server.story(number);
    let reflected = format!("PROXY TCP4 {} {} {} {}\r\n", client.ip(), front.ip(), client.port(), front.port());
    let counts = format!(", 1048576 bytes in, {} bytes out, ", (1 << 20) + reflected.len());
    assert!(
        matches!(&story[..], [accepted, _, gone] if accepted.starts_with("is accepted, peer 127.0.0.1:")
        && gone.contains(&counts)),
        "{story:?}"
    );
    line.split_once(&front.to_string()).expect("it was waited for").1.to_owned()
}

/// Forwards one connection to `to` over the test's own sockets. Returns the address to connect to, and a channel for
/// the addresses of the peer and of the forwarding socket.
fn relay(to: SocketAddr) -> (SocketAddr, Receiver<[SocketAddr; 2]>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, ends) = channel();
    thread::spawn(move || {
        let (near, peer) = listener.accept().expect("a connection");
        let far = TcpStream::connect(to).expect("a connection");
        sender.send([peer, far.local_addr().expect("it is connected")]).expect("the test waits");
        let carry = |mut from: &TcpStream, mut to: &TcpStream| {
            let _ = from.set_read_timeout(Some(DEADLINE)).and_then(|()| io::copy(&mut from, &mut to));
            let _ = to.shutdown(Shutdown::Write);
        };
        thread::scope(|scope| {
            scope.spawn(|| carry(&near, &far));
            carry(&far, &near);
        });
    });
    (address, ends)
}

/// A self-signed certificate and its key.
fn certificate(directory: &Path) -> PathBuf {
    let file = directory.join("client.test.pem");
    let mut command = program("openssl", "openssl");
    command
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=client.test".split(' '));
    let output = command.arg("-keyout").arg(&file).arg("-out").arg(&file).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}

/// Sends a megabyte through HAProxy over TLS, from openssl with further arguments. Returns the same as `echo_through`.
fn echo_through_tls(server: &mut Server, options: &str, client_args: impl FnOnce(&mut Command, &Path)) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let certificate = certificate(directory.path());
    let file = certificate.display();
    let bind = format!("ssl crt {file} ca-file {file} verify optional alpn echo");
    let balancer = Balancer::haproxy(server.address, directory, &bind, options);
    let (address, ends) = relay(balancer.address);
    let mut command = program("openssl", "openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-connect", &address.to_string(), "-CAfile"]);
    client_args(command.arg(&certificate), &certificate);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = Running(command.spawn().expect("openssl starts"));
    let (input, output) = (client.0.stdin.take().expect("it is piped"), client.0.stdout.take().expect("it is piped"));
    let mut addresses = [address; 2];
    echo(input, output, &megabyte(), || {
        addresses = [ends.recv().expect("openssl connected")[1], balancer.address];
        addresses
    });
    drop(client);
    let tlvs = assert_logged(server, "v2", addresses);
    balancer.assert_up();
    tlvs
}

/// Sends a megabyte through HAProxy over TCP, while its health checks appear in the log as `check`. Returns the same as
/// `echo_through`.
fn echo_through_haproxy(options: &str, version: &str, check: impl FnOnce(&Server) -> String) -> (String, Vec<String>) {
    let mut server = Server::start(&[]);
    let directory = tempfile::tempdir().expect("a directory");
    let balancer = Balancer::haproxy(server.address, directory, "", options);
    let tlvs = echo_through(&balancer, &mut server, version);
    server.wait_for(&check(&server));
    server.wait_for(" #8 is gone");
    balancer.assert_up();
    (tlvs, stop(server))
}

/// Stops `server` and returns its log, after asserting that no header was refused.
fn stop(server: Server) -> Vec<String> {
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains("refused")), "{log:#?}");
    log
}

#[test]
fn haproxy_with_send_proxy() {
    let check = |server: &Server| format!(" -> {}", server.address);
    let (tlvs, _) = echo_through_haproxy("send-proxy", "v1", check);
    assert_eq!(tlvs, "");
}

#[test]
fn haproxy_with_send_proxy_v2() {
    let check = |_: &Server| " PROXY v2 LOCAL".to_owned();
    let (tlvs, _) = echo_through_haproxy("send-proxy-v2 check-send-proxy", "v2", check);
    assert_eq!(tlvs, "");
}

#[test]
fn haproxy_with_v2_and_crc32c_and_unique_id() {
    let options = "send-proxy-v2 proxy-v2-options crc32c,unique-id";
    let check = |_: &Server| " PROXY v2 LOCAL".to_owned();
    let (tlvs, log) = echo_through_haproxy(options, "v2", check);
    let line = log.iter().find(|line| line.contains(" PROXY v2 TCP4 ")).expect("it was found before");
    let client = line.split(' ').nth(5).expect("the client's address");
    let (checksum, id) = tlvs.split_at(", CRC32C 0x01234567".len());
    let checksum = checksum.strip_prefix(", CRC32C 0x").expect("a checksum");
    assert!(u32::from_str_radix(checksum, 16).is_ok(), "{tlvs}");
    assert_eq!(id, format!(", UNIQUE_ID \"{client}\""));
}

#[test]
fn haproxys_health_checks_are_left_out_of_the_log_of_clients() {
    // The checks of the last row are PROXY headers that name HAProxy itself, as before HAProxy 2.2.
    for (global, options, version) in
        [("", "send-proxy", "v1"), ("", "send-proxy-v2", "v2"), ("pp2-never-send-local", "send-proxy-v2", "v2")]
    {
        let mut server = Server::start(&["--log", "clients"]);
        let directory = tempfile::tempdir().expect("a directory");
        let balancer = Balancer::haproxy_with(global, server.address, directory, "", options);
        echo_through(&balancer, &mut server, version);
        balancer.assert_up();
        let log = stop(server);
        assert_eq!(log.iter().filter(|line| line.contains(" #")).count(), 3, "{log:#?}");
    }
}

#[test]
fn haproxy_with_v2_ssl_and_a_tls_client() {
    let mut server = Server::start(&[]);
    let tlvs = echo_through_tls(&mut server, "send-proxy-v2-ssl", |_, _| {});
    assert!(tlvs.starts_with(", SSL (client 0x01, verify "), "{tlvs}");
    assert!(tlvs.ends_with(", VERSION \"TLSv1.3\")"), "{tlvs}");
    stop(server);
}

#[test]
fn haproxy_with_v2_ssl_cn_and_a_client_certificate() {
    let mut server = Server::start(&[]);
    let options = "send-proxy-v2-ssl-cn proxy-v2-options ssl-cipher,cert-sig,cert-key,authority,crc32c";
    let tlvs = echo_through_tls(&mut server, options, |command, certificate| {
        command.args(["-alpn", "echo", "-servername", "echo.test", "-cert"]).arg(certificate);
    });
    for tlv in [
        ", CRC32C 0x",
        ", ALPN \"echo\"",
        ", AUTHORITY \"echo.test\"",
        ", SSL (client 0x07, verify 0, ",
        "VERSION \"TLSv1.3\"",
        "CN \"client.test\"",
        "KEY_ALG \"EC256\"",
        "SIG_ALG \"ecdsa-with-SHA256\"",
        "CIPHER \"TLS_",
    ] {
        assert!(tlvs.contains(tlv), "{tlv} is not in {tlvs}");
    }
    stop(server);
}

#[test]
fn nginx_stream_with_proxy_protocol() {
    let mut server = Server::start(&[]);
    let balancer = Balancer::nginx(server.address);
    assert_eq!(echo_through(&balancer, &mut server, "v1"), "");
}

#[test]
fn curl_with_haproxy_protocol() {
    let mut server = Server::start(&[]);
    let (address, ends) = relay(server.address);
    let mut command = program("curl", "curl");
    command.args(["-sSN", "--haproxy-protocol", &format!("telnet://{address}")]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = Running(command.spawn().expect("curl starts"));
    let (input, output) = (client.0.stdin.take().expect("it is piped"), client.0.stdout.take().expect("it is piped"));
    // telnet takes bytes that are not printable for commands.
    let payload: Vec<u8> = megabyte().iter().map(|byte| b' ' + byte % 95).collect();
    let mut addresses = [address; 2];
    echo(input, output, &payload, || {
        addresses = [ends.recv().expect("curl connected")[0], address];
        addresses
    });
    drop(client);
    assert_logged(&mut server, "v1", addresses);
}

/// The bytes that a back end receives from one client that sends `hello`, header included. Health checks send no
/// payload.
fn received(listener: &TcpListener, front: SocketAddr) -> Vec<u8> {
    let mut client = TcpStream::connect(front).expect("the balancer listens");
    client.write_all(b"hello").expect("it reads");
    loop {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let mut bytes = Vec::new();
        let mut chunk = [0; 1024];
        while !bytes.ends_with(b"hello") {
            match stream.read(&mut chunk) {
                Ok(count @ 1..) => bytes.extend_from_slice(&chunk[..count]),
                _ => break,
            }
        }
        if bytes.ends_with(b"hello") {
            return bytes;
        }
    }
}

#[test]
fn decode_explains_what_real_senders_send() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("an address");
    let haproxy = |options: &str| Balancer::haproxy(to, tempfile::tempdir().expect("a directory"), "", options);
    for (balancer, words) in [
        (haproxy("send-proxy"), "valid: PROXY v1 TCP4 127.0.0.1:"),
        (haproxy("send-proxy-v2 proxy-v2-options crc32c,unique-id"), "UNIQUE_ID \"127.0.0.1:"),
        (haproxy("send-proxy-v2-ssl-cn"), "0x00: no TLS"),
        (Balancer::nginx(to), "valid: PROXY v1 TCP4 127.0.0.1:"),
    ] {
        let input = received(&listener, balancer.address);
        let decoded = proxy_echo::decode::Decoded::new(&input).to_string();
        assert!(decoded.contains(words) && decoded.contains("\nvalid: ") && !decoded.contains("\n!"), "{decoded}");
        assert!(decoded.contains("payload") && decoded.contains("\"hello\""), "{decoded}");
    }
}
