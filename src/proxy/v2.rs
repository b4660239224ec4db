//! Version 2, the binary header of section 2.2.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use super::{Addresses, Command, Error, Header, Stop, Tlvs, Transport, Version, crc32c, tlv};

/// The constant block that no other protocol takes for its own.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length.
pub(super) const FIXED_LEN: usize = 16;

/// Bytes of the two addresses, ports included, of each family (high nibble of byte 14): UNSPEC, IPv4, IPv6, UNIX.
const ADDRESSES_LEN: [usize; 4] = [0, 12, 36, 216];

/// Parses a header whose first byte is that of the signature.
pub(super) fn parse(input: &[u8]) -> Result<Header<'_>, Stop> {
    let signed = input.len().min(SIGNATURE.len());
    if input[..signed] != SIGNATURE[..signed] {
        return Err(Error::Signature.into());
    }
    let command = match byte(input, 12)? {
        0x20 => Command::Local,
        0x21 => Command::Proxy,
        other if other >> 4 != 2 => return Err(Error::V2Version.into()),
        _ => return Err(Error::V2Command.into()),
    };
    match command {
        Command::Local => local(input),
        Command::Proxy => proxied(input),
    }
}

/// `LOCAL`: the block is skipped by its length, whatever it is, and the family is ignored.
fn local(input: &[u8]) -> Result<Header<'_>, Stop> {
    let end = FIXED_LEN + length(input)?;
    Ok(Header {
        raw: input.get(..end).ok_or(Stop::Partial)?,
        version: Version::V2,
        command: Command::Local,
        addresses: Addresses::Unspecified,
        tlvs: Tlvs::default(),
    })
}

fn proxied(input: &[u8]) -> Result<Header<'_>, Stop> {
    let kind = byte(input, 13)?;
    let (family, transport) = (usize::from(kind >> 4), kind & 0xf);
    let addresses_len = *ADDRESSES_LEN.get(family).ok_or(Error::V2Family)?;
    if transport > 2 {
        return Err(Error::V2Transport.into());
    }
    let length = length(input)?;
    if length < addresses_len {
        return Err(Error::V2Length.into());
    }
    let (tlvs_start, end) = (FIXED_LEN + addresses_len, FIXED_LEN + length);
    let received = &input[..input.len().min(end)];
    let area = received.get(tlvs_start..).unwrap_or_default();
    let checked = check(area, end - tlvs_start);
    if family == 0 {
        // How long an unspecified address is nobody knows: what does not read as TLVs is address, and ignored.
        let raw = input.get(..end).ok_or(Stop::Partial)?;
        let tlvs = if checked.is_ok() { area } else { &[] };
        verify(raw, tlvs_start, checked.unwrap_or(None))?;
        return Ok(header(raw, Addresses::Unspecified, tlvs));
    }
    let checksum = checked?;
    let raw = input.get(..end).ok_or(Stop::Partial)?;
    verify(raw, tlvs_start, checksum)?;
    Ok(header(raw, addresses(raw, family, transport), area))
}

fn header<'a>(raw: &'a [u8], addresses: Addresses<'a>, tlvs: &'a [u8]) -> Header<'a> {
    Header { raw, version: Version::V2, command: Command::Proxy, addresses, tlvs: Tlvs::new(tlvs) }
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

/// Section 2.2.3: the checksum of the header as it came, with its own field taken as zero.
fn verify(raw: &[u8], tlvs_start: usize, checksum: Option<usize>) -> Result<(), Error> {
    let Some(at) = checksum.map(|at| tlvs_start + at) else {
        return Ok(());
    };
    let (before, rest) = raw.split_at(at);
    let (field, after) = rest.split_at(4);
    if field != crc32c::of(&[before, &[0; 4], after]).to_be_bytes() {
        return Err(Error::Crc32cMismatch);
    }
    Ok(())
}

/// The addresses of a family other than UNSPEC; `raw` is known to hold them.
fn addresses(raw: &[u8], family: usize, transport: u8) -> Addresses<'_> {
    let transport = match transport {
        1 => Transport::Stream,
        2 => Transport::Datagram,
        _ => return Addresses::Unspecified,
    };
    match family {
        1 => Addresses::Inet {
            transport,
            source: SocketAddrV4::new(Ipv4Addr::from(*array::<4>(raw, 16)), port(raw, 24)),
            destination: SocketAddrV4::new(Ipv4Addr::from(*array::<4>(raw, 20)), port(raw, 26)),
        },
        2 => Addresses::Inet6 {
            transport,
            source: SocketAddrV6::new(Ipv6Addr::from(*array::<16>(raw, 16)), port(raw, 48), 0, 0),
            destination: SocketAddrV6::new(Ipv6Addr::from(*array::<16>(raw, 32)), port(raw, 50), 0, 0),
        },
        _ => Addresses::Unix { transport, source: array(raw, 16), destination: array(raw, 124) },
    }
}

fn byte(input: &[u8], at: usize) -> Result<u8, Stop> {
    input.get(at).copied().ok_or(Stop::Partial)
}

/// Bytes 15 and 16: how many bytes follow the fixed part.
fn length(input: &[u8]) -> Result<usize, Stop> {
    Ok(usize::from(u16::from_be_bytes([byte(input, 14)?, byte(input, 15)?])))
}

fn port(raw: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(*array(raw, at))
}

fn array<const N: usize>(raw: &[u8], at: usize) -> &[u8; N] {
    raw[at..].first_chunk().expect("the length was checked against the family")
}
