//! What a connection needs of a socket.

use std::io::{self, Read, Write};

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
}
