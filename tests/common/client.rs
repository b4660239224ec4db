//! Clients behind a balancer, played by the test.
#![allow(dead_code, reason = "no test needs all of it")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

use crate::server::{DEADLINE, Server};

pub const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";

/// Many connections, spread over source addresses: one has 28,000 ports, and finding a free one gets slow halfway.
pub fn connect_many(server: &Server, count: usize) -> Vec<TcpStream> {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised");
    let connect = |index: usize| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Without this the kernel looks for a port that is free for every destination.
        let no_port = uapi::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1i32);
        no_port.expect("Linux has it");
        let source = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 2).to_bits() + index as u32 / 4000);
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address");
        socket.connect(&server.address.into()).expect("the server accepts");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        TcpStream::from(socket)
    };
    (0..count).map(connect).collect()
}

/// Sends a line and takes it back. Whatever was sent to the server before, it has seen then.
pub fn round_trip(stream: &mut TcpStream) {
    stream.write_all(b"round trip\n").expect("the server reads");
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).expect("the server answers");
    assert_eq!(&answer, b"round trip\n");
}

/// A connection behind its header.
pub fn client(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(HEADER).expect("the server reads");
    let mut line = [0; HEADER.len()];
    stream.read_exact(&mut line).expect("the header comes back");
    assert_eq!(line, HEADER);
    stream
}
