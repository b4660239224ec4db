//! The PROXY protocol, versions 1 and 2: parse a header in place, or encode one.
//!
//! The specification is [`doc/proxy-protocol.txt`] of HAProxy; section numbers here are those of that text. Parsing does not
//! allocate, do I/O or keep state: the caller keeps the bytes, and calls [`parse`] again with all of them when more have
//! arrived. The module `accept` does that for blocking streams (feature `std`) and tokio's (feature `tokio`).
//!
//! ```
//! use proxy_protocol_header::{self as proxy, Status};
//!
//! let received = b"PROXY TCP4 124.100.123.123 10.0.8.154 53971 8888\r\nHello\r\n";
//! let Ok(Status::Complete(header)) = proxy::parse(received) else { panic!() };
//! assert_eq!(header.source(), Some("124.100.123.123:53971".parse().unwrap()));
//! assert_eq!(header.to_string(), "PROXY v1 TCP4 124.100.123.123:53971 -> 10.0.8.154:8888");
//! assert_eq!(&received[header.len()..], b"Hello\r\n");
//!
//! assert_eq!(proxy::parse(b"PROXY TCP4 124.100."), Ok(Status::Partial));
//! assert_eq!(proxy::parse(b"GET / HTTP/1.1\r\n"), Err(proxy::Error::Signature));
//! ```
//!
//! # Features
//!
//! Without features the crate is `no_std`, needs no allocator, and depends on memchr alone.
//!
//! - `alloc`: encoding into a `Vec`, `OwnedHeader`, and the policy.
//! - `std`, on by default: the processor's instruction for the CRC32C, and `accept` for blocking streams.
//! - `tokio`: `accept` for tokio's streams.
//!
//! # The law of the parser
//!
//! 1. If the first *n* bytes are [`Status::Complete`], every shorter prefix is [`Status::Partial`], and every longer input
//!    gives the same header: the bytes after it are payload, even if they are a second header.
//! 2. An error stays the same error, whatever bytes follow.
//! 3. An invalid field is reported as soon as its last byte has arrived; only the checksum needs the whole header.
//!
//! [`doc/proxy-protocol.txt`]: https://www.haproxy.org/download/3.3/doc/proxy-protocol.txt

#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
pub mod accept;
pub mod crc32c;
mod encode;
mod error;
pub mod escape;
mod header;
#[cfg(feature = "alloc")]
mod owned;
#[cfg(feature = "alloc")]
pub mod policy;
mod tcp4;
pub mod tlv;
mod v1;
mod v2;
pub mod wire;

pub use encode::{EncodeError, Line, V2, encode_v1};
pub use error::Error;
pub use header::{Addresses, Command, Header, Transport, Version, unix_path};
#[cfg(feature = "alloc")]
pub use owned::OwnedHeader;
pub use tlv::{Tlv, Tlvs};

/// The longest version 1 line, CRLF included (section 2.1).
pub const MAX_V1_LEN: usize = 107;

/// The longest version 2 header: 16 fixed bytes and the most that a 16-bit length can count (section 2.2).
pub const MAX_V2_LEN: usize = 16 + u16::MAX as usize;

/// The result of parsing the bytes received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<T> {
    /// A whole header stands at the start of the input.
    Complete(T),
    /// The input can still become a header.
    Partial,
}

/// Parses a header of either version at the start of `input`, without copying or allocating.
///
/// # Errors
///
/// The first violation of the specification in `input`. [`error_offset`] gives its position.
#[inline]
pub fn parse(input: &[u8]) -> Result<Status<Header<'_>>, Error> {
    match input.first() {
        None => Ok(Status::Partial),
        Some(b'P') => v1::parse(input),
        Some(b'\r') => v2::parse(input),
        Some(_) => Err(Error::Signature),
    }
}

/// The offset of the byte that made `input` invalid, or `None` if it is a header or can still become one.
///
/// It is found by bisection, because an error stays whatever bytes follow (the law of the parser, 2).
#[must_use]
pub fn error_offset(input: &[u8]) -> Option<usize> {
    parse(input).err()?;
    let (mut good, mut bad) = (0, input.len());
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        match parse(&input[..middle]) {
            Ok(_) => good = middle,
            Err(_) => bad = middle,
        }
    }
    Some(good)
}

/// Why parsing ended before a header was whole; `?` returns it through the functions of the grammar.
///
/// Those functions return parts of a header that fit into registers. The header itself is written once, directly into the
/// caller's memory: copying a header takes longer than parsing it.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Partial,
    Invalid(Error),
}

impl From<Stop> for Result<Status<Header<'_>>, Error> {
    #[inline]
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Partial => Ok(Status::Partial),
            Stop::Invalid(error) => Err(error),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Invalid(error)
    }
}

/// Compiles the programs in README, and runs those that end.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
