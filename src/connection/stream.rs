//! The operations that a connection needs from a socket.

use std::io::{self, ErrorKind, Read, Write};

use super::uninterrupted;

/// A byte stream that never blocks.
pub trait Stream: Read + Write {
    /// Sends FIN after the bytes written.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`.
    fn shutdown_write(&self) -> io::Result<()>;

    /// Reads without consuming: the next read returns the same bytes.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether there is input although a read returned EAGAIN. Linux does that before an urgent byte while a signal is
    /// pending, and no edge will come for that input.
    fn has_input(&mut self) -> bool {
        uninterrupted(|| self.peek(&mut [0])).is_ok()
    }

    /// How many of the bytes written the peer's kernel has acknowledged.
    ///
    /// # Errors
    ///
    /// The system does not report it.
    fn delivery(&self) -> io::Result<Delivery> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// The delivery of the bytes written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Bytes that the peer's kernel has acknowledged since the connection began.
    pub acknowledged: u64,
    /// Bytes that it has not acknowledged yet.
    pub waiting: u64,
}
