//! A header's bytes so far, and the next step. It does no I/O: both kinds of streams feed it.

use alloc::vec::Vec;

use super::{AcceptError, PayloadStream};
use crate::policy::Expect;
use crate::wire::{V2_FIXED_LEN, V2_SIGNATURE};
use crate::{Error, MAX_V1_LEN, OwnedHeader, Status, error_offset, parse};

/// Room in bytes for most headers and the payload after them, and for every version 1 line. It grows as a longer header comes.
const FIRST_READ: usize = 512;

pub(super) struct Reading {
    buffer: Vec<u8>,
    filled: usize,
    /// Fewer bytes cannot be a whole header. That parsing waits for them keeps a peer that sends a long header byte by byte
    /// from having its TLVs walked each time.
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
    /// `None` if nothing is to be read: all is payload.
    pub(super) fn new(expect: Expect, max_len: usize) -> Option<Self> {
        let is_optional = match expect {
            Expect::Header => false,
            Expect::Either => true,
            Expect::Payload => return None,
        };
        Some(Reading { buffer: alloc::vec![0; FIRST_READ], filled: 0, least: 0, max_len, is_optional })
    }

    /// Where to read to. It is never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            // Memory for bytes that came, not for a length that 16 bytes can claim.
            self.buffer.resize(self.least.min(2 * self.filled), 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// Whether the peer was silent so far.
    pub(super) fn is_silent(&self) -> bool {
        self.filled == 0
    }

    /// `count` bytes were read; none is the end of the stream. Gives nothing if more have to be read.
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

    /// No more came in time.
    pub(super) fn timed_out(&mut self) -> Result<Begun, AcceptError> {
        if self.is_optional { Ok(self.plain()) } else { Err(AcceptError::TimedOut { received: self.filled }) }
    }

    /// All that came is payload.
    fn plain(&mut self) -> Begun {
        self.buffer.truncate(self.filled);
        Begun { header: None, payload: core::mem::take(&mut self.buffer) }
    }

    fn limit(&self, length: usize) -> Result<(), AcceptError> {
        let max_len = self.max_len;
        if length > max_len { Err(AcceptError::TooLong { length, max_len }) } else { Ok(()) }
    }
}

/// The length that the beginning of a version 2 header tells.
fn v2_len(received: &[u8]) -> Option<usize> {
    let fixed: &[u8; V2_FIXED_LEN] = received.first_chunk()?;
    fixed.starts_with(&V2_SIGNATURE).then(|| V2_FIXED_LEN + usize::from(u16::from_be_bytes([fixed[14], fixed[15]])))
}
