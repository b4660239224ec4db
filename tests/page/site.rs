//! A server with an admin port, connections of every kind, and its status page in a browser.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use proxy::{Addresses, Command, Tlv, Transport, V2, encode_v1, tlv};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::browser::Browser;
use crate::client::connect_many;
use crate::server::{DEADLINE, Server};

/// Script in the page: waits until a condition holds, checking it at every frame. Returns the milliseconds that it
/// took.
const UNTIL: &str = "async (condition) => {
    const start = performance.now();
    while (!condition()) {
        if (performance.now() - start > 20000) throw new Error('it does not come to ' + condition);
        await new Promise((next) => requestAnimationFrame(next));
    }
    return performance.now() - start;
}";

pub struct Site {
    pub server: Server,
    pub admin: SocketAddr,
}

impl Site {
    /// Starts a server with its admin port on `admin`.
    pub fn start(admin: &str, args: &[&str]) -> Site {
        let mut server = Server::start(&[&["--admin", admin], args].concat());
        let line = server.wait_for("admin is on ");
        let admin = line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("an address");
        Site { server, admin }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.admin)
    }

    /// The JSON at `path`.
    pub fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.admin).expect("the server accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_str(body).expect("JSON")
    }

    /// Waits until a figure of the status is `expected`.
    pub fn await_figure(&self, pointer: &str, expected: usize) {
        let end = Instant::now() + DEADLINE;
        while self.get("/status.json").pointer(pointer).and_then(Value::as_u64) != Some(expected as u64) {
            assert!(Instant::now() < end, "{pointer} does not come to {expected}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Opens connections that send `headers`, in their order, and waits until all have been read.
    pub fn connect(&self, headers: impl IntoIterator<Item = Vec<u8>>) -> Vec<TcpStream> {
        let headers: Vec<_> = headers.into_iter().collect();
        let before = self.headers();
        let mut streams = connect_many(&self.server, headers.len());
        for (stream, header) in streams.iter_mut().zip(&headers) {
            stream.write_all(header).expect("the server reads");
        }
        self.await_headers(before + headers.len() as u64);
        streams
    }

    /// The same from another source address, one after the other.
    pub fn connect_from(&self, address: &str, headers: &[Vec<u8>]) -> Vec<TcpStream> {
        let before = self.headers();
        let connect = |header: &Vec<u8>| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let from: SocketAddr = format!("{address}:0").parse().expect("an address");
            socket.bind(&from.into()).expect("it is this machine's");
            socket.connect(&self.server.address.into()).expect("the server accepts");
            let mut stream = TcpStream::from(socket);
            stream.write_all(header).expect("the server reads");
            stream
        };
        let streams = headers.iter().map(connect).collect();
        self.await_headers(before + headers.len() as u64);
        streams
    }

    fn await_headers(&self, count: u64) {
        let end = Instant::now() + DEADLINE;
        while self.headers() < count {
            assert!(Instant::now() < end, "the server does not read the headers");
            sleep(Duration::from_millis(5));
        }
    }

    /// The number of headers that the server has accepted.
    fn headers(&self) -> u64 {
        let status = self.get("/status.json");
        status["headers"].as_object().expect("counts").values().filter_map(Value::as_u64).sum()
    }

    /// Sends `bytes`, which the server must refuse.
    pub fn send_refused(&self, bytes: &[u8]) {
        let mut stream = self.server.connect();
        stream.write_all(bytes).expect("the server reads");
        let mut answer = Vec::new();
        // A reset is a refusal too.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
}

/// Runs `action` in the page, waits until `condition` holds, and returns the milliseconds that this took.
pub fn until(browser: &mut Browser, action: &str, condition: &str) -> f64 {
    let took = browser.evaluate(&format!("{{ {action}; ({UNTIL})(() => {condition}) }}"));
    took.as_f64().expect("milliseconds")
}

/// The texts of all elements that match `selector`.
pub fn texts(browser: &mut Browser, selector: &str) -> Vec<String> {
    let texts = browser.evaluate(&format!("[...document.querySelectorAll('{selector}')].map((e) => e.textContent)"));
    serde_json::from_value(texts).expect("texts")
}

/// A client's addresses for this number.
pub fn inet(number: u32) -> Addresses<'static> {
    let source = SocketAddrV4::new(Ipv4Addr::from_bits(0xC633_6400 + number % 256), 20_000 + (number % 40_000) as u16);
    let destination = SocketAddrV4::new(Ipv4Addr::new(10, 0, 8, 154), 8888);
    Addresses::Inet { transport: Transport::Stream, source, destination }
}

pub fn inet6(source: Ipv6Addr) -> Addresses<'static> {
    let destination = SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 8, 0, 0, 0, 154), 8888, 0, 0);
    let source = SocketAddrV6::new(source, 53_971, 0, 0);
    Addresses::Inet6 { transport: Transport::Stream, source, destination }
}

pub fn v1(addresses: Addresses<'_>) -> Vec<u8> {
    encode_v1(&addresses).to_vec()
}

pub fn v2(addresses: Addresses<'_>, tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let tlvs: Vec<_> = tlvs.iter().map(|&(kind, value)| Tlv { kind, value }).collect();
    let mut bytes = Vec::new();
    let header = V2 { command: Command::Proxy, addresses, tlvs: &tlvs, crc32c: !tlvs.is_empty() };
    header.encode(&mut bytes).expect("all fields fit");
    bytes
}

/// Headers of every kind that a balancer sends.
pub fn mixed() -> Vec<Vec<u8>> {
    let socket = |name: &str| {
        let mut path = [0; 108];
        path[..name.len()].copy_from_slice(name.as_bytes());
        path
    };
    let (source, destination) =
        (socket("/run/user/1000/a-client-with-a-name/that-is/quite-long/as-paths-are.sock"), socket("/run/echo.sock"));
    let unix = Addresses::Unix { transport: Transport::Stream, source: &source, destination: &destination };
    let full = Ipv6Addr::new(0x2001, 0xdb8, 0x85a3, 0x8d3, 0x1319, 0x8a2e, 0x370, 0x7348);
    let mut tls = vec![5, 0, 0, 0, 0];
    for (kind, text) in [(0x21, "TLSv1.3"), (0x22, "client.example.com"), (0x23, "TLS_AES_256_GCM_SHA384")] {
        tls.extend([kind, 0, text.len() as u8]);
        tls.extend(text.as_bytes());
    }
    let endpoint: &[u8] = b"\x01vpce-08d2bf15fac5001c9";
    vec![
        v1(inet(7)),
        v1(inet6(full)),
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(),
        v2(inet(9), &[(tlv::AUTHORITY, b"www.example.com"), (tlv::ALPN, b"h2")]),
        v2(inet6(full), &[(tlv::AWS, endpoint)]),
        v2(unix, &[(tlv::UNIQUE_ID, b"4f1c9d2e-77ab"), (tlv::NETNS, b"blue")]),
        v2(inet(11), &[(tlv::SSL, &tls), (tlv::NOOP, &[0; 12])]),
        v2(inet(12), &[(tlv::AUTHORITY, "a-very-long-name.".repeat(40).as_bytes()), (0xE5, &[0xAB; 90])]),
        v2(inet(13), &[(tlv::GOOGLE_PSC, &u64::MAX.to_be_bytes())]),
        v2(inet(14), &[]),
    ]
}
