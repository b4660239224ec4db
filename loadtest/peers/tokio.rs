//! tokio: one thread, a task for each connection, the crate `ppp` for the header.

use std::io;

use ppp::PartialResult;
use ppp::v1::Header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut is_headed = false;
    while stream.read_buf(&mut buffer).await? > 0 {
        if !is_headed {
            let header = Header::try_from(&buffer[..]);
            if header.is_incomplete() {
                continue;
            }
            header.map_err(io::Error::other)?;
            is_headed = true;
        }
        stream.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8888);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
    })
}
