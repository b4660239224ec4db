//! Which peers must, may or must not send a header: by address, by listener and by version, each on a real socket.

#[path = "common/admin.rs"]
mod admin;
#[path = "common/client.rs"]
mod client;
#[path = "common/server.rs"]
mod server;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use socket2::{Domain, Socket, Type};

use admin::{get, metric};
use client::HEADER;
use serde_json::Value;
use server::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_proxy-echo");

const TRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A LOCAL header of version 2.
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The beginning of a TLS handshake: a record of version 3.1 with a `ClientHello`.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03 thirty-two bytes that are random";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: echo.example\r\n\r\n";

fn connect(source: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address");
    client::connect(socket, address)
}

/// Sends `bytes` and FIN, and returns all bytes received until the end. The end may be a reset, because the server does
/// not read refused bytes.
fn exchange(source: Ipv4Addr, address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(source, address);
    let mut answer = Vec::new();
    stream.write_all(bytes).expect("the server accepts");
    let _ = stream.shutdown(Shutdown::Write);
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => answer,
    }
}

/// The address that follows `words` in the log.
fn address_after(server: &mut Server, words: &str, end: &str) -> SocketAddr {
    let line = server.wait_for(end);
    let (_, address) = line.split_once(words).expect("the words");
    address.split(' ').next().and_then(|word| word.parse().ok()).expect("an address")
}

fn text(admin: SocketAddr, path: &str) -> String {
    let (status, body) = get(admin, path);
    assert_eq!(status, 200, "{path}");
    body
}

fn json(admin: SocketAddr, path: &str) -> Value {
    serde_json::from_str(&text(admin, path)).expect("JSON")
}

fn refusal(args: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(args).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8(output.stderr).expect("words")
}

#[test]
fn with_mixed_the_address_decides_whether_a_header_comes() {
    let mut server = Server::start(&["--proxy-protocol", "mixed", "--trust", "127.0.0.2", "--admin", "127.0.0.1:0"]);
    let admin = admin::address(&mut server);
    let half = &HEADER[..20];
    let with_header = [HEADER, b"hello"].concat();
    let rows: [(&str, &[u8], &[u8], &str); 6] = [
        ("a header", &with_header, &with_header, "closed by peer"),
        ("none", b"hello", b"", "header refused"),
        ("half a header", half, b"", "closed by peer inside the header"),
        ("half a binary header", &V2_LOCAL[..13], b"", "closed by peer inside the header"),
        ("TLS", CLIENT_HELLO, b"", "header refused"),
        ("HTTP", REQUEST, b"", "header refused"),
    ];
    let mut number = 0;
    for (name, bytes, answer, reason) in rows {
        assert_eq!(exchange(TRUSTED, server.address, bytes), answer, "{name}, trusted");
        number += 1;
        let last = server.story(number).pop().expect("an end");
        assert!(last.starts_with(&format!("is gone: {reason}, ")), "{name}, trusted: {last}");

        assert_eq!(exchange(STRANGER, server.address, bytes), bytes, "{name}, stranger");
        number += 1;
        let story = server.story(number);
        assert!(!story.iter().any(|line| line.contains("PROXY") || line.contains("refused")), "{name}: {story:?}");
    }
    let text = text(admin, "/metrics");
    assert_eq!(metric(&text, "proxy_echo_headers_total{version=\"v1\",command=\"PROXY\"}"), 1);
    assert_eq!(metric(&text, "proxy_echo_headers_refused_total{reason=\"signature\"}"), 3);
    assert_eq!(metric(&text, "proxy_echo_headers_refused_total{reason=\"cut\"}"), 2);
}

#[test]
fn with_mixed_a_stranger_is_answered_from_the_first_byte() {
    let server = Server::start(&["--proxy-protocol", "mixed", "--trust", "127.0.0.2"]);
    for bytes in [HEADER, V2_LOCAL] {
        let mut stream = connect(STRANGER, server.address);
        for &byte in bytes {
            let mut answer = [0];
            stream.write_all(&[byte]).expect("the server reads");
            stream.read_exact(&mut answer).expect("the server answers");
            assert_eq!(answer, [byte]);
        }
    }
}

#[test]
fn with_mixed_half_a_header_from_who_is_trusted_times_out() {
    let args = ["--proxy-protocol", "mixed", "--trust", "127.0.0.2", "--header-timeout", "100ms"];
    let mut server = Server::start(&args);
    let mut stream = connect(TRUSTED, server.address);
    stream.write_all(&HEADER[..20]).expect("the server reads");
    assert_eq!(stream.read(&mut [0]).expect("the server closes"), 0);
    server.wait_for("is gone: header timeout");
}

#[test]
fn each_listener_has_its_mode_and_shows_it() {
    let listen = "off@127.0.0.1:0,127.0.0.2:0 mixed@127.0.0.3:0";
    let mut command = Command::new(PROGRAM);
    command.args(["--admin", "127.0.0.1:0", "--trust", "127.0.0.2"]).env("PROXY_ECHO_LISTEN", listen);
    let mut server = Server::spawn(command);
    let admin = admin::address(&mut server);
    let off = address_after(&mut server, "server is on ", "(--proxy-protocol off)");
    let required = address_after(&mut server, "server is on ", "server is on 127.0.0.2:");
    let mixed = address_after(&mut server, "server is on ", "(--proxy-protocol mixed)");
    let header = [HEADER, b"hello"].concat();
    for (address, source, bytes, answer) in [
        (off, TRUSTED, &header[..], &header[..]),
        (off, STRANGER, b"hello", b"hello"),
        (required, TRUSTED, &header, &header),
        (required, TRUSTED, b"hello", b""),
        (required, STRANGER, &header, b""),
        (mixed, TRUSTED, &header, &header),
        (mixed, TRUSTED, b"hello", b""),
        (mixed, STRANGER, b"hello", b"hello"),
    ] {
        assert_eq!(exchange(source, address, bytes), answer, "{} to {address} from {source}", bytes.escape_ascii());
    }

    let modes = [(off, "off"), (required, "required"), (mixed, "mixed")];
    let status = json(admin, "/status.json");
    let metrics = text(admin, "/metrics");
    for (index, (address, mode)) in modes.into_iter().enumerate() {
        let listener = &status["listeners"][index];
        assert_eq!(listener["address"], address.to_string());
        assert_eq!(listener["proxy_protocol"], mode);
        let name = format!("proxy_echo_listener_info{{address=\"{address}\",proxy_protocol=\"{mode}\"}}");
        assert_eq!(metric(&metrics, &name), 1);
    }
    let mut open = Vec::new();
    for (address, _) in modes {
        let mut stream = connect(TRUSTED, address);
        stream.write_all(HEADER).expect("the server reads");
        stream.read_exact(&mut [0; HEADER.len()]).expect("the server answers");
        open.push(stream);
    }
    let list = json(admin, "/connections.json?order=asc");
    let shown: Vec<&str> =
        list["connections"].as_array().expect("rows").iter().filter_map(|row| row["proxy_protocol"].as_str()).collect();
    assert_eq!(shown, ["off", "required", "mixed"]);
}

#[test]
fn an_ipv6_listener_and_one_of_every_family_have_modes_too() {
    for listen in ["off@localhost:0", "off@:0"] {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", listen]);
        let server = Server::spawn(command);
        assert_eq!(server.exchange(HEADER), HEADER);
    }
    if TcpListener::bind("[::1]:0").is_ok() {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "off@[::1]:0"]);
        let server = Server::spawn(command);
        assert!(server.address.is_ipv6());
        assert_eq!(server.exchange(b"hello"), b"hello");
    }
}

/// Two sockets as descriptors 3 and 4, with these names.
fn with_passed(sockets: [&TcpListener; 2], names: &str, args: &[&str]) -> Command {
    let passed = |socket: &TcpListener| Stdio::from(OwnedFd::from(socket.try_clone().expect("a second handle")));
    let script = "exec 3<&0 4>&2 </dev/null 2>&1; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=$0 exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, names, PROGRAM]).args(args).stdin(passed(sockets[0])).stderr(passed(sockets[1]));
    command
}

#[test]
fn a_passed_socket_has_the_mode_that_it_is_called_by() {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [first, second] = sockets.each_ref().map(|socket| socket.local_addr().expect("an address"));
    let mut command = with_passed([&sockets[0], &sockets[1]], "proxy-echo.socket:off", &[]);
    command.stdout(Stdio::piped());
    // The first socket is the standard input: keep it.
    let mut server = Server::spawn_with_input(command);
    server.wait_for(&format!("server is on {second} (--proxy-protocol off)"));
    assert_eq!(exchange(STRANGER, first, HEADER), HEADER);
    assert_eq!(exchange(STRANGER, first, b"hello"), b"");
    assert_eq!(exchange(STRANGER, second, b"hello"), b"hello");
}

#[test]
fn a_passed_socket_called_mixed_needs_to_know_who_is_trusted() {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let output = with_passed([&sockets[0], &sockets[1]], "mixed:off", &[]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stdout).expect("words");
    assert!(words.contains("descriptor 3 that was passed: --proxy-protocol mixed needs --trust"), "{words}");
}

#[test]
fn only_the_version_that_is_taken_is_taken() {
    for (version, taken, refused) in [("1", HEADER, V2_LOCAL), ("2", V2_LOCAL, HEADER)] {
        for mode in ["required", "optional"] {
            let args = ["--proxy-version", version, "--proxy-protocol", mode, "--admin", "127.0.0.1:0"];
            let mut server = Server::start(&args);
            let admin = admin::address(&mut server);
            let answer = exchange(STRANGER, server.address, &[taken, b"hello"].concat());
            assert!(answer.ends_with(b"hello"), "{version} {mode}: {}", answer.escape_ascii());
            assert_eq!(exchange(STRANGER, server.address, &[refused, b"hello"].concat()), b"");
            server.wait_for("header refused: its version is not the one that --proxy-version takes");
            server.wait_for("#2 is gone: header refused");
            let name = "proxy_echo_headers_refused_total{reason=\"other_version\"}";
            assert_eq!(metric(&text(admin, "/metrics"), name), 1);
            assert_eq!(json(admin, "/status.json")["recent_refusals"][0]["reason"], "other_version");
        }
    }
}

#[test]
fn modes_that_make_no_sense_are_refused() {
    for (args, words) in [
        (&["0", "--proxy-protocol", "mixed"][..], "--proxy-protocol mixed needs --trust"),
        (&["--listen", "mixed@127.0.0.1:0"], "--proxy-protocol mixed needs --trust"),
        (&["--listen", "of@127.0.0.1:0"], "'of' is not a mode: before @ write required, optional, mixed or off"),
        (&["--listen", "@127.0.0.1:0"], "'' is not a mode"),
        (&["--listen", "off@off@127.0.0.1:0"], "expected HOST:PORT"),
        (&["--listen", "off@"], "the port is missing"),
        (&["0", "--proxy-version", "2", "--proxy-protocol", "off"], "--proxy-version chooses a header"),
        (&["0", "--proxy-version", "3"], "'3'"),
    ] {
        let text = refusal(args);
        assert!(text.contains(words) && text.lines().count() == 1, "{args:?}: {text}");
    }
}
