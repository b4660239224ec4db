//! The origin of a connection, kept for the admin port.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use proxy::policy::Mode;
use proxy::{Addresses, Command, Header, Status, Tlvs, Transport, V2, Version};

/// The peer and its header. It takes 24 bytes for a header of TCP over IPv4 without TLVs.
#[derive(Debug)]
pub(crate) struct Origin(Kept);

#[derive(Debug)]
enum Kept {
    Inet { peer: SocketAddrV4, source: SocketAddrV4, destination: SocketAddrV4, version: Option<Version>, mode: Mode },
    Other(Box<Other>),
}

const _: () = assert!(size_of::<Origin>() == 24);

#[derive(Debug)]
struct Other {
    peer: SocketAddr,
    mode: Mode,
    /// The bytes of the header, empty before it was received.
    header: Box<[u8]>,
    /// The number of TLVs that were too long to be kept.
    left_out: usize,
}

impl Origin {
    /// A header of up to this many bytes is kept whole. Of a longer one only the addresses are kept, so that memory has
    /// a limit.
    const MAX_KEPT_BYTES: usize = 1024;
    const UNKNOWN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

    /// The origin of a connection from `peer` to a listener with `mode`, before its header.
    pub(crate) fn new(peer: SocketAddr, mode: Mode) -> Self {
        Origin(match peer {
            SocketAddr::V4(peer) => {
                Kept::Inet { peer, source: Self::UNKNOWN, destination: Self::UNKNOWN, version: None, mode }
            }
            SocketAddr::V6(_) => Kept::Other(Box::new(Other { peer, mode, header: Box::default(), left_out: 0 })),
        })
    }

    /// Forgets a closed connection.
    pub(crate) fn forget(&mut self) {
        *self = Origin::new(SocketAddr::V4(Self::UNKNOWN), self.mode());
    }

    /// Records the connection's header.
    pub(crate) fn learn(&mut self, header: &Header<'_>) {
        let (peer, mode) = (self.peer(), self.mode());
        self.0 = match (peer, header.addresses) {
            (SocketAddr::V4(peer), Addresses::Inet { transport: Transport::Stream, source, destination })
                if header.tlvs == Tlvs::default() =>
            {
                Kept::Inet { peer, source, destination, version: Some(header.version), mode }
            }
            _ => {
                let (header, left_out) = kept(header);
                Kept::Other(Box::new(Other { peer, mode, header, left_out }))
            }
        };
    }

    /// The address of the peer.
    pub(crate) fn peer(&self) -> SocketAddr {
        match &self.0 {
            Kept::Inet { peer, .. } => (*peer).into(),
            Kept::Other(other) => other.peer,
        }
    }

    /// The mode of the listener.
    pub(crate) fn mode(&self) -> Mode {
        match &self.0 {
            Kept::Inet { mode, .. } => *mode,
            Kept::Other(other) => other.mode,
        }
    }

    /// The header, without its raw bytes.
    pub(crate) fn header(&self) -> Option<Header<'_>> {
        match &self.0 {
            Kept::Inet { version, source, destination, .. } => {
                let (source, destination) = (*source, *destination);
                let addresses = Addresses::Inet { transport: Transport::Stream, source, destination };
                let (raw, tlvs) = (&[][..], Tlvs::default());
                version.map(|version| Header { raw, version, command: Command::Proxy, addresses, tlvs })
            }
            Kept::Other(other) => match proxy::parse(&other.header) {
                Ok(Status::Complete(header)) => Some(header),
                _ => None,
            },
        }
    }

    /// The number of header bytes that are kept.
    pub(crate) fn kept_bytes(&self) -> usize {
        match &self.0 {
            Kept::Inet { .. } => 0,
            Kept::Other(other) => other.header.len(),
        }
    }

    /// The number of TLVs left out of [`Origin::header`].
    pub(crate) fn left_out(&self) -> usize {
        match &self.0 {
            Kept::Inet { .. } => 0,
            Kept::Other(other) => other.left_out,
        }
    }
}

/// The bytes to keep of a header, and the number of TLVs left out.
fn kept(header: &Header<'_>) -> (Box<[u8]>, usize) {
    if header.raw.len() <= Origin::MAX_KEPT_BYTES {
        return (header.raw.into(), 0);
    }
    let mut short = Vec::new();
    // Cannot fail: addresses alone always fit.
    let _ = V2 { command: header.command, addresses: header.addresses, tlvs: &[], crc32c: false }.encode(&mut short);
    (short.into(), header.tlvs.iter().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy::Tlv;

    fn parse(bytes: &[u8]) -> Header<'_> {
        match proxy::parse(bytes) {
            Ok(Status::Complete(header)) => header,
            other => panic!("{other:?}"),
        }
    }

    fn v2(addresses: Addresses<'_>, tlvs: &[Tlv<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2 { command: Command::Proxy, addresses, tlvs, crc32c: true }.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_a_header_said_is_kept_whatever_its_form() {
        let source = "192.0.2.1:1".parse().unwrap();
        let destination = "192.0.2.2:2".parse().unwrap();
        let inet = Addresses::Inet { transport: Transport::Stream, source, destination };
        let udp = Addresses::Inet { transport: Transport::Datagram, source, destination };
        let authority = Tlv { kind: proxy::tlv::AUTHORITY, value: b"example.com" };
        let headers = [
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(),
            b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n".to_vec(),
            b"PROXY UNKNOWN what ever\r\n".to_vec(),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x10\x20\x30\x40".to_vec(),
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(),
            v2(inet, &[authority]),
            v2(udp, &[]),
            v2(Addresses::Unspecified, &[authority]),
        ];
        for peer in ["10.0.0.1:99", "[2001:db8::9]:99"] {
            for bytes in &headers {
                let header = parse(bytes);
                let mut origin = Origin::new(peer.parse().unwrap(), Mode::Mixed);
                assert_eq!((origin.header(), origin.peer()), (None, peer.parse().unwrap()));
                origin.learn(&header);
                let kept = origin.header().unwrap();
                assert_eq!((kept.version, kept.command), (header.version, header.command), "{bytes:?}");
                assert_eq!((kept.addresses, kept.tlvs), (header.addresses, header.tlvs), "{bytes:?}");
                assert_eq!((origin.peer(), origin.left_out()), (peer.parse().unwrap(), 0));
            }
        }
    }

    #[test]
    fn of_a_header_that_is_too_long_the_addresses_are_kept() {
        let source = "[2001:db8::1]:1".parse().unwrap();
        let destination = "[2001:db8::2]:2".parse().unwrap();
        let addresses = Addresses::Inet6 { transport: Transport::Stream, source, destination };
        let bytes = v2(addresses, &[Tlv { kind: 0xE5, value: &[7; 600] }; 3]);
        let mut origin = Origin::new("10.0.0.1:99".parse().unwrap(), Mode::Required);
        origin.learn(&parse(&bytes));
        let kept = origin.header().unwrap();
        assert_eq!((kept.addresses, kept.tlvs.iter().count(), origin.left_out()), (addresses, 0, 4));
    }
}
