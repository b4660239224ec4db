//! Clients behind a balancer, played by the test.
#![allow(dead_code, reason = "no test uses all of it")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

use crate::server::{DEADLINE, Server};

pub const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";

/// Opens many connections.
pub fn connect_many(server: &Server, count: usize) -> Vec<TcpStream> {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised");
    (0..count).map(|index| connect(socket_of_many(index), server.address)).collect()
}

/// The socket of one of many clients. They are spread over source addresses, because one address has 28,000 ports, and
/// finding a free one gets slow when half of them are used.
pub fn socket_of_many(index: usize) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // Without this option the kernel searches for a port that is free for all destinations.
    let no_port = uapi::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1i32);
    no_port.expect("Linux has it");
    let source = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 2).to_bits() + index as u32 / 4000);
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address");
    socket
}

/// Connects. Reads and writes fail after the deadline.
pub fn connect(socket: Socket, address: SocketAddr) -> TcpStream {
    socket.connect(&address.into()).expect("the server accepts");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    socket.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    socket.set_tcp_nodelay(true).expect("nodelay");
    TcpStream::from(socket)
}

/// Sends a line and reads it back. The server has then seen everything that was sent before.
pub fn round_trip(stream: &mut TcpStream) {
    stream.write_all(b"round trip\n").expect("the server reads");
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).expect("the server answers");
    assert_eq!(&answer, b"round trip\n");
}

/// A connection whose header was sent and reflected.
pub fn client(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(HEADER).expect("the server reads");
    let mut line = [0; HEADER.len()];
    stream.read_exact(&mut line).expect("the header comes back");
    assert_eq!(line, HEADER);
    stream
}
