use std::io;

use proxy::accept::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            let (header, stream) = Acceptor::default().accept_async(stream, peer).await?;
            // Nobody is named by a health check (LOCAL, UNKNOWN): the client is then the balancer itself.
            let client = header.and_then(|header| header.source()).unwrap_or(peer);
            let (mut reader, mut writer) = tokio::io::split(stream);
            writer.write_all(format!("{client}\n").as_bytes()).await?;
            tokio::io::copy(&mut reader, &mut writer).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
}
