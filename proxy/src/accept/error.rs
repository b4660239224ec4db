//! The reasons why reading a header from a connection fails.

use alloc::boxed::Box;
use core::fmt;
use core::net::IpAddr;
use std::io;

use crate::Error;
use crate::escape::Escaped;

/// Why a connection was refused, or ended before its header was whole.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptError {
    /// Reading failed, by a connection reset for example.
    Io(io::Error),
    /// The policy requires a header and does not trust this peer to send one. Nothing was read.
    NotTrusted(IpAddr),
    /// The bytes received are not a header.
    Invalid {
        /// The error.
        error: Error,
        /// The offset of the byte that shows it.
        offset: usize,
        /// The bytes received, at most the first [`MAX_V1_LEN`](crate::MAX_V1_LEN).
        received: Box<[u8]>,
    },
    /// The header is longer than [`Acceptor::max_len`](super::Acceptor::max_len).
    TooLong {
        /// The header's length in bytes; for a version 1 line, one more than the bytes received.
        length: usize,
        /// The limit.
        max_len: usize,
    },
    /// The peer closed before it sent anything, as TCP health checks do.
    Closed,
    /// The peer closed inside the header.
    Cut {
        /// Bytes of it that were received.
        received: usize,
    },
    /// The header, or its first byte, did not come in time.
    TimedOut {
        /// Bytes of it that were received.
        received: usize,
    },
}

impl AcceptError {
    /// A stable name in `snake_case`, for programs: a metric's label, a field of JSON. An invalid header has the name of its
    /// [`Error`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            AcceptError::Io(_) => "io",
            AcceptError::NotTrusted(_) => "not_trusted",
            AcceptError::Invalid { error, .. } => error.name(),
            AcceptError::TooLong { .. } => "too_long",
            AcceptError::Closed => "closed",
            AcceptError::Cut { .. } => "cut",
            AcceptError::TimedOut { .. } => "timed_out",
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcceptError::Io(error) => write!(f, "reading the header failed: {error}"),
            AcceptError::NotTrusted(peer) => write!(f, "{peer} is not trusted to send a header"),
            AcceptError::Invalid { error, offset, received } => {
                write!(f, "header refused: {error} at byte {offset}, in \"{}\"", Escaped(received))
            }
            AcceptError::TooLong { length, max_len } => {
                write!(f, "header refused: it is {length} bytes long or longer, and the limit is {max_len}")
            }
            AcceptError::Closed => f.write_str("the peer closed before it sent anything"),
            AcceptError::Cut { received } => write!(f, "the peer closed inside the header, after {received} bytes"),
            AcceptError::TimedOut { received: 0 } => f.write_str("nothing came in time"),
            AcceptError::TimedOut { received } => {
                write!(f, "the header did not come in time: {received} bytes are there")
            }
        }
    }
}

impl core::error::Error for AcceptError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            AcceptError::Io(error) => Some(error),
            AcceptError::Invalid { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> Self {
        AcceptError::Io(error)
    }
}
