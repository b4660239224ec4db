//! A connection after its header.

use alloc::vec::Vec;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};

/// A connection after its header. Reads return the payload that was received together with the header first, then read from
/// the connection. Writes go to the connection.
///
/// Do not read from the connection inside while [`PayloadStream::unread`] is not empty.
#[derive(Debug)]
pub struct PayloadStream<S> {
    first: Vec<u8>,
    at: usize,
    stream: S,
}

impl<S> PayloadStream<S> {
    pub(super) fn new(first: Vec<u8>, stream: S) -> Self {
        PayloadStream { first, at: 0, stream }
    }

    /// The unread rest of the payload that was received together with the header.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.first[self.at..]
    }

    /// The connection, for its addresses, options and shutdown.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The connection. Bytes read from it come after [`PayloadStream::unread`].
    #[must_use]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The connection, and the unread rest of the payload that was received together with the header.
    #[must_use]
    pub fn into_parts(mut self) -> (S, Vec<u8>) {
        self.first.drain(..self.at);
        (self.stream, self.first)
    }

    /// Gives at most `count` bytes of that payload to `read`.
    pub(super) fn take_first<T>(&mut self, count: usize, read: impl FnOnce(&[u8]) -> T) -> T {
        let start = self.at;
        self.at = self.first.len().min(start + count);
        let result = read(&self.first[start..self.at]);
        if self.at == self.first.len() {
            (self.first, self.at) = (Vec::new(), 0);
        }
        result
    }
}

impl<S: Read> Read for PayloadStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.first.is_empty() {
            return self.stream.read(buffer);
        }
        Ok(self.take_first(buffer.len(), |first| {
            buffer[..first.len()].copy_from_slice(first);
            first.len()
        }))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if self.first.is_empty() {
            return self.stream.read_vectored(buffers);
        }
        match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => self.read(buffer),
            None => Ok(0),
        }
    }
}

impl<S: Write> Write for PayloadStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
