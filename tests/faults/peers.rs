//! Actions of all kinds of clients: connecting, sending headers, closing in several ways.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream};
use std::time::Duration;

use fastrand::Rng;
use proxy::{Addresses, Command, Tlv, Transport, V2, tlv};
use socket2::SockRef;

use crate::client::{self, socket_of_many};

pub fn connect(address: SocketAddr) -> TcpStream {
    client::connect(socket_of_many(0), address)
}

/// Connects, and sends a random header. Also returns the line that will come back.
pub fn connect_with_header(address: SocketAddr, rng: &mut Rng) -> (TcpStream, Vec<u8>) {
    let mut stream = connect(address);
    let (header, line) = header(rng);
    stream.write_all(&header).expect("the server reads");
    (stream, line)
}

/// A connection whose header was sent and reflected.
pub fn client(address: SocketAddr, rng: &mut Rng) -> TcpStream {
    let (mut stream, line) = connect_with_header(address, rng);
    let mut heard = vec![0; line.len()];
    stream.read_exact(&mut heard).expect("the header comes back");
    assert!(heard == line, "another header came back");
    stream
}

/// A random header of either version, and the line that the server reflects for it.
pub fn header(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let addresses = addresses(rng);
    let line = proxy::encode_v1(&addresses).to_vec();
    if rng.bool() {
        return (line.clone(), line);
    }
    let id: Vec<u8> = (0..rng.usize(..=128)).map(|_| rng.u8(..)).collect();
    let tlvs = [Tlv { kind: tlv::UNIQUE_ID, value: &id }, Tlv { kind: tlv::AUTHORITY, value: b"example.com" }];
    let tlvs = &tlvs[rng.usize(..=2)..];
    let mut out = Vec::new();
    V2 { command: Command::Proxy, addresses, tlvs, crc32c: rng.bool() }.encode(&mut out).expect("it fits");
    (out, line)
}

fn addresses(rng: &mut Rng) -> Addresses<'static> {
    let transport = Transport::Stream;
    if rng.bool() {
        let mut end = || SocketAddrV4::new(rng.u32(..).into(), rng.u16(..));
        Addresses::Inet { transport, source: end(), destination: end() }
    } else {
        let mut end = || SocketAddrV6::new(rng.u128(..).into(), rng.u16(..), 0, 0);
        Addresses::Inet6 { transport, source: end(), destination: end() }
    }
}

/// Whether `bytes` contains `part` at `at`.
pub fn is_at(bytes: &[u8], at: usize, part: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(part))
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(stream);
}

pub fn fin(stream: &TcpStream) {
    match stream.shutdown(Shutdown::Write) {
        Ok(()) => {}
        // The server has reset it.
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotConnected),
    }
}

/// All bytes received until the server closes, with FIN or a reset.
pub fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    if let Err(error) = stream.read_to_end(&mut heard) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server does not close: {error}");
    }
    heard
}

/// Sends as much of `bytes` as the kernel takes at once.
pub fn write_what_fits(mut stream: &TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).expect("non-blocking");
    let mut sent = 0;
    while let Ok(count) = stream.write(&bytes[sent..]).map_err(|error| assert_eq!(error.kind(), ErrorKind::WouldBlock))
        && count > 0
    {
        sent += count;
    }
    stream.set_nonblocking(false).expect("blocking");
    sent
}
