//! A header that owns its bytes.

use alloc::boxed::Box;
use core::fmt;
use core::net::SocketAddr;

use crate::{Header, Status, parse};

/// A whole header that owns a copy of its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedHeader {
    /// Always one whole header.
    raw: Box<[u8]>,
}

impl OwnedHeader {
    /// Copies `raw`. Returns `None` unless `raw` is one whole header and nothing else.
    #[must_use]
    pub fn new(raw: &[u8]) -> Option<Self> {
        match parse(raw) {
            Ok(Status::Complete(header)) if header.len() == raw.len() => Some(OwnedHeader { raw: raw.into() }),
            _ => None,
        }
    }

    /// Parses the header. Each call parses it again, which takes some tens of nanoseconds.
    #[must_use]
    pub fn header(&self) -> Header<'_> {
        match parse(&self.raw) {
            Ok(Status::Complete(header)) => header,
            _ => unreachable!("these bytes were a header before"),
        }
    }

    /// As [`Header::source`].
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.header().source()
    }

    /// As [`Header::destination`].
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.header().destination()
    }

    /// The header's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }
}

/// As [`Header`] is displayed.
impl fmt::Display for OwnedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header().fmt(f)
    }
}

impl fmt::Debug for OwnedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header().fmt(f)
    }
}
