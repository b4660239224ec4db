//! Writing headers: a version 1 line on the stack, a version 2 header behind what a `Vec` holds.

use std::fmt;
use std::io::{Cursor, Write};
use std::ops::Deref;

use super::wire::{V2_FIXED_LEN as FIXED_LEN, V2_LOCAL, V2_PROXY, V2_SIGNATURE as SIGNATURE};
use super::{Addresses, Command, MAX_V1_LEN, Tlv, Transport, crc32c, tlv};

/// A version 1 line, CRLF included; it derefs to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    bytes: [u8; MAX_V1_LEN],
    len: usize,
}

impl Deref for Line {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The version 1 line for `addresses`. What version 1 has no words for (datagrams, UNIX sockets) is `PROXY UNKNOWN`.
///
/// ```
/// let (source, destination) = ("192.0.2.1:56324".parse().unwrap(), "192.0.2.2:443".parse().unwrap());
/// let transport = proxy_protocol_header::Transport::Stream;
/// let addresses = proxy_protocol_header::Addresses::Inet { transport, source, destination };
/// let line = proxy_protocol_header::encode_v1(&addresses);
/// assert_eq!(*line, *b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n");
/// ```
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "every line fits, by section 2.1")]
pub fn encode_v1(addresses: &Addresses<'_>) -> Line {
    let mut out = Cursor::new([0; MAX_V1_LEN]);
    let written = match addresses {
        Addresses::Inet { transport: Transport::Stream, source: s, destination: d } => {
            write!(out, "PROXY TCP4 {} {} {} {}\r\n", s.ip(), d.ip(), s.port(), d.port())
        }
        Addresses::Inet6 { transport: Transport::Stream, source: s, destination: d } => {
            write!(out, "PROXY TCP6 {} {} {} {}\r\n", s.ip(), d.ip(), s.port(), d.port())
        }
        _ => write!(out, "PROXY UNKNOWN\r\n"),
    };
    written.expect("section 2.1: no line is longer than 107 bytes");
    Line { len: out.position() as usize, bytes: out.into_inner() }
}

/// A version 2 header to be written.
///
/// ```
/// use proxy_protocol_header::{self as proxy, Addresses, Command, Status, Tlv, V2, tlv};
///
/// let authority = Tlv { kind: tlv::AUTHORITY, value: b"example.com" };
/// let header = V2 { command: Command::Proxy, addresses: Addresses::Unspecified, tlvs: &[authority], crc32c: true };
/// let mut bytes = Vec::new();
/// header.encode(&mut bytes).unwrap();
/// let Ok(Status::Complete(parsed)) = proxy::parse(&bytes) else { panic!() };
/// assert!(parsed.tlvs.iter().any(|tlv| tlv == authority));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct V2<'a> {
    /// `LOCAL` goes with [`Addresses::Unspecified`]: receivers ignore anything else.
    pub command: Command,
    /// Who connected to whom.
    pub addresses: Addresses<'a>,
    /// TLVs, in their order, without the checksum.
    pub tlvs: &'a [Tlv<'a>],
    /// Whether a CRC32C comes last.
    pub crc32c: bool,
}

impl V2<'_> {
    /// Writes the header behind what `out` holds.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], with `out` as it was, if a field cannot hold what it should.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        self.write(out, start).inspect_err(|_| out.truncate(start))
    }

    fn write(&self, out: &mut Vec<u8>, start: usize) -> Result<(), EncodeError> {
        out.extend_from_slice(&SIGNATURE);
        out.push(match self.command {
            Command::Local => V2_LOCAL,
            Command::Proxy => V2_PROXY,
        });
        out.extend_from_slice(&[0; 3]);
        out[start + 13] = write_addresses(&self.addresses, out);
        for tlv in self.tlvs {
            if tlv.kind == tlv::UNIQUE_ID && tlv.value.len() > tlv::MAX_UNIQUE_ID_LEN {
                return Err(EncodeError::UniqueIdTooLong);
            }
            if tlv.kind == tlv::CRC32C {
                return Err(EncodeError::ChecksumGiven);
            }
            write_tlv(tlv, out)?;
        }
        if self.crc32c {
            let value = &[0; 4];
            write_tlv(&Tlv { kind: tlv::CRC32C, value }, out)?;
        }
        let length = u16::try_from(out.len() - start - FIXED_LEN).map_err(|_| EncodeError::TooLong)?;
        out[start + 14..start + 16].copy_from_slice(&length.to_be_bytes());
        if self.crc32c {
            let checksum = crc32c::of(&out[start..]);
            let end = out.len();
            out[end - 4..].copy_from_slice(&checksum.to_be_bytes());
        }
        Ok(())
    }
}

/// Writes the address block and returns the byte that names its family and transport.
fn write_addresses(addresses: &Addresses<'_>, out: &mut Vec<u8>) -> u8 {
    let low = |transport: &Transport| match transport {
        Transport::Stream => 1,
        Transport::Datagram => 2,
    };
    match addresses {
        Addresses::Unspecified => 0,
        Addresses::Inet { transport, source: s, destination: d } => {
            out.extend_from_slice(&s.ip().octets());
            out.extend_from_slice(&d.ip().octets());
            out.extend_from_slice(&s.port().to_be_bytes());
            out.extend_from_slice(&d.port().to_be_bytes());
            0x10 | low(transport)
        }
        Addresses::Inet6 { transport, source: s, destination: d } => {
            out.extend_from_slice(&s.ip().octets());
            out.extend_from_slice(&d.ip().octets());
            out.extend_from_slice(&s.port().to_be_bytes());
            out.extend_from_slice(&d.port().to_be_bytes());
            0x20 | low(transport)
        }
        Addresses::Unix { transport, source, destination } => {
            out.extend_from_slice(*source);
            out.extend_from_slice(*destination);
            0x30 | low(transport)
        }
    }
}

fn write_tlv(tlv: &Tlv<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length = u16::try_from(tlv.value.len()).map_err(|_| EncodeError::TooLong)?;
    out.push(tlv.kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(tlv.value);
    Ok(())
}

/// What keeps a version 2 header from being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The header, or one TLV, is longer than 65,535 bytes can be counted.
    TooLong,
    /// A unique id of more than 128 bytes (section 2.2.5).
    UniqueIdTooLong,
    /// A CRC32C among the TLVs: set [`V2::crc32c`] instead.
    ChecksumGiven,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EncodeError::TooLong => "the addresses and TLVs of a header are at most 65535 bytes long",
            EncodeError::UniqueIdTooLong => "a unique id is at most 128 bytes long",
            EncodeError::ChecksumGiven => "the CRC32C is computed, not given",
        })
    }
}

impl std::error::Error for EncodeError {}
