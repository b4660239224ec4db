//! What a connection needs of a socket.

use std::io::{self, ErrorKind, Read, Write};

use super::uninterrupted;

/// A byte stream that never blocks.
pub trait Stream: Read + Write {
    /// Sends FIN behind what was written.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`.
    fn shutdown_write(&self) -> io::Result<()>;

    /// Reads, and leaves what it read to be read again.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether there is something to read, although a read said that there is not: before an urgent byte Linux says EAGAIN
    /// when a signal is pending, too, and no edge will come for what is there.
    fn has_input(&mut self) -> bool {
        uninterrupted(|| self.peek(&mut [0])).is_ok()
    }

    /// What became of the bytes that were written.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    fn delivery(&self) -> io::Result<Delivery> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// What became of bytes that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Bytes that the peer's kernel has acknowledged, since the connection began.
    pub acknowledged: u64,
    /// Bytes that it has not.
    pub waiting: u64,
}
