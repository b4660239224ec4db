//! An HTTP server behind PROXY headers, with hyper: it answers every request with the client's address.
//!
//! `cargo run --features tokio --example http_hyper 127.0.0.1:8080`, then
//! `curl --haproxy-protocol http://127.0.0.1:8080`

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use std::{env, io};

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use proxy_protocol_header::accept::Acceptor;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    serve(TcpListener::bind(address).await?).await
}

/// Serves each connection in its own task, so that none waits for the header of another.
pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => drop(tokio::spawn(async move {
                if let Err(error) = answer(stream, peer).await {
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

async fn answer(stream: TcpStream, peer: SocketAddr) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (header, stream) = Acceptor::default().accept_async(stream, peer).await?;
    let client = header.and_then(|header| header.source()).unwrap_or(peer);
    let service = service_fn(move |_| async move {
        let body = Full::new(Bytes::from(format!("{client}\n")));
        Ok::<_, Infallible>(Response::new(body))
    });
    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
}
