//! The log: the article's scenes in its words, the levels, both formats, and protection against hostile peers.

use std::io::{Read, Write};
use std::net::Shutdown;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use proxy::{Addresses, Command, Tlv, Transport, V2, tlv};
use rustix::process::Signal;
use serde_json::{Value, json};

#[path = "common/server.rs"]
mod server;

use server::{DEADLINE, Server};

/// Bytes that end a line, control a terminal, or look like one of the log's own escapes.
const HOSTILE: &[u8] = b"\x1b[2J\r2026-11-22T06:30:32.898Z #9 is gone\x07\0\x7f\xc2\x9b\xe2\x80\xae\"<LF>\\\n";
const ESCAPED: &str = "<1B>[2J<CR>2026-11-22T06:30:32.898Z #9 is gone<07><00><7F><C2><9B><E2><80><AE><22><3C>LF>\\<LF>";

/// The lines of the log without the parts that differ between runs: the time at their start, which must be UTC, and a
/// connection's duration at their end.
fn told(log: &[String]) -> Vec<String> {
    let tell = |line: &String| {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        let (time, event) = line.split_once(' ').expect("a time and an event");
        assert!(time.len() == "2026-11-22T06:30:32.898Z".len() && humantime::parse_rfc3339(time).is_ok(), "{line}");
        let Some((rest, duration)) = event.rsplit_once(", ").filter(|_| event.contains(" is gone: ")) else {
            return event.to_owned();
        };
        let seconds = duration.strip_suffix(" s").and_then(|seconds| seconds.split_once('.')).expect("a duration");
        assert!(seconds.0.parse::<u64>().is_ok() && seconds.1.len() == 3, "{line}");
        rest.to_owned()
    };
    log.iter().map(tell).collect()
}

/// The lines of a JSON log without the fields that differ between runs.
fn told_in_json(log: &[String]) -> Vec<Value> {
    let tell = |line: &String| {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        let mut value: Value = serde_json::from_str(line).expect("an object");
        let fields = value.as_object_mut().expect("an object");
        let time = fields.remove("time").expect("a time");
        assert!(humantime::parse_rfc3339(time.as_str().expect("text")).is_ok(), "{line}");
        if value["event"] == "gone" {
            assert!(value["seconds"].take().as_f64().is_some_and(|seconds| seconds >= 0.0), "{line}");
        }
        value
    };
    log.iter().map(tell).collect()
}

fn expect(stream: &mut impl Read, bytes: &[u8]) {
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert!(answer == bytes, "{} is not {}", answer.escape_ascii(), bytes.escape_ascii());
}

fn v2(command: Command, addresses: Addresses, tlvs: &[Tlv], crc32c: bool) -> Vec<u8> {
    let mut header = Vec::new();
    V2 { command, addresses, tlvs, crc32c }.encode(&mut header).expect("it fits");
    header
}

fn tcp4() -> Addresses<'static> {
    let (source, destination) = ("124.100.123.123:53971".parse().unwrap(), "10.0.8.154:8888".parse().unwrap());
    Addresses::Inet { transport: Transport::Stream, source, destination }
}

fn padded(path: &[u8]) -> [u8; 108] {
    let mut padded = [0; 108];
    padded[..path.len()].copy_from_slice(path);
    padded
}

#[test]
fn the_articles_health_check_and_its_telnet() {
    const CHECK: &[u8] = b"PROXY TCP4 172.31.10.61 10.0.8.154 11871 8888\r\n";
    const CLIENT: &[u8] = b"PROXY TCP4 124.100.123.123 10.0.8.154 53971 8888\r\n";
    let server = Server::start(&["--log", "lines"]);
    let talk = |typed: &[&[u8]]| {
        let mut stream = server.connect();
        for line in typed {
            stream.write_all(line).expect("the server reads");
            expect(&mut stream, line);
        }
        stream.shutdown(Shutdown::Write).expect("half-close");
        assert_eq!(stream.read(&mut [0]).expect("the server closes"), 0);
        stream.local_addr().expect("it was connected")
    };
    let address = server.address;
    let check = talk(&[CHECK]);
    let telnet = talk(&[CLIENT, b"Hello\r\n", b"Quit\r\n"]);
    assert_eq!(
        told(&server.stop()),
        [
            format!("server is on {address}"),
            format!("#1 is accepted, peer {check}"),
            "#1 PROXY v1 TCP4 172.31.10.61:11871 -> 10.0.8.154:8888".into(),
            "#1 IN> PROXY TCP4 172.31.10.61 10.0.8.154 11871 8888<CR><LF>".into(),
            "#1 is gone: closed by peer, 0 bytes in, 47 bytes out".into(),
            format!("#2 is accepted, peer {telnet}"),
            "#2 PROXY v1 TCP4 124.100.123.123:53971 -> 10.0.8.154:8888".into(),
            "#2 IN> PROXY TCP4 124.100.123.123 10.0.8.154 53971 8888<CR><LF>".into(),
            "#2 IN> Hello<CR><LF>".into(),
            "#2 IN> Quit<CR><LF>".into(),
            "#2 is gone: closed by peer, 13 bytes in, 63 bytes out".into(),
            "server was terminated.".into(),
        ]
    );
}

#[test]
fn each_level_of_the_log_includes_the_one_before() {
    for (level, connections) in [
        ("quiet", &[][..]),
        ("clients", &["#2 is accepted", "#2 PROXY v1 TCP4", "#2 is gone"]),
        ("connections", &["#1 is accepted", "#1 is gone", "#2 is accepted", "#2 PROXY v1 TCP4", "#2 is gone"]),
        (
            "lines",
            &["#1 is accepted", "#1 is gone", "#2 is accepted", "#2 PROXY v1 TCP4", "#2 IN> ", "#2 IN> ", "#2 is gone"],
        ),
    ] {
        let server = Server::start(&["--log", level]);
        server.exchange(b"");
        server.exchange(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nHello\r\n");
        let lines = told(&server.stop());
        let expected = [&["server is on "][..], connections, &["server was terminated."]].concat();
        assert!(
            lines.len() == expected.len() && lines.iter().zip(&expected).all(|(line, words)| line.starts_with(words)),
            "{level}: {lines:#?}"
        );
    }
}

#[test]
fn clients_are_logged_in_whole_and_health_checks_not_at_all() {
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    const ITSELF: &[u8] = b"PROXY TCP4 127.0.0.1 192.0.2.2 28225 443\r\n";
    const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
    let server = Server::start(&["--log", "clients"]);
    for check in [LOCAL, b"", ITSELF, UNKNOWN] {
        server.exchange(check);
    }
    for client in [
        &[LOCAL, b"a"].concat()[..],
        &[ITSELF, b"b"].concat(),
        &[UNKNOWN, b"c"].concat(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
        b"PROXY TC",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        server.exchange(client);
    }
    let log = told(&server.stop()).join("\n");
    let accepted = log.lines().filter(|line| line.contains(" is accepted, peer 127.0.0.1:")).count();
    assert_eq!(accepted, 6, "{log}");
    let rest: Vec<_> = log.lines().filter(|line| line.starts_with('#') && !line.contains(" is accepted")).collect();
    assert_eq!(
        rest,
        [
            "#5 PROXY v2 LOCAL",
            "#5 is gone: closed by peer, 1 bytes in, 16 bytes out",
            "#6 PROXY v1 TCP4 127.0.0.1:28225 -> 192.0.2.2:443",
            "#6 is gone: closed by peer, 1 bytes in, 43 bytes out",
            "#7 PROXY v1 UNKNOWN",
            "#7 is gone: closed by peer, 1 bytes in, 16 bytes out",
            "#8 PROXY v1 TCP4 192.0.2.1:56324 -> 192.0.2.2:443",
            "#8 is gone: closed by peer, 0 bytes in, 42 bytes out",
            "#9 header refused: it ends too early at byte 8, in \"PROXY TC\"",
            "#9 is gone: closed by peer inside the header, 0 bytes in, 0 bytes out",
            "#10 header refused: neither a PROXY line nor the version 2 signature at byte 0, in \"GET / HTTP/1.1<CR><LF><CR><LF>\"",
            "#10 is gone: header refused, 0 bytes in, 0 bytes out",
        ]
    );
}

/// Every TLV that has a name, with a value of its form, and some without a name.
const TLVS: &[Tlv] = &[
    Tlv { kind: tlv::ALPN, value: b"h2" },
    Tlv { kind: tlv::AUTHORITY, value: b"example.com" },
    Tlv { kind: tlv::NOOP, value: b"\0\0\0" },
    Tlv { kind: tlv::UNIQUE_ID, value: b"\x01\xff" },
    Tlv {
        kind: tlv::SSL,
        value: b"\x07\0\0\0\x0a\x21\0\x07TLSv1.3\x22\0\x01c\x23\0\x03AES\x24\0\x03SHA\x25\0\x05EC256\x26\0\x06X25519\
                 \x27\0\x05ecdsa\x28\0\x02\x30\x82",
    },
    Tlv { kind: tlv::NETNS, value: b"blue" },
    Tlv { kind: tlv::AWS, value: b"\x01vpce-08d2bf15fac5001c9" },
    Tlv { kind: tlv::AWS, value: b"\x02x" },
    Tlv { kind: tlv::AZURE, value: b"\x01\x04\x03\x02\x01" },
    Tlv { kind: tlv::GOOGLE_PSC, value: b"\0\0\0\0\x01\x02\x03\x04" },
    Tlv { kind: 0xe5, value: b"\xca\xfe" },
];

#[test]
fn tlvs_are_named_and_decoded() {
    let mut server = Server::start(&[]);
    let header = v2(Command::Proxy, tcp4(), TLVS, true);
    server.exchange(&header);
    let checksum = u32::from_be_bytes(*header.last_chunk().expect("it stands last"));
    assert_eq!(
        server.story(1)[1],
        format!(
            "PROXY v2 TCP4 124.100.123.123:53971 -> 10.0.8.154:8888, ALPN \"h2\", AUTHORITY \"example.com\", NOOP of 3 bytes, \
             UNIQUE_ID 01ff, SSL (client 0x07, verify 10, VERSION \"TLSv1.3\", CN \"c\", CIPHER \"AES\", SIG_ALG \"SHA\", \
             KEY_ALG \"EC256\", GROUP \"X25519\", SIG_SCHEME \"ecdsa\", CLIENT_CERT 3082), NETNS \"blue\", \
             AWS_VPC_ENDPOINT \"vpce-08d2bf15fac5001c9\", 0xea 0278, AZURE_LINKID 16909060, GOOGLE_PSC 16909060, 0xe5 cafe, \
             CRC32C 0x{checksum:08x}"
        )
    );
}

#[test]
fn a_log_in_json_has_the_same_events() {
    let server = Server::start(&["--log-format", "json", "--log", "lines"]);
    let address = server.address;
    let header = v2(Command::Proxy, tcp4(), TLVS, true);
    let checksum = u32::from_be_bytes(*header.last_chunk().expect("it stands last"));
    server.exchange(&[&header, &b"Hello\r\nQuit"[..]].concat());
    server.exchange(b"PROXY UNKNOWN\r\n");
    let unix =
        Addresses::Unix { transport: Transport::Stream, source: &padded(HOSTILE), destination: &padded(b"\0abstract") };
    server.exchange(&v2(Command::Proxy, unix, &[], false));
    server.exchange(b"PROXY TCP4 1.2.3.256");
    let mut lines = told_in_json(&server.stop());
    for line in lines.iter_mut().filter(|line| line["event"] == "accepted") {
        assert!(line["peer"].take().as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
    }
    let gone = |connection, reason, bytes_in, bytes_out| {
        json!({"event": "gone", "connection": connection, "reason": reason, "bytes_in": bytes_in, "bytes_out": bytes_out,
               "bytes_unsent": 0, "seconds": null})
    };
    let accepted = |connection| json!({"event": "accepted", "connection": connection, "peer": null});
    let expected = [
        json!({"event": "listening", "address": address.to_string(), "proxy_protocol": "required"}),
        accepted(1),
        json!({"event": "header", "connection": 1, "version": 2, "family": "TCP4", "source": "124.100.123.123:53971",
        "destination": "10.0.8.154:8888", "tlvs": [
            {"type": 0x01, "name": "ALPN", "text": "h2"},
            {"type": 0x02, "name": "AUTHORITY", "text": "example.com"},
            {"type": 0x04, "name": "NOOP", "padding": 3},
            {"type": 0x05, "name": "UNIQUE_ID", "hex": "01ff"},
            {"type": 0x20, "name": "SSL", "client": 7, "verify": 10, "tlvs": [
                {"type": 0x21, "name": "VERSION", "text": "TLSv1.3"},
                {"type": 0x22, "name": "CN", "text": "c"},
                {"type": 0x23, "name": "CIPHER", "text": "AES"},
                {"type": 0x24, "name": "SIG_ALG", "text": "SHA"},
                {"type": 0x25, "name": "KEY_ALG", "text": "EC256"},
                {"type": 0x26, "name": "GROUP", "text": "X25519"},
                {"type": 0x27, "name": "SIG_SCHEME", "text": "ecdsa"},
                {"type": 0x28, "name": "CLIENT_CERT", "hex": "3082"},
            ]},
            {"type": 0x30, "name": "NETNS", "text": "blue"},
            {"type": 0xea, "name": "AWS_VPC_ENDPOINT", "text": "vpce-08d2bf15fac5001c9"},
            {"type": 0xea, "hex": "0278"},
            {"type": 0xee, "name": "AZURE_LINKID", "id": 16_909_060},
            {"type": 0xe0, "name": "GOOGLE_PSC", "id": 16_909_060},
            {"type": 0xe5, "hex": "cafe"},
            {"type": 0x03, "name": "CRC32C", "checksum": checksum},
        ]}),
        json!({"event": "input", "connection": 1, "text": "Hello<CR><LF>"}),
        json!({"event": "input", "connection": 1, "text": "Quit"}),
        gone(1, "closed_by_peer", 11, 61),
        accepted(2),
        json!({"event": "header", "connection": 2, "version": 1, "family": "UNKNOWN"}),
        json!({"event": "input", "connection": 2, "text": "PROXY UNKNOWN<CR><LF>"}),
        gone(2, "closed_by_peer", 0, 15),
        accepted(3),
        json!({"event": "header", "connection": 3, "version": 2, "family": "UNIX_STREAM", "source": ESCAPED,
               "destination": "<00>abstract", "tlvs": []}),
        gone(3, "closed_by_peer", 0, 15),
        accepted(4),
        json!({"event": "refused", "connection": 4, "reason": "v1_ipv4", "message": "not an IPv4 address in canonical form", "offset": 19,
               "received": "PROXY TCP4 1.2.3.256"}),
        gone(4, "header_refused", 0, 0),
        json!({"event": "terminated"}),
    ];
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.len(), expected.len());
}

#[test]
fn no_peer_writes_a_line_or_a_control_character_into_the_log() {
    for format in ["text", "json"] {
        let server = Server::start(&["--log", "lines", "--log-format", format]);
        let tlvs = [tlv::ALPN, tlv::AUTHORITY, tlv::UNIQUE_ID, tlv::NETNS, tlv::SSL, tlv::AWS, 0xe5]
            .map(|kind| Tlv { kind, value: HOSTILE });
        let subject = [b"\x07\0\0\0\0\x22\0", &[HOSTILE.len() as u8][..], HOSTILE].concat();
        let tlvs = [&tlvs[..], &[Tlv { kind: tlv::SSL, value: &subject }]].concat();
        let unix =
            Addresses::Unix { transport: Transport::Stream, source: &padded(HOSTILE), destination: &padded(HOSTILE) };
        server.exchange(&[&v2(Command::Proxy, unix, &tlvs, true), HOSTILE].concat());
        server.exchange(&[b"PROXY UNKNOWN ", HOSTILE, b"\r\n"].concat());
        server.exchange(HOSTILE);
        server.exchange(&[b"PROXY TCP4 ", HOSTILE].concat());
        let log = server.stop();
        let events = match format {
            "text" => told(&log),
            _ => told_in_json(&log).iter().map(|event| event["event"].to_string()).collect(),
        };
        // Start and stop; a header and one line; a header as a line; two refusals; and four connections accepted and
        // gone.
        assert_eq!(events.len(), 2 + 2 + 2 + 1 + 1 + 4 * 2, "{log:#?}");
        let shown = log.iter().map(|line| line.replace("\\\\", "\\").matches(ESCAPED).count()).sum::<usize>();
        // Paths, host, protocol, namespace and subject in the first; then the texts that are shown as received.
        assert_eq!(shown, 2 + 4 + 1 + 1 + 1 + 1, "{log:#?}");
    }
}

#[test]
fn what_a_server_in_json_says_of_itself() {
    let mut server =
        Server::start(&["--log-format", "json", "--proxy-protocol", "optional", "--drain-timeout", "1500ms"]);
    let mut stream = server.connect();
    stream.write_all(b"Hello").expect("the server reads");
    expect(&mut stream, b"Hello");
    server.signal(Signal::TERM);
    server.wait_for("stopping");
    drop(stream);
    server.wait_for("terminated");
    let lines = told_in_json(&server.log);
    assert_eq!(lines[1], json!({"event": "guessing", "trusted": false}));
    assert_eq!(lines[3], json!({"event": "plain", "connection": 1}));
    assert_eq!(lines[4], json!({"event": "stopping", "connections": 1, "seconds": 1.5}));
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody_and_counts_what_it_loses() {
    /// More than the pipe, the queue and the test's own buffer take.
    const LINES: usize = 1 << 20;
    const HEADER: &[u8] = b"PROXY UNKNOWN\r\n";
    let mut server = Server::start(&["--log", "lines"]);
    let mut stream = server.connect();
    stream.write_all(HEADER).expect("the server reads");
    expect(&mut stream, HEADER);
    thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&vec![b'\n'; LINES]).expect("the server reads"));
        expect(&mut &stream, &vec![b'\n'; LINES]);
    });
    let (end, is_told) = (Instant::now() + DEADLINE, AtomicBool::new(false));
    let more = thread::scope(|scope| {
        // The next line that finds room reports the loss.
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !is_told.load(Relaxed) && Instant::now() < end {
                stream.write_all(b"\n").expect("the server reads");
                expect(&mut stream, b"\n");
                sent += 1;
            }
            sent
        });
        server.wait_for("were dropped");
        is_told.store(true, Relaxed);
        sender.join().expect("all was sent")
    });
    drop(stream);
    server.wait_for(" is gone");
    let lines = told(&server.stop());
    let count =
        |line: &String| line.strip_suffix(" log lines were dropped: their reader is too slow")?.parse::<usize>().ok();
    let dropped: usize = lines.iter().filter_map(count).sum();
    assert_eq!(lines.iter().filter(|line| *line == "#1 IN> <LF>").count() + dropped, LINES + more);
}
