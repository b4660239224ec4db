//! Writes headers: a version 1 line on the stack, a version 2 header into a slice or at the end of a `Vec`.

use core::fmt::{self, Write};
use core::ops::Deref;

use super::wire::{ADDRESSES_LEN, V2_FIXED_LEN, V2_LOCAL, V2_PROXY, V2_SIGNATURE};
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

impl AsRef<[u8]> for Line {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// The version 1 line for `addresses`. Addresses that version 1 cannot express (datagrams, UNIX sockets) become `PROXY UNKNOWN`.
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
    let mut line = Line { bytes: [0; MAX_V1_LEN], len: 0 };
    let written = match addresses {
        Addresses::Inet { transport: Transport::Stream, source: s, destination: d } => {
            write!(line, "PROXY TCP4 {} {} {} {}\r\n", s.ip(), d.ip(), s.port(), d.port())
        }
        Addresses::Inet6 { transport: Transport::Stream, source: s, destination: d } => {
            write!(line, "PROXY TCP6 {} {} {} {}\r\n", s.ip(), d.ip(), s.port(), d.port())
        }
        _ => line.write_str("PROXY UNKNOWN\r\n"),
    };
    written.expect("section 2.1: no line is longer than 107 bytes");
    line
}

/// A version 2 header to be written.
///
/// ```
/// use proxy_protocol_header::{self as proxy, Addresses, Command, Status, Tlv, V2, tlv};
///
/// let mut inside = [0; 64];
/// let version = Tlv { kind: tlv::SSL_VERSION, value: b"TLSv1.3" };
/// let tls = tlv::Ssl::encode(tlv::Ssl::TLS, 1, &[version], &mut inside).unwrap();
/// let authority = Tlv { kind: tlv::AUTHORITY, value: b"example.com" };
/// let header =
///     V2 { command: Command::Proxy, addresses: Addresses::Unspecified, tlvs: &[authority, tls], crc32c: true };
///
/// let mut bytes = [0; 128];
/// let length = header.encode_to_slice(&mut bytes).unwrap();
/// let Ok(Status::Complete(parsed)) = proxy::parse(&bytes[..length]) else { panic!() };
/// assert_eq!(parsed.tlvs.authority(), Ok(Some("example.com")));
/// assert_eq!(parsed.tlvs.ssl().unwrap().unwrap().version(), Ok(Some("TLSv1.3")));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct V2<'a> {
    /// `LOCAL` goes with [`Addresses::Unspecified`]: receivers ignore anything else.
    pub command: Command,
    /// The client's connection: its source and destination.
    pub addresses: Addresses<'a>,
    /// The TLVs in their order, without the checksum. [`tlv::Ssl::encode`] writes the TLV about TLS.
    pub tlvs: &'a [Tlv<'a>],
    /// Whether to add a CRC32C as the last TLV.
    pub crc32c: bool,
}

impl V2<'_> {
    /// The header's length in bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], if a value is too large for its field.
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        let checksum_len = if self.crc32c { tlv::Head::LEN + 4 } else { 0 };
        let mut length = ADDRESSES_LEN[usize::from(family(&self.addresses) >> 4)] + checksum_len;
        for tlv in self.tlvs {
            if tlv.kind == tlv::UNIQUE_ID && tlv.value.len() > tlv::MAX_UNIQUE_ID_LEN {
                return Err(EncodeError::UniqueIdTooLong);
            }
            if tlv.kind == tlv::CRC32C {
                return Err(EncodeError::ChecksumGiven);
            }
            length += tlv_len(tlv)?;
        }
        if length > usize::from(u16::MAX) { Err(EncodeError::TooLong) } else { Ok(V2_FIXED_LEN + length) }
    }

    /// Writes the header to the start of `out`, and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], with `out` as it was, if a value is too large for its field or `out` is too short.
    pub fn encode_to_slice(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.encoded_len()?;
        let header = out.get_mut(..needed).ok_or(EncodeError::BufferTooShort { needed })?;
        let mut writer = Writer { rest: header };
        writer.put(&V2_SIGNATURE);
        let command = match self.command {
            Command::Local => V2_LOCAL,
            Command::Proxy => V2_PROXY,
        };
        writer.put(&[command, family(&self.addresses)]);
        writer.put(&((needed - V2_FIXED_LEN) as u16).to_be_bytes());
        writer.put_addresses(&self.addresses);
        for tlv in self.tlvs {
            writer.put_tlv(tlv);
        }
        if self.crc32c {
            writer.put_tlv(&Tlv { kind: tlv::CRC32C, value: &[0; 4] });
            let checksum = crc32c::of(header);
            header[needed - 4..].copy_from_slice(&checksum.to_be_bytes());
        }
        Ok(needed)
    }

    /// Appends the header to `out`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], with `out` as it was, if a value is too large for its field.
    #[cfg(feature = "alloc")]
    pub fn encode(&self, out: &mut alloc::vec::Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.resize(start + self.encoded_len()?, 0);
        self.encode_to_slice(&mut out[start..])?;
        Ok(())
    }
}

impl<'a> tlv::Ssl<'a> {
    /// Writes the value of a [`tlv::SSL`] TLV to the start of `out`, and returns the TLV for [`V2::tlvs`]. `client` is the
    /// bits of [`tlv::Ssl::client`], `verify` the result of [`tlv::Ssl::verify`]; `tlvs` have types 0x21 to 0x28.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], with `out` as it was, if a value is too large for its field or `out` is too short.
    pub fn encode(client: u8, verify: u32, tlvs: &[Tlv<'_>], out: &'a mut [u8]) -> Result<Tlv<'a>, EncodeError> {
        let mut needed = Self::FIXED_LEN;
        for tlv in tlvs {
            if tlv.kind == tlv::SSL {
                return Err(EncodeError::NestedSsl);
            }
            needed += tlv_len(tlv)?;
        }
        if needed > usize::from(u16::MAX) {
            return Err(EncodeError::TooLong);
        }
        let value = out.get_mut(..needed).ok_or(EncodeError::BufferTooShort { needed })?;
        let mut writer = Writer { rest: value };
        writer.put(&[client]);
        writer.put(&verify.to_be_bytes());
        for tlv in tlvs {
            writer.put_tlv(tlv);
        }
        Ok(Tlv { kind: tlv::SSL, value })
    }
}

/// Byte 13: the family (high four bits) and the transport (low).
fn family(addresses: &Addresses<'_>) -> u8 {
    let (family, transport) = match addresses {
        Addresses::Unspecified => return 0,
        Addresses::Inet { transport, .. } => (0x10, transport),
        Addresses::Inet6 { transport, .. } => (0x20, transport),
        Addresses::Unix { transport, .. } => (0x30, transport),
    };
    family
        | match transport {
            Transport::Stream => 1,
            Transport::Datagram => 2,
        }
}

/// The length of a TLV in bytes, its head included.
fn tlv_len(tlv: &Tlv<'_>) -> Result<usize, EncodeError> {
    let is_too_long = tlv.value.len() > usize::from(u16::MAX);
    if is_too_long { Err(EncodeError::TooLong) } else { Ok(tlv::Head::LEN + tlv.value.len()) }
}

/// Writes into a slice whose length was checked before.
struct Writer<'a> {
    rest: &'a mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (place, rest) = core::mem::take(&mut self.rest).split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        self.rest = rest;
    }

    fn put_tlv(&mut self, tlv: &Tlv<'_>) {
        self.put(&[tlv.kind]);
        self.put(&(tlv.value.len() as u16).to_be_bytes());
        self.put(tlv.value);
    }

    fn put_addresses(&mut self, addresses: &Addresses<'_>) {
        match addresses {
            Addresses::Unspecified => {}
            Addresses::Inet { source: s, destination: d, .. } => {
                self.put(&s.ip().octets());
                self.put(&d.ip().octets());
                self.put(&s.port().to_be_bytes());
                self.put(&d.port().to_be_bytes());
            }
            Addresses::Inet6 { source: s, destination: d, .. } => {
                self.put(&s.ip().octets());
                self.put(&d.ip().octets());
                self.put(&s.port().to_be_bytes());
                self.put(&d.port().to_be_bytes());
            }
            Addresses::Unix { source, destination, .. } => {
                self.put(*source);
                self.put(*destination);
            }
        }
    }
}

/// Why a version 2 header cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The addresses and TLVs together, or one TLV alone, are longer than 65,535 bytes, the limit of a 16-bit length.
    TooLong,
    /// A unique id of more than 128 bytes (section 2.2.5).
    UniqueIdTooLong,
    /// A CRC32C among the TLVs: set [`V2::crc32c`] instead.
    ChecksumGiven,
    /// A TLV about TLS inside another.
    NestedSsl,
    /// The slice is shorter than the header.
    BufferTooShort {
        /// The header's length in bytes.
        needed: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EncodeError::TooLong => "the addresses and TLVs of a header are at most 65535 bytes long",
            EncodeError::UniqueIdTooLong => "a unique id is at most 128 bytes long",
            EncodeError::ChecksumGiven => "the CRC32C is computed, not given",
            EncodeError::NestedSsl => "an SSL TLV cannot be inside another",
            EncodeError::BufferTooShort { needed } => {
                return write!(f, "the buffer is too short: {needed} bytes are needed");
            }
        })
    }
}

impl core::error::Error for EncodeError {}
