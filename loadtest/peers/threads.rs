//! The standard library: a thread for each connection, the crate `ppp` for the header.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use ppp::PartialResult;
use ppp::v1::Header;

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 32 * 1024];
    let mut length = 0;
    let mut is_headed = false;
    loop {
        match stream.read(&mut buffer[length..])? {
            0 => return Ok(()),
            count => length += count,
        }
        if !is_headed {
            let header = Header::try_from(&buffer[..length]);
            if header.is_incomplete() {
                continue;
            }
            header.map_err(io::Error::other)?;
            is_headed = true;
        }
        stream.write_all(&buffer[..length])?;
        length = 0;
    }
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8888);
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let stream = stream?;
        thread::Builder::new().spawn(|| echo(stream))?;
    }
    Ok(())
}
