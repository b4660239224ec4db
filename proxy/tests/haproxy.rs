//! Runs the examples behind a real HAProxy, as Debian packages it.
#![cfg(target_os = "linux")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

#[allow(dead_code, reason = "its main is not run here")]
#[path = "../examples/echo.rs"]
mod echo;
#[allow(dead_code, reason = "its main is not run here")]
#[path = "../examples/echo_tokio.rs"]
mod echo_tokio;
#[allow(dead_code, reason = "the server's tests use the rest")]
#[path = "../../tests/common/hop.rs"]
mod hop;
#[allow(dead_code, reason = "its main is not run here")]
#[path = "../examples/http_hyper.rs"]
mod http_hyper;
#[path = "../../tests/common/program.rs"]
mod program;

/// The part of the server's tests that `hop` uses.
mod server {
    pub(crate) const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);
}

use hop::Hop;

/// Starts `serve` with a listener, in a thread that ends with the test.
fn start(serve: impl FnOnce(TcpListener) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || serve(listener));
    address
}

/// As [`start`], in a tokio runtime.
fn start_with_tokio<F>(serve: fn(tokio::net::TcpListener) -> F) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + 'static,
{
    start(move |listener| {
        listener.set_nonblocking(true).expect("a socket");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let serving = async { serve(tokio::net::TcpListener::from_std(listener)?).await };
        runtime.block_on(serving).expect("it serves until the test ends");
    })
}

/// Sends `request` to `next` through HAProxy with these options. Returns the whole answer, and the addresses of the client
/// and of HAProxy.
fn through(next: SocketAddr, options: &str, request: &[u8], end: Option<Shutdown>) -> (String, [SocketAddr; 2]) {
    let hop = Hop::start("127.0.0.1", next, "", options);
    let mut stream = TcpStream::connect(hop.address).expect("HAProxy listens");
    stream.set_read_timeout(Some(server::DEADLINE)).expect("a timeout");
    stream.write_all(request).expect("HAProxy reads");
    if let Some(end) = end {
        stream.shutdown(end).expect("half-close");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, then the end");
    (answer, [stream.local_addr().expect("it is connected"), hop.address])
}

/// Asserts that payload is echoed. It directly follows the header, and is longer than one read.
fn assert_echoes(next: SocketAddr) {
    let payload = "0123456789".repeat(5000);
    for (options, version) in [("send-proxy", "v1"), ("send-proxy-v2", "v2")] {
        let (answer, [client, front]) = through(next, options, payload.as_bytes(), Some(Shutdown::Write));
        let (first, echoed) = answer.split_once('\n').expect("a line");
        assert_eq!(first, format!("PROXY {version} TCP4 {client} -> {front}"));
        assert!(echoed == payload, "{} of {} bytes came back, or wrong ones", echoed.len(), payload.len());
    }
}

#[test]
fn echo_with_std() {
    assert_echoes(start(|listener| echo::serve(&listener)));
}

#[test]
fn echo_with_tokio() {
    assert_echoes(start_with_tokio(echo_tokio::serve));
}

#[test]
fn the_checksum_that_haproxy_adds() {
    let next = start(|listener| echo::serve(&listener));
    let options = "send-proxy-v2 proxy-v2-options crc32c";
    let (answer, [client, front]) = through(next, options, b"", Some(Shutdown::Write));
    assert!(answer.starts_with(&format!("PROXY v2 TCP4 {client} -> {front}, CRC32C 0x")), "{answer}");
}

#[test]
fn http_with_hyper() {
    let next = start_with_tokio(http_hyper::serve);
    for options in ["send-proxy", "send-proxy-v2"] {
        let request = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let (answer, [client, _]) = through(next, options, request, None);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{client}\n")), "{answer}");
    }
}
