use std::io;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use axum::{Router, routing::get};
use proxy::accept::{Acceptor, PayloadStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Connections whose header was read, with their client.
struct Proxied {
    address: SocketAddr,
    ready: mpsc::Receiver<(PayloadStream<TcpStream>, SocketAddr)>,
}

impl Proxied {
    /// Reads each header in its own task, so that a slow balancer does not keep others waiting.
    fn new(listener: TcpListener) -> io::Result<Self> {
        let (sender, ready) = mpsc::channel(64);
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let (header, stream) = Acceptor::default().accept_async(stream, peer).await?;
                    let client = header.and_then(|header| header.source()).unwrap_or(peer);
                    sender.send((stream, client)).await?;
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
                });
            }
        });
        Ok(Proxied { address, ready })
    }
}

impl Listener for Proxied {
    type Io = PayloadStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[derive(Clone)]
struct Client(SocketAddr);

impl Connected<IncomingStream<'_, Proxied>> for Client {
    fn connect_info(stream: IncomingStream<'_, Proxied>) -> Self {
        Client(*stream.remote_addr())
    }
}

async fn hello(ConnectInfo(Client(client)): ConnectInfo<Client>) -> String {
    format!("{client}\n")
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let app = Router::new().route("/", get(hello));
    let listener = Proxied::new(TcpListener::bind("127.0.0.1:8080").await?)?;
    axum::serve(listener, app.into_make_service_with_connect_info::<Client>()).await
}
