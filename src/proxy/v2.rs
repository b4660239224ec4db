//! Version 2, the binary header of section 2.2.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use super::{Addresses, Command, Error, Header, Status, Stop, Tlvs, Transport, Version, crc32c, tlv};

/// The constant block that no other protocol takes for its own.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length.
pub(super) const FIXED_LEN: usize = 16;

/// Bytes of the two addresses, ports included, of each family (high nibble of byte 14): UNSPEC, IPv4, IPv6, UNIX.
const ADDRESSES_LEN: [usize; 4] = [0, 12, 36, 216];

/// Parses a header whose first byte is that of the signature.
#[inline]
pub(super) fn parse(input: &[u8]) -> Result<Status<Header<'_>>, Error> {
    let Parts { command, family, transport, raw, tlvs } = match command(input) {
        Ok(Command::Local) => match local(input) {
            Ok(parts) => parts,
            Err(stop) => return stop.into(),
        },
        Ok(Command::Proxy) => match proxied(input) {
            Ok(parts) => parts,
            Err(stop) => return stop.into(),
        },
        Err(stop) => return stop.into(),
    };
    let complete = |addresses| {
        Ok(Status::Complete(Header { raw, version: Version::V2, command, addresses, tlvs: Tlvs::new(tlvs) }))
    };
    let Some(transport) = transport else { return complete(Addresses::Unspecified) };
    match family {
        1 => complete(Addresses::Inet {
            transport,
            source: SocketAddrV4::new(Ipv4Addr::from(*array::<4>(raw, 16)), port(raw, 24)),
            destination: SocketAddrV4::new(Ipv4Addr::from(*array::<4>(raw, 20)), port(raw, 26)),
        }),
        2 => complete(Addresses::Inet6 {
            transport,
            source: SocketAddrV6::new(Ipv6Addr::from(*array::<16>(raw, 16)), port(raw, 48), 0, 0),
            destination: SocketAddrV6::new(Ipv6Addr::from(*array::<16>(raw, 32)), port(raw, 50), 0, 0),
        }),
        3 => complete(Addresses::Unix { transport, source: array(raw, 16), destination: array(raw, 124) }),
        _ => complete(Addresses::Unspecified),
    }
}

/// What a header is made of.
struct Parts<'a> {
    command: Command,
    family: usize,
    /// `None` for UNSPEC, which makes the addresses unspecified too.
    transport: Option<Transport>,
    raw: &'a [u8],
    tlvs: &'a [u8],
}

/// The signature, and byte 13.
#[inline]
fn command(input: &[u8]) -> Result<Command, Stop> {
    match input.first_chunk() {
        Some(start) if *start == SIGNATURE => {}
        None if SIGNATURE.starts_with(input) => return Err(Stop::Partial),
        _ => return Err(Error::Signature.into()),
    }
    match byte(input, 12)? {
        0x20 => Ok(Command::Local),
        0x21 => Ok(Command::Proxy),
        other if other >> 4 != 2 => Err(Error::V2Version.into()),
        _ => Err(Error::V2Command.into()),
    }
}

/// `LOCAL`: the block is skipped by its length, whatever it is, and the family is ignored.
#[inline]
fn local(input: &[u8]) -> Result<Parts<'_>, Stop> {
    let raw = input.get(..FIXED_LEN + length(input)?).ok_or(Stop::Partial)?;
    Ok(Parts { command: Command::Local, family: 0, transport: None, raw, tlvs: &[] })
}

#[inline]
fn proxied(input: &[u8]) -> Result<Parts<'_>, Stop> {
    let kind = byte(input, 13)?;
    let family = usize::from(kind >> 4);
    let addresses_len = *ADDRESSES_LEN.get(family).ok_or(Error::V2Family)?;
    let transport = match kind & 0xf {
        0 => None,
        1 => Some(Transport::Stream),
        2 => Some(Transport::Datagram),
        _ => return Err(Error::V2Transport.into()),
    };
    let length = length(input)?;
    if length < addresses_len {
        return Err(Error::V2Length.into());
    }
    let (tlvs_start, end) = (FIXED_LEN + addresses_len, FIXED_LEN + length);
    let received = &input[..input.len().min(end)];
    let area = received.get(tlvs_start..).unwrap_or_default();
    let (checksum, tlvs) = match check(area, end - tlvs_start) {
        Ok(checksum) => (checksum, area),
        // How long an unspecified address is nobody knows: what does not read as TLVs is address, and ignored.
        Err(_) if family == 0 => (None, &[][..]),
        Err(error) => return Err(error.into()),
    };
    let raw = input.get(..end).ok_or(Stop::Partial)?;
    if let Some(at) = checksum {
        verify(raw, tlvs_start + at)?;
    }
    Ok(Parts { command: Command::Proxy, family, transport, raw, tlvs })
}

/// Checks the vectors in `area`, of whose `total` bytes only the first may have come yet.
///
/// Returns where in `area` the value of the CRC32C begins, if there is one.
fn check(area: &[u8], total: usize) -> Result<Option<usize>, Error> {
    let mut checksum = None;
    let mut at = 0;
    while at < total {
        if total - at < 3 {
            return Err(Error::TlvTrailing);
        }
        let Some(&[kind, high, low]) = area.get(at..at + 3) else {
            return Ok(None);
        };
        let value_len = usize::from(u16::from_be_bytes([high, low]));
        at += 3;
        if value_len > total - at {
            return Err(Error::TlvOverrun);
        }
        match kind {
            tlv::CRC32C if checksum.is_some() => return Err(Error::Crc32cDuplicate),
            tlv::CRC32C if value_len != 4 => return Err(Error::Crc32cLength),
            tlv::CRC32C => checksum = Some(at),
            tlv::UNIQUE_ID if value_len > tlv::MAX_UNIQUE_ID_LEN => return Err(Error::UniqueIdLength),
            _ => {}
        }
        at += value_len;
    }
    Ok(checksum)
}

/// Section 2.2.3: the checksum at `at` is that of the header as it came, with its own field taken as zero.
fn verify(raw: &[u8], at: usize) -> Result<(), Error> {
    let (before, rest) = raw.split_at(at);
    let (field, after) = rest.split_at(4);
    if field != crc32c::of(&[before, &[0; 4], after]).to_be_bytes() {
        return Err(Error::Crc32cMismatch);
    }
    Ok(())
}

#[inline]
fn byte(input: &[u8], at: usize) -> Result<u8, Stop> {
    input.get(at).copied().ok_or(Stop::Partial)
}

/// Bytes 15 and 16: how many bytes follow the fixed part.
#[inline]
fn length(input: &[u8]) -> Result<usize, Stop> {
    Ok(usize::from(u16::from_be_bytes([byte(input, 14)?, byte(input, 15)?])))
}

#[inline]
fn port(raw: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(*array(raw, at))
}

#[inline]
fn array<const N: usize>(raw: &[u8], at: usize) -> &[u8; N] {
    raw[at..].first_chunk().expect("the length was checked against the family")
}
