//! Reading exactly one header from a new connection, blocking (feature `std`) or with tokio (feature `tokio`).
//!
//! A server of a few lines, a thread for each connection:
//!
//! ```
//! use std::io::{self, Write};
//! use std::net::TcpListener;
//! use std::thread;
//!
//! use proxy_protocol_header::accept::Acceptor;
//!
//! fn serve(listener: &TcpListener) -> io::Result<()> {
//!     loop {
//!         let (stream, peer) = listener.accept()?;
//!         thread::spawn(move || match Acceptor::default().accept(stream, peer) {
//!             Ok((header, mut stream)) => {
//!                 let client = header.and_then(|header| header.source()).unwrap_or(peer);
//!                 writeln!(stream, "hello, {client}")
//!             }
//!             Err(error) => Ok(eprintln!("{peer}: {error}")),
//!         });
//!     }
//! }
//! # let listener = TcpListener::bind("127.0.0.1:0").unwrap();
//! # let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
//! # thread::spawn(move || serve(&listener));
//! # client.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n").unwrap();
//! # assert_eq!(io::read_to_string(client).unwrap(), "hello, 192.0.2.1:56324\n");
//! ```
//!
#![cfg_attr(
    feature = "tokio",
    doc = r#"The same with tokio, a task for each:

```
use std::io;

use proxy_protocol_header::accept::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            match Acceptor::default().accept_async(stream, peer).await {
                Ok((header, mut stream)) => {
                    let client = header.and_then(|header| header.source()).unwrap_or(peer);
                    stream.write_all(format!("hello, {client}\n").as_bytes()).await
                }
                Err(error) => Ok(eprintln!("{peer}: {error}")),
            }
        });
    }
}
# #[tokio::main(flavor = "current_thread")]
# async fn main() -> io::Result<()> {
#     let listener = TcpListener::bind("127.0.0.1:0").await?;
#     let mut client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
#     tokio::spawn(serve(listener));
#     client.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n").await?;
#     let mut answer = String::new();
#     tokio::io::AsyncReadExt::read_to_string(&mut client, &mut answer).await?;
#     assert_eq!(answer, "hello, 192.0.2.1:56324\n");
#     Ok(())
# }
```
"#
)]
//!
//! Read the header in the connection's own thread or task, as here. If the accept loop reads it, one slow peer keeps all
//! others waiting.

use core::time::Duration;

use crate::MAX_V2_LEN;
use crate::policy::Policy;

mod blocking;
mod error;
mod reading;
mod stream;
#[cfg(feature = "tokio")]
mod with_tokio;

pub use blocking::ReadTimeout;
pub use error::AcceptError;
pub use stream::PayloadStream;

/// Reads the header at the start of a connection, by these rules and within these limits.
///
/// ```
/// use std::time::Duration;
/// use proxy_protocol_header::accept::Acceptor;
/// use proxy_protocol_header::policy::{Mode, Policy};
///
/// let balancers = vec!["10.0.0.0/8".parse().unwrap()];
/// let policy = Policy { mode: Mode::Required, trusted: balancers };
/// let acceptor = Acceptor { policy, header_timeout: Duration::from_secs(5), ..Acceptor::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Acceptor {
    /// Whether a header is required, and from which peers it is taken. By default it is required, and any peer's is taken.
    pub policy: Policy,
    /// Longest wait for a connection's first byte; 60 s by default.
    ///
    /// It has its own time limit because some balancers (AWS's NLB) send the header only with the client's first payload: a
    /// client that stays silent is then as common as without a balancer. If the header is optional, a client that is silent
    /// for this long is taken to have none: it may be waiting for the server to speak first.
    pub silence_timeout: Duration,
    /// Longest time from a header's first byte to its last; 10 s by default. The specification asks for at least 3 s
    /// (section 2). If the header is optional, an unfinished one becomes payload when the time is over.
    pub header_timeout: Duration,
    /// Longest header in bytes. The default, [`MAX_V2_LEN`], allows every header of the specification. Addresses alone need
    /// at most 232 bytes, a client's certificate several thousand.
    pub max_len: usize,
}

impl Default for Acceptor {
    fn default() -> Self {
        Acceptor {
            policy: Policy::default(),
            silence_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            max_len: MAX_V2_LEN,
        }
    }
}
