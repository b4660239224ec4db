//! Headers that arrive in pieces, with payload after them, through a real socket.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use proxy::{Addresses, Command, Tlv, Transport, V2, tlv};

#[path = "common/server.rs"]
mod server;

use server::Server;

/// Bytes that could begin a second header, and no end of the last line.
const PAYLOAD: &[u8] = b"Hello\r\nPROXY TCP4 \0\xff";

const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

/// A valid header, and the line that the server reflects for it.
struct Case {
    header: Vec<u8>,
    line: Vec<u8>,
}

fn v1(line: &str) -> Case {
    Case { header: line.into(), line: line.into() }
}

/// A version 2 header from its bytes 13 and 14 and the bytes after its length.
fn v2(command_and_family: [u8; 2], rest: &[u8], line: &[u8]) -> Case {
    let length = u16::try_from(rest.len()).expect("it can be counted").to_be_bytes();
    let header = [b"\r\n\r\n\0\r\nQUIT\n", &command_and_family[..], &length, rest].concat();
    Case { header, line: line.to_vec() }
}

fn v2_with_tlvs(transport: Transport, tlvs: &[Tlv], line: &[u8]) -> Case {
    let (source, destination) = ("192.0.2.1:56324".parse().unwrap(), "192.0.2.2:443".parse().unwrap());
    let addresses = Addresses::Inet { transport, source, destination };
    let mut header = Vec::new();
    V2 { command: Command::Proxy, addresses, tlvs, crc32c: true }.encode(&mut header).expect("it fits");
    Case { header, line: line.to_vec() }
}

fn cases() -> Vec<Case> {
    const TCP4: &[u8] = b"\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb";
    const TCP4_LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
    let ipv6 = [&[0xff; 32][..], &[0xdc, 0x04, 0x01, 0xbb]].concat();
    let ipv6_line = format!("PROXY TCP6 {0} {0} 56324 443\r\n", ["ffff"; 8].join(":"));
    let unix = [&b"/run/client.sock"[..], &[0; 92], b"/run/server.sock", &[0; 92]].concat();
    // An AWS balancer's health check: it states a family, but has TLVs in place of the addresses.
    let local = [&b"\x03\0\x04\xbc\xe5\x95\x1f\x04\0\x4a"[..], &[0; 74]].concat();
    let tlvs = [
        Tlv { kind: tlv::AUTHORITY, value: b"example.com" },
        Tlv { kind: tlv::SSL, value: b"\x01\0\0\0\0\x21\0\x07TLSv1.3" },
        Tlv { kind: tlv::AWS, value: b"\x01vpce-08d2bf15fac5001c9" },
    ];
    vec![
        v1("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"),
        v1("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
        v1("PROXY TCP6 :: ::1 0 2\r\n"),
        v1(&format!("PROXY TCP6 {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"))),
        v1("PROXY UNKNOWN\r\n"),
        v1(&format!("PROXY UNKNOWN {:x<91}\r\n", "")),
        v2([0x21, 0x11], TCP4, TCP4_LINE),
        v2([0x21, 0x12], TCP4, UNKNOWN),
        v2([0x21, 0x21], &ipv6, ipv6_line.as_bytes()),
        v2([0x21, 0x22], &ipv6, UNKNOWN),
        v2([0x21, 0x31], &unix, UNKNOWN),
        v2([0x21, 0x32], &unix, UNKNOWN),
        v2([0x21, 0x00], b"", UNKNOWN),
        v2([0x20, 0x00], b"", UNKNOWN),
        v2([0x20, 0x11], &local, UNKNOWN),
        v2_with_tlvs(Transport::Stream, &tlvs, TCP4_LINE),
        v2_with_tlvs(Transport::Datagram, &tlvs, UNKNOWN),
    ]
}

/// The longest possible header.
fn longest() -> Case {
    let padding = vec![0; usize::from(u16::MAX) - 12 - 7 - 3];
    let tlvs = [Tlv { kind: tlv::NOOP, value: &padding }];
    v2_with_tlvs(Transport::Stream, &tlvs, b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n")
}

/// A connection that shows when the server has read the bytes of others. Its answers come after theirs, because
/// connections are accepted in order and reported in the order in which their data arrived.
struct Control(TcpStream);

impl Control {
    fn new(server: &Server) -> Control {
        let mut stream = server.connect();
        stream.write_all(UNKNOWN).expect("the server reads");
        let mut control = Control(stream);
        control.wait();
        control.wait();
        control
    }

    fn wait(&mut self) {
        self.0.write_all(b".\n").expect("the server reads");
        let mut byte = [0];
        while byte != *b"." {
            self.0.read_exact(&mut byte).expect("the server answers");
        }
        self.0.read_exact(&mut byte).expect("the server answers");
    }
}

/// Sends FIN, and expects the whole answer of `case`.
fn finish(mut stream: TcpStream, case: &Case, line: &[u8], pieces: &str) {
    stream.shutdown(Shutdown::Write).expect("half-close");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers and closes");
    let expected = [line, PAYLOAD].concat();
    assert!(answer == expected, "{} {pieces}: {}", case.header.escape_ascii(), answer.escape_ascii());
}

/// Sends `case` in two pieces, once for each of `positions`. The server reads the first piece before the second is
/// sent.
fn split(server: &Server, case: &Case, line: &[u8], positions: impl Iterator<Item = usize>) {
    let whole = [&case.header, PAYLOAD].concat();
    let positions: Vec<usize> = positions.collect();
    // Fewer than the server accepts or polls at a time.
    for positions in positions.chunks(100) {
        let send_first = |&at: &usize| {
            let mut stream = server.connect();
            stream.write_all(&whole[..at]).expect("the server reads");
            (stream, at)
        };
        let mut begun: Vec<_> = positions.iter().map(send_first).collect();
        Control::new(server);
        for (stream, at) in &mut begun {
            stream.write_all(&whole[*at..]).expect("the server reads");
        }
        for (stream, at) in begun {
            finish(stream, case, line, &format!("cut at {at}"));
        }
    }
}

/// Sends `case` in pieces of `size` bytes; the server reads each before the next is sent.
fn crumble(server: &Server, case: &Case, line: &[u8], size: usize) {
    let mut control = Control::new(server);
    let mut stream = server.connect();
    // After this, the connection is accepted and its events are reported.
    Control::new(server);
    for piece in [&case.header, PAYLOAD].concat().chunks(size) {
        stream.write_all(piece).expect("the server reads");
        control.wait();
    }
    finish(stream, case, line, &format!("in pieces of {size}"));
}

fn cut_everywhere(args: &[&str], reflects: bool) {
    let server = Server::start(&[args, &["--log", "quiet"]].concat());
    for case in &cases() {
        let line = if reflects { &case.line[..] } else { b"" };
        split(&server, case, line, 1..case.header.len() + PAYLOAD.len());
        crumble(&server, case, line, 1);
    }
    let case = longest();
    let line = if reflects { &case.line[..] } else { b"" };
    let end = case.header.len();
    split(&server, &case, line, (1..end).step_by(4093).chain(end - 8..end + PAYLOAD.len()));
    crumble(&server, &case, line, 97);
}

#[test]
fn a_header_may_be_cut_anywhere() {
    cut_everywhere(&[], true);
}

#[test]
fn a_header_may_be_cut_anywhere_where_it_is_optional() {
    cut_everywhere(&["--proxy-protocol", "optional"], true);
}

#[test]
fn a_header_may_be_cut_anywhere_before_lines() {
    cut_everywhere(&["--echo", "lines"], true);
}

#[test]
fn a_header_may_be_cut_anywhere_that_is_not_sent_back() {
    cut_everywhere(&["--reflect-header", "false"], false);
}
