use std::io::{self, Write};
use std::net::TcpListener;
use std::thread;

use proxy::accept::Acceptor;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8080")?;
    loop {
        let (stream, peer) = listener.accept()?;
        thread::spawn(move || {
            let (header, mut stream) = Acceptor::default().accept(stream, peer)?;
            // Nobody is named by a health check (LOCAL, UNKNOWN): the client is then the balancer itself.
            let client = header.and_then(|header| header.source()).unwrap_or(peer);
            writeln!(stream, "{client}")?;
            let mut output = stream.get_ref().try_clone()?;
            io::copy(&mut stream, &mut output)?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
}
