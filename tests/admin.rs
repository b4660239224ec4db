//! The admin port: its figures match what the test did, and its clients are limited.

#[path = "common/admin.rs"]
mod admin;
#[path = "common/client.rs"]
mod client;
#[path = "common/server.rs"]
mod server;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use admin::{connect, exchange, get, get_with, metric, probe};
use client::{HEADER, client, connect_many, round_trip};
use proxy::{Addresses, Tlv, Transport, V2, tlv};
use rustix::process::Signal;
use serde_json::Value;
use server::{DEADLINE, Server};
use socket2::{Domain, SockRef, Socket, Type};

fn start(args: &[&str]) -> (Server, SocketAddr) {
    let mut server = Server::start(&[&["--admin", "127.0.0.1:0"], args].concat());
    let admin = admin::address(&mut server);
    (server, admin)
}

fn json(admin: SocketAddr, path: &str) -> Value {
    let (status, body) = get(admin, path);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("an object")
}

fn v2(tlvs: &[Tlv<'_>]) -> Vec<u8> {
    let (source, destination) = ("[2001:db8::1]:56324".parse().unwrap(), "[2001:db8::2]:443".parse().unwrap());
    let addresses = Addresses::Inet6 { transport: Transport::Stream, source, destination };
    let mut header = Vec::new();
    V2 { command: proxy::Command::Proxy, addresses, tlvs, crc32c: true }.encode(&mut header).expect("it fits");
    header
}

/// Waits until the server has closed `count` connections.
fn wait_for_closed(admin: SocketAddr, count: u64) {
    let end = Instant::now() + DEADLINE;
    let closed = || {
        let status = json(admin, "/status.json");
        let closed = status["connections"]["closed"].as_object().expect("counts");
        closed.values().map(|count| count.as_u64().expect("a count")).sum::<u64>()
    };
    while closed() < count {
        assert!(Instant::now() < end, "{} of {count} are closed", closed());
    }
}

#[test]
fn every_count_is_that_of_what_was_done() {
    let (server, admin) = start(&["--log", "quiet", "--header-timeout", "200ms"]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let unknown = b"PROXY UNKNOWN\r\n";
    for _ in 0..3 {
        server.exchange(&[HEADER, b"Hello\r\n"].concat());
    }
    server.exchange(&[&v2(&[])[..], b"Hello"].concat());
    (0..2).for_each(|_| drop(server.exchange(unknown)));
    server.exchange(local);
    server.exchange(b"");
    // Refused at once, cut off, too late.
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 1.2.3.256 ", b"PROXY TCP4 1.2.3.256 "] {
        let mut stream = server.connect();
        stream.write_all(bytes).expect("the server reads");
        let _ = stream.read(&mut [0]);
    }
    assert_eq!(server.exchange(b"PROXY TCP4"), b"");
    let mut late = server.connect();
    late.write_all(b"PROXY").expect("the server reads");
    assert_eq!(late.read(&mut [0]).expect("the server closes"), 0);
    // Two stay.
    let (mut one, _two) = (client(&server), client(&server));
    round_trip(&mut one);
    wait_for_closed(admin, 13);

    let (_, text) = get(admin, "/metrics");
    let lines = [encode_line(&v2(&[])), unknown.to_vec(), unknown.to_vec(), unknown.to_vec()];
    let reflected = lines.iter().map(Vec::len).sum::<usize>() + 5 * HEADER.len();
    let received = 3 * b"Hello\r\n".len() + b"Hello".len() + b"round trip\n".len();
    for (name, value) in [
        ("proxy_echo_ready", 1),
        ("proxy_echo_connections_accepted_total", 15),
        ("proxy_echo_connections_active", 2),
        ("proxy_echo_connections_closed_total{reason=\"closed_by_peer\"}", 8),
        ("proxy_echo_connections_closed_total{reason=\"header_refused\"}", 3),
        ("proxy_echo_connections_closed_total{reason=\"header_cut\"}", 1),
        ("proxy_echo_connections_closed_total{reason=\"header_timeout\"}", 1),
        ("proxy_echo_connections_closed_total{reason=\"idle_timeout\"}", 0),
        ("proxy_echo_headers_total{version=\"v1\",command=\"PROXY\"}", 5),
        ("proxy_echo_headers_total{version=\"v1\",command=\"UNKNOWN\"}", 2),
        ("proxy_echo_headers_total{version=\"v2\",command=\"PROXY\"}", 1),
        ("proxy_echo_headers_total{version=\"v2\",command=\"LOCAL\"}", 1),
        ("proxy_echo_headers_absent_total", 0),
        ("proxy_echo_headers_refused_total{reason=\"signature\"}", 1),
        ("proxy_echo_headers_refused_total{reason=\"v1_ipv4\"}", 2),
        ("proxy_echo_headers_refused_total{reason=\"cut\"}", 1),
        ("proxy_echo_headers_refused_total{reason=\"late\"}", 1),
        ("proxy_echo_probes_total", 4),
        ("proxy_echo_received_bytes_total", received),
        ("proxy_echo_sent_bytes_total", reflected + received),
        ("proxy_echo_held_bytes", 0),
        ("proxy_echo_connections_waiting", 0),
        ("proxy_echo_accept_errors_total", 0),
        ("proxy_echo_log_lines_dropped_total", 0),
    ] {
        assert_eq!(metric(&text, name), value as u64, "{name}");
    }

    let status = json(admin, "/status.json");
    assert_eq!((&status["state"], &status["listening"][0]), (&"serving".into(), &server.address.to_string().into()));
    assert_eq!(status["connections"]["active"], 2);
    assert_eq!(status["connections"]["closed"]["closed_by_peer"], 8);
    assert_eq!(status["headers"]["v1_proxy"], 5);
    assert_eq!(status["bytes"]["in"], received);
    let refusals = status["recent_refusals"].as_array().expect("an array");
    let reasons: Vec<&str> = refusals.iter().map(|refusal| refusal["reason"].as_str().expect("text")).collect();
    assert_eq!(reasons[..2], ["late", "cut"]);
    assert_eq!(refusals[1]["message"], "it ends too early");
    assert_eq!((&status["refused"][0]["reason"], &status["refused"][0]["count"]), (&"signature".into(), &1.into()));
    assert_eq!(refusals[4]["received"], "GET / HTTP/1.1<CR><LF><CR><LF>");
    assert_eq!((&refusals[3]["offset"], refusals.len()), (&19.into(), 5));
    #[cfg(target_os = "linux")]
    {
        // The request itself needs a connection, and the connection of the metrics before may not be closed yet.
        let files = server.files() as u64;
        let told = status["process"]["open_files"].as_u64().expect("a count");
        assert!((files..=files + 2).contains(&told), "{told} files are reported, {files} are open");
        assert!(metric(&text, "process_resident_memory_bytes") > 1_000_000);
    }
}

fn encode_line(header: &[u8]) -> Vec<u8> {
    match proxy::parse(header) {
        Ok(proxy::Status::Complete(header)) => proxy::encode_v1(&header.addresses).to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_no_client_is_counted_as_such() {
    let (server, admin) = start(&["--trust", "192.0.2.0/24"]);
    let _ = server.connect().read(&mut [0]);
    wait_for_closed(admin, 1);
    let (_, text) = get(admin, "/metrics");
    assert_eq!(metric(&text, "proxy_echo_connections_closed_total{reason=\"not_trusted\"}"), 1);
    assert_eq!(metric(&text, "proxy_echo_probes_total"), 0);
    let (server, admin) = start(&["--proxy-protocol", "optional"]);
    assert_eq!(server.exchange(b"Hello"), b"Hello");
    wait_for_closed(admin, 1);
    assert_eq!(metric(&get(admin, "/metrics").1, "proxy_echo_headers_absent_total"), 1);
    let (server, admin) = start(&["--log", "clients"]);
    let mut half = server.connect();
    half.write_all(b"PROXY").expect("the server reads");
    round_trip(&mut client(&server));
    SockRef::from(&half).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(half);
    wait_for_closed(admin, 2);
    let (_, text) = get(admin, "/metrics");
    assert_eq!(metric(&text, "proxy_echo_connections_closed_total{reason=\"reset_by_peer\"}"), 1);
    assert_eq!(metric(&text, "proxy_echo_probes_total"), 0);
    let log = server.stop();
    assert!(log.iter().any(|line| line.contains("#1 is gone: reset by peer")), "{log:?}");
}

#[test]
fn the_metrics_are_clean_to_prometheus() {
    let (server, admin) = start(&[]);
    round_trip(&mut client(&server));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (tests/run does it)");
    let (_, text) = get(admin, "/metrics");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));

    let (_, open) = get_with(admin, "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE proxy_echo_connections_accepted counter\n"));
    let turns = metric(&text, "proxy_echo_loop_turn_seconds_bucket{le=\"+Inf\"}");
    assert!(turns >= 1 && turns == metric(&text, "proxy_echo_loop_turn_seconds_count"));
}

#[test]
fn connections_are_listed_filtered_and_sorted() {
    let (server, admin) = start(&[]);
    let endpoint = Tlv { kind: tlv::AWS, value: b"\x01vpce-08d2bf15fac5001c9" };
    let hostile = Tlv { kind: tlv::AUTHORITY, value: b"<script>alert(1)</script>\"\x1b\r\n" };
    let mut silent = server.connect();
    silent.write_all(b"PROXY").expect("the server reads");
    let mut streams: Vec<_> = (0..10).map(|_| client(&server)).collect();
    for (count, stream) in streams.iter_mut().enumerate() {
        (0..count).for_each(|_| round_trip(stream));
    }
    let mut special = server.connect();
    special.write_all(&v2(&[endpoint, hostile])).expect("the server reads");
    round_trip_behind_line(&mut special);

    let all = json(admin, "/connections.json");
    assert_eq!((&all["total"], &all["matched"], &all["offset"]), (&12.into(), &12.into(), &0.into()));
    let numbers = |list: &Value| -> Vec<u64> {
        let rows = list["connections"].as_array().expect("rows");
        rows.iter().map(|row| row["connection"].as_u64().expect("a number")).collect()
    };
    assert_eq!(numbers(&all), (1..=12).rev().collect::<Vec<_>>());
    let row = &all["connections"][0];
    assert_eq!(row["peer"], special.local_addr().expect("an address").to_string());
    assert_eq!((&row["version"], &row["family"], &row["state"]), (&2.into(), &"TCP6".into(), &"echoing".into()));
    assert_eq!((&row["source"], &row["destination"]), (&"[2001:db8::1]:56324".into(), &"[2001:db8::2]:443".into()));
    assert_eq!(
        (&row["tlvs"][0]["name"], &row["tlvs"][0]["text"]),
        (&"AWS_VPC_ENDPOINT".into(), &"vpce-08d2bf15fac5001c9".into())
    );
    assert_eq!(row["tlvs"][1]["text"], "<3C>script>alert(1)<3C>/script><22><1B><CR><LF>");
    assert_eq!((&row["bytes_in"], &row["held"]), (&11.into(), &0.into()));
    assert!(row["idle_seconds"].as_f64() <= row["age_seconds"].as_f64());
    let first = &all["connections"][11];
    assert_eq!((&first["state"], first.get("version"), &first["held"]), (&"awaiting_header".into(), None, &5.into()));

    let listed = |query: &str| numbers(&json(admin, &format!("/connections.json?{query}")));
    assert_eq!(listed("sort=bytes_in&limit=3"), [11, 10, 9]);
    assert_eq!(listed("sort=bytes_in&limit=3&offset=3"), [8, 7, 6]);
    assert_eq!(listed("sort=bytes_out&order=asc&limit=2"), [1, 2]);
    let by_age = json(admin, "/connections.json?sort=age");
    let ages: Vec<f64> =
        by_age["connections"].as_array().expect("rows").iter().filter_map(|row| row["age_seconds"].as_f64()).collect();
    assert!(ages.len() == 12 && ages.is_sorted_by(|one, next| one >= next), "{ages:?}");
    assert!(listed("offset=100").is_empty());
    assert_eq!(listed("filter=v2"), [12]);
    assert_eq!(listed("filter=v1&limit=1"), [11]);
    assert_eq!(listed("filter=vpce-08d2"), [12]);
    assert_eq!(listed("filter=authority"), [12]);
    assert_eq!(listed("filter=aws_vpc"), [12]);
    assert_eq!(listed("filter=awaiting+header"), [1]);
    assert_eq!(listed("filter=echoing&limit=2"), [12, 11]);
    assert_eq!(listed("filter=2001:db8::/32"), [12]);
    assert_eq!(listed("filter=192.0.2.1&limit=2"), [11, 10]);
    assert_eq!(listed("filter=127.0.0.0%2F8").len(), 12);
    assert!(listed("filter=nobody").is_empty());
    let (status, words) = get(admin, "/connections.json?limit=2000");
    assert_eq!(status, 400);
    assert!(words.starts_with("limit=2000 makes no sense: "), "{words}");
}

/// Reads the reflected line, then makes a round trip.
fn round_trip_behind_line(stream: &mut std::net::TcpStream) {
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).expect("a line");
    }
    round_trip(stream);
}

#[test]
fn readiness_follows_limits_and_signals() {
    let (mut server, admin) = start(&["--max-connections", "2", "--drain-delay", "1s"]);
    assert_eq!(get(admin, "/livez"), (200, "live\n".to_owned()));
    assert_eq!(get(admin, "/readyz"), (200, "serving\n".to_owned()));
    let one = client(&server);
    let mut two = client(&server);
    assert_eq!(get(admin, "/readyz"), (503, "full\n".to_owned()));
    assert_eq!(metric(&get(admin, "/metrics").1, "proxy_echo_ready"), 0);
    drop(one);
    wait_for_closed(admin, 1);
    assert_eq!(get(admin, "/readyz").0, 200);

    server.signal(Signal::TERM);
    let end = Instant::now() + DEADLINE;
    while get(admin, "/readyz").1 != "draining\n" {
        assert!(Instant::now() < end);
    }
    // A client that connects during the delay is served to its end.
    let mut late = client(&server);
    server.wait_for("server is leaving: it accepts for 1s more");
    assert_eq!(get(admin, "/livez").0, 200);
    let refused = || {
        std::net::TcpStream::connect(server.address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    while !refused() {
        assert!(Instant::now() < end);
    }
    assert_eq!(get(admin, "/readyz").0, 503);
    round_trip(&mut late);
    round_trip(&mut two);
    drop((late, two));
    assert!(server.ended().success());
}

#[test]
fn what_remains_after_the_time_to_finish_is_said() {
    let (mut server, _) = start(&["--log", "quiet", "--drain-timeout", "100ms"]);
    let _streams = [client(&server), client(&server)];
    server.signal(Signal::TERM);
    server.wait_for("connections that are still open are cut: 2");
    assert!(server.ended().success());
}

#[test]
fn a_balancers_header_is_accepted_before_a_request() {
    let (_server, admin) = start(&[]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for header in [HEADER.to_vec(), local, v2(&[])] {
        let answer = exchange(admin, &[&header[..], b"GET /readyz HTTP/1.0\r\n\r\n"].concat());
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("serving\n"), "{answer}");
    }
}

#[test]
fn bad_requests_get_the_right_status() {
    let (_server, admin) = start(&[]);
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(9000));
    let body = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{}", "a".repeat(100_000));
    for (request, start) in [
        (&b"GET /nothing HTTP/1.0\r\n\r\n"[..], "HTTP/1.1 404 Not Found\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 421 Misdirected Request\r\n"),
        (body.as_bytes(), "HTTP/1.1 405 Method Not Allowed\r\n"),
        (long.as_bytes(), "HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9000)).as_bytes(), "HTTP/1.1 414 URI Too Long\r\n"),
        (b"GET / HTTP/3.0\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n"),
        (b"Hello\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
    ] {
        let answer = exchange(admin, request);
        assert!(answer.starts_with(start), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    let allow = exchange(admin, b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(allow.contains("\r\nAllow: GET, HEAD\r\n"), "{allow}");
    let head = exchange(admin, b"HEAD /livez HTTP/1.0\r\n\r\n");
    assert!(head.contains("\r\nContent-Length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let head = exchange(admin, b"HEAD / HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 400 ") && head.ends_with("\r\n\r\n"), "{head}");
    let absolute = exchange(admin, b"GET http://admin/livez HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    assert!(absolute.ends_with("\r\n\r\nlive\n"), "{absolute}");
}

#[test]
fn clients_that_say_nothing_keep_nobody_out_and_leak_nothing() {
    let (server, admin) = start(&["--log", "quiet"]);
    assert_eq!(get(admin, "/livez").0, 200);
    #[cfg(target_os = "linux")]
    let before = server.files();
    let mut silent: Vec<_> = (0..100).map(|_| connect(admin)).collect();
    for stream in &mut silent {
        // The server may have closed the first ones already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n");
    }
    for _ in 0..100 {
        assert_eq!(get(admin, "/livez").0, 200);
        round_trip(&mut client(&server));
    }
    drop(silent);
    #[cfg(target_os = "linux")]
    {
        let end = Instant::now() + DEADLINE;
        while server.files() > before {
            assert!(Instant::now() < end, "{} files are open, and {before} were", server.files());
        }
    }
}

#[test]
fn a_client_that_does_not_read_its_answers_is_not_read_from() {
    let (server, admin) = start(&["--log", "quiet"]);
    // A small window is full sooner.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&admin.into()).expect("the admin port accepts");
    let mut stream = std::net::TcpStream::from(socket);
    stream.set_nonblocking(true).expect("non-blocking");
    let request = b"GET /connections.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let mut other = client(&server);
    let mut refused = 0;
    while refused < 100 {
        match stream.write(&request) {
            Ok(_) => refused = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => refused += 1,
            Err(error) => panic!("{error}"),
        }
        round_trip(&mut other);
    }
    stream.set_nonblocking(false).expect("blocking");
    stream.shutdown(Shutdown::Write).expect("half-close");
    let mut answers = String::new();
    // An answer may be cut off by the end of the connection.
    let _ = stream.read_to_string(&mut answers);
    assert!(answers.matches("HTTP/1.1 200 OK\r\n").count() > 100);
}

#[test]
fn a_client_that_takes_too_long_is_closed() {
    let (_server, admin) = start(&[]);
    let mut slow = connect(admin);
    slow.write_all(b"GET / HTTP/1.1\r\nHo").expect("the server reads");
    let start = Instant::now();
    assert_eq!(slow.read(&mut [0]).expect("the server closes"), 0);
    assert!(start.elapsed() > Duration::from_secs(14), "{:?}", start.elapsed());
}

#[test]
fn a_page_of_another_site_cannot_ask_by_its_own_name() {
    let (_server, admin) = start(&["--admin-host", "echo.example,Proxy-Echo"]);
    let status = |path: &str, host: &str| {
        let answer =
            exchange(admin, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
        answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).expect("a status")
    };
    let known =
        ["127.0.0.1", "127.0.0.1:9000", "[::1]:9000", "localhost", "LOCALHOST:1", "echo.example", "proxy-echo:80", ""];
    for path in
        ["/", "/status.json", "/connections.json", "/balancers.json", "/history.json", "/metrics", "/livez", "/readyz"]
    {
        for host in known {
            assert_eq!(status(path, host), 200, "{path} of {host}");
        }
        // Health checks and scrapes under a service's name still work.
        let expected = if matches!(path, "/metrics" | "/livez" | "/readyz") { 200 } else { 421 };
        for host in ["evil.example", "evil.example:9000", "echo.example.evil", "127.0.0.1.evil.example"] {
            assert_eq!(status(path, host), expected, "{path} of {host}");
        }
        let without = exchange(admin, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        assert!(without.starts_with("HTTP/1.1 200 OK\r\n"), "{without}");
    }
    let absolute = exchange(
        admin,
        b"GET http://evil.example/status.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(absolute.starts_with("HTTP/1.1 421 "), "{absolute}");
    let words = exchange(admin, b"GET / HTTP/1.0\r\nHost: evil\"<b>\r\n\r\n");
    assert!(words.contains("evil<22><3C>b>") && words.contains("--admin-host"), "{words}");
}

#[test]
fn health_checks_are_answered_while_others_flood_the_port() {
    let (_server, admin) = start(&["--log", "quiet"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for request in
            [&b""[..], b"GET / HTTP/1.1\r\nHo", b"GET /connections.json?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"]
        {
            let is_over = &is_over;
            threads.spawn(move || {
                let mut streams = VecDeque::new();
                while !is_over.load(Ordering::Relaxed) {
                    let mut stream = connect(admin);
                    // The server may have closed it by now.
                    let _ = stream.write_all(request);
                    streams.push_back(stream);
                    if streams.len() > 200 {
                        streams.pop_front();
                    }
                }
            });
        }
        let failed: Vec<_> = (0..200).filter_map(|_| probe(admin).err()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(failed.is_empty(), "{} of 200 fail: {:?}", failed.len(), failed[0]);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn clients_that_do_not_read_cost_little_memory() {
    const COUNT: usize = 1000;
    let (server, admin) = start(&["--log", "quiet", "--reflect-header", "false"]);
    let header = v2(&[Tlv { kind: tlv::AUTHORITY, value: &[1; 900] }]);
    let mut streams = connect_many(&server, COUNT);
    for stream in &mut streams {
        stream.write_all(&header).expect("the server reads");
    }
    let end = Instant::now() + DEADLINE;
    while json(admin, "/status.json")["headers"]["v2_proxy"] != COUNT {
        assert!(Instant::now() < end);
    }
    let before = server.data();
    let readers: Vec<_> = (0..16)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_recv_buffer_size(4096).expect("a small buffer");
            socket.connect(&admin.into()).expect("the admin port accepts");
            let mut stream = std::net::TcpStream::from(socket);
            let request = b"GET /connections.json?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
            stream.write_all(request).expect("the server reads");
            stream
        })
        .collect();
    for reader in &readers {
        reader.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        assert_eq!(reader.peek(&mut [0]).expect("the answer begins"), 1);
    }
    let kib = server.data().saturating_sub(before);
    assert!(kib < 8 * 1024, "16 clients that do not read cost {kib} KiB");
}

#[test]
fn each_balancer_has_its_counts() {
    let (server, admin) = start(&["--log", "quiet"]);
    let from = |peer: &str, bytes: &[u8]| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&format!("{peer}:0").parse::<SocketAddr>().expect("an address").into()).expect("it can be bound");
        socket.connect(&server.address.into()).expect("the server accepts");
        let mut stream = std::net::TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.write_all(bytes).expect("the server reads");
        stream
    };
    let open = [from("127.0.0.2", HEADER), from("127.0.0.3", &v2(&[])), from("127.0.0.3", &v2(&[]))];
    drop(from("127.0.0.3", HEADER));
    let _ = from("127.0.0.4", b"GET / HTTP/1.1\r\n\r\n").read(&mut [0]);
    wait_for_closed(admin, 2);
    let end = Instant::now() + DEADLINE;
    let balancers = loop {
        let all = json(admin, "/balancers.json");
        let headers = |row: &Value| row["v1"].as_u64().unwrap_or(0) + row["v2"].as_u64().unwrap_or(0);
        if all["balancers"].as_array().expect("rows").iter().map(headers).sum::<u64>() == 4 {
            break all;
        }
        assert!(Instant::now() < end, "{all}");
    };
    let row = |index: usize| {
        let row = &balancers["balancers"][index];
        let figures =
            ["active", "accepted", "v1", "v2", "absent", "refused"].map(|name| row[name].as_u64().expect("a count"));
        (row["peer"].as_str().expect("an address"), figures)
    };
    assert_eq!(row(0), ("127.0.0.3", [2, 3, 1, 2, 0, 0]));
    assert_eq!(row(1), ("127.0.0.2", [1, 1, 1, 0, 0, 0]));
    assert_eq!(row(2), ("127.0.0.4", [0, 1, 0, 0, 0, 1]));
    assert_eq!(balancers["others"], Value::Null);
    let seen = balancers["balancers"][0]["last_seen"].as_str().expect("a time");
    assert!(seen.starts_with("20") && seen.ends_with('Z'), "{seen}");
    let highest = json(admin, "/status.json")["highest"].clone();
    assert!((3..=5).contains(&highest["active"]["value"].as_u64().expect("a count")), "{highest}");
    let history = json(admin, "/history.json");
    assert_eq!(history["period_seconds"], 10);
    assert!(history["active"].is_array() && history["bytes_out"].is_array());
    drop(open);
}
