//! An echo server behind PROXY headers, with tokio: it tells each client what its header says, then echoes.
//!
//! `cargo run --features tokio --example echo_tokio 127.0.0.1:8888`

use std::net::SocketAddr;
use std::time::Duration;
use std::{env, io};

use proxy_protocol_header::accept::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    serve(TcpListener::bind(address).await?).await
}

/// Serves each connection in its own task, so that none waits for the header of another.
pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => drop(tokio::spawn(async move {
                if let Err(error) = echo(stream, peer).await {
                    eprintln!("{peer}: {error}");
                }
            })),
            Err(error) => {
                // Out of file descriptors, for example.
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn echo(stream: TcpStream, peer: SocketAddr) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let acceptor = Acceptor { header_timeout: Duration::from_secs(5), max_len: 4096, ..Acceptor::default() };
    let (header, mut stream) = acceptor.accept_async(stream, peer).await?;
    if let Some(header) = header {
        stream.write_all(format!("{header}\n").as_bytes()).await?;
    }
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}
