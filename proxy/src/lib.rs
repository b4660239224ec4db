//! The PROXY protocol, versions 1 and 2: parse a header in place, or encode one.
//!
//! The normative text is [`doc/proxy-protocol.txt`] of HAProxy; section numbers in this module are its own. Nothing here
//! allocates while parsing, does I/O or keeps state: the caller holds the bytes and calls [`parse`] again when more came.
//!
//! ```
//! use proxy_protocol_header::{self, Addresses, Status};
//!
//! let received = b"PROXY TCP4 124.100.123.123 10.0.8.154 53971 8888\r\nHello\r\n";
//! let Ok(Status::Complete(header)) = proxy::parse(received) else { panic!() };
//! let Addresses::Inet { source, .. } = header.addresses else { panic!() };
//! assert_eq!(source.to_string(), "124.100.123.123:53971");
//! assert_eq!(&received[header.len()..], b"Hello\r\n");
//!
//! assert_eq!(proxy::parse(b"PROXY TCP4 124.100."), Ok(Status::Partial));
//! assert_eq!(proxy::parse(b"GET / HTTP/1.1\r\n"), Err(proxy::Error::Signature));
//! ```
//!
//! # The law
//!
//! 1. If the first *n* bytes are [`Status::Complete`], every shorter prefix is [`Status::Partial`] and every longer input
//!    gives the same header: what follows is payload, a second header too.
//! 2. An error stays, whatever comes behind it.
//! 3. An impossible field is an error with the byte that completes it; only the checksum needs the whole header.
//!
//! [`doc/proxy-protocol.txt`]: https://www.haproxy.org/download/3.3/doc/proxy-protocol.txt

use std::fmt;
use std::net::{SocketAddrV4, SocketAddrV6};

pub mod crc32c;
mod encode;
pub mod escape;
mod tcp4;
pub mod tlv;
mod v1;
mod v2;

pub use encode::{EncodeError, Line, V2, encode_v1};
pub use tlv::{Tlv, Tlvs};

/// The longest version 1 line, CRLF included (section 2.1).
pub const MAX_V1_LEN: usize = 107;

/// The longest version 2 header: 16 fixed bytes and what a 16-bit length can count (section 2.2).
pub const MAX_V2_LEN: usize = 16 + u16::MAX as usize;

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<T> {
    /// A whole header stands at the start of the input.
    Complete(T),
    /// What is there can still become a header.
    Partial,
}

/// Which of the two formats a header came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The human-readable line of section 2.1.
    V1,
    /// The binary header of section 2.2.
    V2,
}

/// The command of a version 2 header (byte 13, low four bits). A version 1 line always means `Proxy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The sender speaks for itself (a health check): the connection's own addresses are the real ones.
    Local,
    /// The sender relays a client's connection.
    Proxy,
}

/// The socket type of the client's connection (byte 14, low four bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `SOCK_STREAM`: TCP, or a UNIX stream.
    Stream,
    /// `SOCK_DGRAM`: UDP, or a UNIX datagram.
    Datagram,
}

/// Who connected to whom, as the sender tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses<'a> {
    /// Not told: `LOCAL`, version 1 `UNKNOWN`, or an UNSPEC family or transport. Use the connection's own addresses.
    Unspecified,
    /// IPv4.
    Inet {
        /// TCP or UDP.
        transport: Transport,
        /// The client.
        source: SocketAddrV4,
        /// What the client connected to.
        destination: SocketAddrV4,
    },
    /// IPv6; scope and flow label are 0, the protocol does not carry them.
    Inet6 {
        /// TCP or UDP.
        transport: Transport,
        /// The client.
        source: SocketAddrV6,
        /// What the client connected to.
        destination: SocketAddrV6,
    },
    /// UNIX sockets: paths padded with zero bytes, as in `sun_path`.
    Unix {
        /// Stream or datagram.
        transport: Transport,
        /// The client.
        source: &'a [u8; 108],
        /// What the client connected to.
        destination: &'a [u8; 108],
    },
}

/// A whole header, borrowed from the bytes it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's own bytes; the payload begins behind them.
    pub raw: &'a [u8],
    /// The format it came in.
    pub version: Version,
    /// `LOCAL` or `PROXY`.
    pub command: Command,
    /// Who connected to whom.
    pub addresses: Addresses<'a>,
    /// The vectors behind the addresses. Empty in version 1 and for `LOCAL`, whose block is discarded unread.
    pub tlvs: Tlvs<'a>,
}

impl Header<'_> {
    /// The header's length in bytes: the payload begins there.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        self.raw.len()
    }
}

/// Parses a header of either version at the start of `input`, without copying or allocating.
///
/// # Errors
///
/// The first thing that keeps `input` from being a header. [`error_offset`] tells where it stands.
#[inline]
pub fn parse(input: &[u8]) -> Result<Status<Header<'_>>, Error> {
    match input.first() {
        None => Ok(Status::Partial),
        Some(b'P') => v1::parse(input),
        Some(b'\r') => v2::parse(input),
        Some(_) => Err(Error::Signature),
    }
}

/// The offset, in bytes, of the byte with which `input` ceased to be a header, or `None` if it still may be or is one.
///
/// By the law an error stays whatever follows, so the shortest prefix that fails is found by halving.
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

/// Why parsing ended before a header was whole; `?` carries it through the grammar's functions.
///
/// They return parts of a header that fit registers. The header itself is written once, to where the caller wants it:
/// copying one takes longer than parsing it.
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

/// What keeps some bytes from being a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Neither `PROXY` nor the version 2 signature.
    Signature,
    /// Version 1: the protocol is not `TCP4`, `TCP6` or `UNKNOWN`.
    V1Protocol,
    /// Version 1: not four decimal numbers up to 255, without leading zeros, between single dots.
    V1Ipv4,
    /// Version 1: not an IPv6 address of 128 bits with at most one `::`.
    V1Ipv6,
    /// Version 1: not a decimal number up to 65535 without leading zeros.
    V1Port,
    /// Version 1: a field, or the word `PROXY`, does not end in a space.
    V1Space,
    /// Version 1: the line does not end in CRLF where it must.
    V1LineEnd,
    /// Version 1: no CRLF within 107 bytes.
    V1TooLong,
    /// Version 2: the version nibble is not 2.
    V2Version,
    /// Version 2: a command other than LOCAL (0) and PROXY (1).
    V2Command,
    /// Version 2: an address family above 3.
    V2Family,
    /// Version 2: a transport protocol above 2.
    V2Transport,
    /// Version 2: the length is too short for the addresses of the family.
    V2Length,
    /// Version 2: a TLV's length reaches past the end of the header.
    TlvOverrun,
    /// Version 2: one or two bytes are left behind the last TLV.
    TlvTrailing,
    /// Version 2: a CRC32C whose value is not 4 bytes long.
    Crc32cLength,
    /// Version 2: a second CRC32C.
    Crc32cDuplicate,
    /// Version 2: the CRC32C is not that of the header.
    Crc32cMismatch,
    /// Version 2: a unique id of more than 128 bytes.
    UniqueIdLength,
}

impl Error {
    /// All of them.
    pub const ALL: [Error; 19] = [
        Error::Signature,
        Error::V1Protocol,
        Error::V1Ipv4,
        Error::V1Ipv6,
        Error::V1Port,
        Error::V1Space,
        Error::V1LineEnd,
        Error::V1TooLong,
        Error::V2Version,
        Error::V2Command,
        Error::V2Family,
        Error::V2Transport,
        Error::V2Length,
        Error::TlvOverrun,
        Error::TlvTrailing,
        Error::Crc32cLength,
        Error::Crc32cDuplicate,
        Error::Crc32cMismatch,
        Error::UniqueIdLength,
    ];

    /// The sentence of [`fmt::Display`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Error::Signature => "neither a PROXY line nor the version 2 signature",
            Error::V1Protocol => "the protocol is not TCP4, TCP6 or UNKNOWN",
            Error::V1Ipv4 => "not an IPv4 address in canonical form",
            Error::V1Ipv6 => "not an IPv6 address",
            Error::V1Port => "not a port from 0 to 65535 without leading zeros",
            Error::V1Space => "no space at the end of a field",
            Error::V1LineEnd => "the line does not end in CRLF",
            Error::V1TooLong => "no CRLF within 107 bytes",
            Error::V2Version => "the version is not 2",
            Error::V2Command => "the command is neither LOCAL nor PROXY",
            Error::V2Family => "the address family is undefined",
            Error::V2Transport => "the transport protocol is undefined",
            Error::V2Length => "the length is too short for the address family",
            Error::TlvOverrun => "a TLV reaches past the end of the header",
            Error::TlvTrailing => "bytes are left over behind the last TLV",
            Error::Crc32cLength => "the CRC32C is not 4 bytes long",
            Error::Crc32cDuplicate => "there is more than one CRC32C",
            Error::Crc32cMismatch => "the CRC32C does not match the header",
            Error::UniqueIdLength => "the unique id is longer than 128 bytes",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Error {}
