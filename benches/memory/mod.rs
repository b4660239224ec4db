//! A connection whose peer is in memory: it sends the given bytes, and takes all output.

use std::io::{self, ErrorKind, Read, Write};

use proxy_echo::connection::Budget;
use proxy_echo::connection::{Connection, Echo, Expect, Next, Ready, Shared, Stream};

/// The peer's next bytes; `None` is a FIN.
#[derive(Default)]
pub(crate) struct Peer {
    says: Option<&'static [u8]>,
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let said = self.says.take().unwrap_or_default();
        buffer[..said.len()].copy_from_slice(said);
        Ok(said.len())
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Peer {
    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }
}

pub(crate) const HEADER: &[u8] = b"PROXY TCP4 124.100.123.123 10.0.8.154 53971 8888\r\n";
pub(crate) const MESSAGE: &[u8] = &[b'x'; 64];

pub(crate) fn shared() -> Shared {
    Shared::new(Echo::Stream, true, 256 * 1024, Budget::new(1 << 20, 1 << 17))
}

/// A connection after its header.
pub(crate) fn connection(shared: &mut Shared) -> Connection<Peer> {
    let mut connection = Connection::new(Peer::default(), Expect::Header, 0);
    assert_eq!(say(&mut connection, Some(HEADER), shared), Next::Changed);
    connection
}

/// The peer sends `bytes`, and the connection answers.
pub(crate) fn say(connection: &mut Connection<Peer>, bytes: Option<&'static [u8]>, shared: &mut Shared) -> Next {
    connection.stream().says = bytes;
    connection.turn(Ready::READABLE, shared, &mut ())
}

/// A whole connection: a header, a message, and the end.
pub(crate) fn serve(shared: &mut Shared) {
    let mut connection = connection(shared);
    say(&mut connection, Some(MESSAGE), shared);
    say(&mut connection, None, shared);
    connection.close(&mut shared.budget);
}
