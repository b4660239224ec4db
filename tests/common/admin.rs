//! A client of the admin port, as plain as a health check.
#![allow(dead_code, reason = "no test uses all of it")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::server::{DEADLINE, Server};

/// The address of the admin port, read from the log.
pub fn address(server: &mut Server) -> SocketAddr {
    let line = server.wait_for("admin is on ");
    line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("an address")
}

pub fn connect(admin: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(admin).expect("the admin port accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

/// The answer to `request`, up to the server's close.
pub fn exchange(admin: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(admin);
    stream.write_all(request).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers in text and closes");
    answer
}

/// Status and body.
pub fn get(admin: SocketAddr, path: &str) -> (u16, String) {
    get_with(admin, path, "")
}

/// The same with further header lines. HTTP/1.0, so that the answer has no chunks.
pub fn get_with(admin: SocketAddr, path: &str, lines: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{lines}\r\n");
    let answer = exchange(admin, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

/// The value of a metric, given by its name and labels as written, such as `up{job="a"}`.
pub fn metric(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().expect("a whole number")
}

/// A health check from its own source address, as in practice. A reset is not an answer.
pub fn probe(admin: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())?;
    socket.connect(&admin.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.ends_with("\r\n\r\nlive\n") { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
