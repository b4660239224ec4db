//! The parsed header: version, command, addresses and TLVs, and how they are displayed.

use core::fmt;
use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::escape::Escaped;
use crate::tlv::Tlvs;

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

/// Source and destination of the client's connection, as the sender states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses<'a> {
    /// Not stated: `LOCAL`, version 1 `UNKNOWN`, or an UNSPEC family or transport. Use the connection's own addresses.
    Unspecified,
    /// IPv4.
    Inet {
        /// TCP or UDP.
        transport: Transport,
        /// The client.
        source: SocketAddrV4,
        /// The address that the client connected to.
        destination: SocketAddrV4,
    },
    /// IPv6. Scope and flow label are 0, because the protocol does not carry them.
    Inet6 {
        /// TCP or UDP.
        transport: Transport,
        /// The client.
        source: SocketAddrV6,
        /// The address that the client connected to.
        destination: SocketAddrV6,
    },
    /// UNIX sockets: paths padded with zero bytes, as in `sun_path`.
    Unix {
        /// Stream or datagram.
        transport: Transport,
        /// The client.
        source: &'a [u8; 108],
        /// The address that the client connected to.
        destination: &'a [u8; 108],
    },
}

/// A whole header, borrowed from the bytes it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's own bytes; the payload follows them.
    pub raw: &'a [u8],
    /// The format it came in.
    pub version: Version,
    /// `LOCAL` or `PROXY`.
    pub command: Command,
    /// The client's connection: its source and destination.
    pub addresses: Addresses<'a>,
    /// The TLVs after the addresses. Empty in version 1 and for `LOCAL`, whose block is discarded unread.
    pub tlvs: Tlvs<'a>,
}

impl Header<'_> {
    /// The header's length in bytes: the payload begins there.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// The client's address, or `None` if the header states no IP address: the client is then the connection's own peer,
    /// or it connected over a UNIX socket ([`Addresses::Unix`]).
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.addresses.source()
    }

    /// The address that the client connected to; `None` as for [`Header::source`].
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.addresses.destination()
    }

    /// The family and transport as the specification writes them: `TCP4`, `UDP6`, `UNIX_STREAM`, …. For the command `LOCAL` it
    /// is `LOCAL`; for other [`Addresses::Unspecified`] it is `UNKNOWN` (version 1) or `UNSPEC` (version 2).
    #[must_use]
    pub fn family(&self) -> &'static str {
        match (self.command, self.version, self.addresses) {
            (Command::Local, ..) => "LOCAL",
            (_, Version::V1, Addresses::Unspecified) => "UNKNOWN",
            (_, Version::V2, Addresses::Unspecified) => "UNSPEC",
            (.., Addresses::Inet { transport: Transport::Stream, .. }) => "TCP4",
            (.., Addresses::Inet { transport: Transport::Datagram, .. }) => "UDP4",
            (.., Addresses::Inet6 { transport: Transport::Stream, .. }) => "TCP6",
            (.., Addresses::Inet6 { transport: Transport::Datagram, .. }) => "UDP6",
            (.., Addresses::Unix { transport: Transport::Stream, .. }) => "UNIX_STREAM",
            (.., Addresses::Unix { transport: Transport::Datagram, .. }) => "UNIX_DGRAM",
        }
    }
}

impl Addresses<'_> {
    /// The client's IP address and port, if the header states them.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        match *self {
            Addresses::Inet { source, .. } => Some(source.into()),
            Addresses::Inet6 { source, .. } => Some(source.into()),
            Addresses::Unspecified | Addresses::Unix { .. } => None,
        }
    }

    /// The IP address and port that the client connected to, if the header states them.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        match *self {
            Addresses::Inet { destination, .. } => Some(destination.into()),
            Addresses::Inet6 { destination, .. } => Some(destination.into()),
            Addresses::Unspecified | Addresses::Unix { .. } => None,
        }
    }
}

/// The path of a UNIX socket without its padding. An abstract name keeps its leading zero byte.
#[must_use]
pub fn unix_path(padded: &[u8; 108]) -> &[u8] {
    let length = padded.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &padded[..length]
}

/// `v1` or `v2`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        })
    }
}

/// The header on one line of printable ASCII, such as `PROXY v2 TCP4 192.0.2.1:56324 -> 192.0.2.2:443, AUTHORITY
/// "example.com"`. TLVs are displayed as [`Tlvs`] displays them.
impl fmt::Display for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PROXY {} {}", self.version, self.family())?;
        match self.addresses {
            Addresses::Unspecified => {}
            Addresses::Inet { source, destination, .. } => write!(f, " {source} -> {destination}")?,
            Addresses::Inet6 { source, destination, .. } => write!(f, " {source} -> {destination}")?,
            Addresses::Unix { source, destination, .. } => {
                write!(f, " \"{}\" -> \"{}\"", Escaped(unix_path(source)), Escaped(unix_path(destination)))?;
            }
        }
        if self.tlvs.is_empty() { Ok(()) } else { write!(f, ", {}", self.tlvs) }
    }
}
