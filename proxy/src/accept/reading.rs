//! Collects a header's bytes and decides the next step. It does no I/O: blocking and tokio's streams both feed it.

use alloc::vec::Vec;

use super::{AcceptError, PayloadStream};
use crate::policy::Expect;
use crate::wire::{V2_FIXED_LEN, V2_SIGNATURE};
use crate::{Error, MAX_V1_LEN, OwnedHeader, Status, error_offset, parse};

/// Size of the first buffer in bytes: enough for most headers and the payload after them, and for every version 1 line. The
/// buffer grows while a longer header arrives.
const FIRST_READ: usize = 512;

pub(super) struct Reading {
    buffer: Vec<u8>,
    filled: usize,
    /// A whole header has at least this many bytes. Parsing waits for them; otherwise a peer that sends a long header byte
    /// by byte would have its TLVs walked for each byte.
    least: usize,
    max_len: usize,
    is_optional: bool,
}

/// The header, if there is one, and the payload that came with it.
pub(super) struct Begun {
    pub(super) header: Option<OwnedHeader>,
    pub(super) payload: Vec<u8>,
}

impl Begun {
    /// Nothing was read.
    pub(super) fn unread() -> Self {
        Begun { header: None, payload: Vec::new() }
    }

    pub(super) fn on<S>(self, stream: S) -> (Option<OwnedHeader>, PayloadStream<S>) {
        (self.header, PayloadStream::new(self.payload, stream))
    }
}

impl Reading {
    /// `None` if no header is expected: every byte is payload.
    pub(super) fn new(expect: Expect, max_len: usize) -> Option<Self> {
        let is_optional = match expect {
            Expect::Header => false,
            Expect::Either => true,
            Expect::Payload => return None,
        };
        Some(Reading { buffer: alloc::vec![0; FIRST_READ], filled: 0, least: 0, max_len, is_optional })
    }

    /// The buffer for the next read. It is never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            // Grow with the bytes received, not to the length that the header's first 16 bytes claim.
            self.buffer.resize(self.least.min(2 * self.filled), 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// Whether nothing was received yet.
    pub(super) fn is_silent(&self) -> bool {
        self.filled == 0
    }

    /// Takes the `count` bytes that were read; 0 is the end of the stream. Returns `None` if more must be read.
    pub(super) fn took(&mut self, count: usize) -> Result<Option<Begun>, AcceptError> {
        if count == 0 {
            return match self.filled {
                _ if self.is_optional => Ok(Some(self.plain())),
                0 => Err(AcceptError::Closed),
                received => Err(AcceptError::Cut { received }),
            };
        }
        self.filled += count;
        if self.filled < self.least {
            return Ok(None);
        }
        let received = &self.buffer[..self.filled];
        match parse(received) {
            Ok(Status::Complete(header)) => {
                let length = header.len();
                self.limit(length)?;
                let header = OwnedHeader::new(&received[..length]);
                Ok(Some(Begun { header, payload: received[length..].to_vec() }))
            }
            Ok(Status::Partial) => {
                self.least = v2_len(received).unwrap_or(self.filled + 1);
                self.limit(self.least)?;
                Ok(None)
            }
            Err(Error::Signature) if self.is_optional => Ok(Some(self.plain())),
            Err(error) => Err(AcceptError::Invalid {
                error,
                offset: error_offset(received).unwrap_or(0),
                received: received[..received.len().min(MAX_V1_LEN)].into(),
            }),
        }
    }

    /// The time limit has passed.
    pub(super) fn timed_out(&mut self) -> Result<Begun, AcceptError> {
        if self.is_optional { Ok(self.plain()) } else { Err(AcceptError::TimedOut { received: self.filled }) }
    }

    /// There is no header: all bytes received are payload.
    fn plain(&mut self) -> Begun {
        self.buffer.truncate(self.filled);
        Begun { header: None, payload: core::mem::take(&mut self.buffer) }
    }

    fn limit(&self, length: usize) -> Result<(), AcceptError> {
        let max_len = self.max_len;
        if length > max_len { Err(AcceptError::TooLong { length, max_len }) } else { Ok(()) }
    }
}

/// The length of a version 2 header, once its fixed part was received.
fn v2_len(received: &[u8]) -> Option<usize> {
    let fixed: &[u8; V2_FIXED_LEN] = received.first_chunk()?;
    fixed.starts_with(&V2_SIGNATURE).then(|| V2_FIXED_LEN + usize::from(u16::from_be_bytes([fixed[14], fixed[15]])))
}
