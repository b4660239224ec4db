//! An echo server behind PROXY headers, with std alone: it tells each client what its header says, then echoes.
//!
//! `cargo run --example echo 127.0.0.1:8888`, then `curl --haproxy-protocol telnet://127.0.0.1:8888`

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{env, thread};

use proxy_protocol_header::accept::Acceptor;

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    serve(&TcpListener::bind(address)?)
}

/// Serves each connection in its own thread, so that none waits for the header of another.
pub(crate) fn serve(listener: &TcpListener) -> ! {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => drop(thread::spawn(move || {
                if let Err(error) = echo(stream, peer) {
                    eprintln!("{peer}: {error}");
                }
            })),
            Err(error) => {
                // Out of file descriptors, for example.
                eprintln!("cannot accept: {error}");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn echo(stream: TcpStream, peer: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
    let acceptor = Acceptor { header_timeout: Duration::from_secs(5), max_len: 4096, ..Acceptor::default() };
    let (header, mut stream) = acceptor.accept(stream, peer)?;
    if let Some(header) = header {
        writeln!(stream, "{header}")?;
    }
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}
