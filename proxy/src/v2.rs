//! Version 2, the binary header of section 2.2.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use core::num::NonZeroUsize;

use super::wire::{ADDRESSES_LEN, V2_FIXED_LEN as FIXED_LEN, V2_LOCAL, V2_PROXY, V2_SIGNATURE as SIGNATURE};
use super::{Addresses, Command, Error, Header, Status, Tlvs, Transport, Version, crc32c, tlv};

/// The start of most headers: `PROXY`, TCP over IPv4.
const USUAL_START: [u8; 14] = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11";

/// Parses a header whose first byte is that of the signature.
///
/// [`any`] alone would give the same result more slowly: it needs more registers.
#[inline]
pub(super) fn parse(input: &[u8]) -> Result<Status<Header<'_>>, Error> {
    match usual(input) {
        None => any(input),
        Some((raw, tlvs)) if is_plain(tlvs) => Ok(inet_header(raw, tlvs)),
        Some((raw, tlvs)) => special(raw, tlvs),
    }
}

/// The whole header, if it has the usual form (`PROXY`, TCP over IPv4), and its TLVs, not yet checked.
#[inline(always)]
fn usual(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let begin: &[u8; FIXED_LEN + 12] = input.first_chunk()?;
    let raw = input.get(..FIXED_LEN + usize::from(number(begin, 14)))?;
    let tlvs = raw.get(begin.len()..)?;
    (begin[..USUAL_START.len()] == USUAL_START).then_some((raw, tlvs))
}

/// Whether `area` consists of whole TLVs, and none of a type that has its own rule.
#[inline(always)]
fn is_plain(mut area: &[u8]) -> bool {
    while let Some((&[kind, high, low], after)) = area.split_first_chunk() {
        let Some(next) = after.get(usize::from(u16::from_be_bytes([high, low]))..) else { return false };
        if matches!(kind, tlv::CRC32C | tlv::UNIQUE_ID) {
            return false;
        }
        area = next;
    }
    area.is_empty()
}

/// Checks a [`usual`] header with TLVs that are broken or have their own rules.
#[inline(never)]
fn special<'a>(raw: &'a [u8], tlvs: &'a [u8]) -> Result<Status<Header<'a>>, Error> {
    if let Some(from_end) = check(tlvs, 0)? {
        verify(raw, raw.len() - from_end.get())?;
    }
    Ok(inet_header(raw, tlvs))
}

#[inline(always)]
fn inet_header<'a>(raw: &'a [u8], tlvs: &'a [u8]) -> Status<Header<'a>> {
    let (version, command, addresses) = (Version::V2, Command::Proxy, inet(Transport::Stream, block(raw)));
    Status::Complete(Header { raw, version, command, addresses, tlvs: Tlvs::unchecked(tlvs) })
}

/// Parses any header, or the beginning of one.
#[inline(never)]
fn any(input: &[u8]) -> Result<Status<Header<'_>>, Error> {
    let Some(fixed) = input.first_chunk() else { return begun(input) };
    let kind = kind(fixed)?;
    let end = FIXED_LEN + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let Some(kind) = kind else { return Ok(local(input, end)) };
    let family = usize::from(kind >> 4);
    let start = FIXED_LEN + ADDRESSES_LEN[family];
    if end < start {
        return Err(Error::V2Length);
    }
    let Some(raw) = input.get(..end) else { return partial(input, family, start, end) };
    let mut tlvs = &raw[start..];
    match check(tlvs, 0) {
        Ok(None) => {}
        Ok(Some(from_end)) => verify(raw, end - from_end.get())?,
        // An unspecified address can have any length: a block that is not TLVs is taken for an address and ignored.
        Err(_) if family == 0 => tlvs = &[],
        Err(error) => return Err(error),
    }
    let complete = |addresses| {
        let (version, command) = (Version::V2, Command::Proxy);
        Ok(Status::Complete(Header { raw, version, command, addresses, tlvs: Tlvs::unchecked(tlvs) }))
    };
    let transport = match kind & 0xf {
        0 => return complete(Addresses::Unspecified),
        1 => Transport::Stream,
        _ => Transport::Datagram,
    };
    match family {
        1 => complete(inet(transport, block(raw))),
        2 => complete(inet6(transport, block(raw))),
        3 => {
            let (source, destination) = block::<216>(raw).split_first_chunk().expect("two of 108 bytes");
            let destination = destination.first_chunk().expect("two of 108 bytes");
            complete(Addresses::Unix { transport, source, destination })
        }
        _ => complete(Addresses::Unspecified),
    }
}

/// Checks the beginning of the fixed part. Bytes that have not arrived yet are assumed to be right.
#[cold]
fn begun(input: &[u8]) -> Result<Status<Header<'_>>, Error> {
    let mut fixed = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    fixed[..input.len()].copy_from_slice(input);
    kind(&fixed)?;
    Ok(Status::Partial)
}

/// `LOCAL`: the block is skipped by its length, whatever it contains.
#[cold]
fn local(input: &[u8], end: usize) -> Status<Header<'_>> {
    let Some(raw) = input.get(..end) else { return Status::Partial };
    let (version, command, addresses) = (Version::V2, Command::Local, Addresses::Unspecified);
    Status::Complete(Header { raw, version, command, addresses, tlvs: Tlvs::default() })
}

/// Checks the TLVs received so far of a header that ends at `end`.
#[cold]
fn partial(input: &[u8], family: usize, start: usize, end: usize) -> Result<Status<Header<'_>>, Error> {
    let area = input.get(start..).unwrap_or_default();
    match check(area, end - start - area.len()) {
        Err(error) if family != 0 => Err(error),
        _ => Ok(Status::Partial),
    }
}

/// Checks the signature and the command. Returns the byte after them: the family (high nibble) and the transport (low).
/// Returns `None` for `LOCAL`, whose family and transport are ignored.
#[inline]
fn kind(fixed: &[u8; FIXED_LEN]) -> Result<Option<u8>, Error> {
    let &[ref signature @ .., command, kind, _, _] = fixed;
    if *signature != SIGNATURE {
        return Err(Error::Signature);
    }
    match command {
        V2_LOCAL => Ok(None),
        V2_PROXY if usize::from(kind >> 4) >= ADDRESSES_LEN.len() => Err(Error::V2Family),
        V2_PROXY if kind & 0xf > 2 => Err(Error::V2Transport),
        V2_PROXY => Ok(Some(kind)),
        other if other >> 4 != 2 => Err(Error::V2Version),
        _ => Err(Error::V2Command),
    }
}

/// Checks the TLVs in `area`; `missing` further bytes of them have not arrived yet.
///
/// Returns the distance from the start of the CRC32C's value to the end of `area`, if there is a CRC32C.
#[inline]
fn check(area: &[u8], missing: usize) -> Result<Option<NonZeroUsize>, Error> {
    let mut checksum = None;
    let mut rest = area;
    let left = loop {
        let Some((&[kind, high, low], after)) = rest.split_first_chunk() else { break rest.len() + missing };
        let value_len = usize::from(u16::from_be_bytes([high, low]));
        if value_len > after.len() + missing {
            return Err(Error::TlvOverrun);
        }
        match kind {
            tlv::CRC32C if checksum.is_some() => return Err(Error::Crc32cDuplicate),
            tlv::CRC32C if value_len != 4 => return Err(Error::Crc32cLength),
            tlv::CRC32C => checksum = NonZeroUsize::new(after.len()),
            tlv::UNIQUE_ID if value_len > tlv::MAX_UNIQUE_ID_LEN => return Err(Error::UniqueIdLength),
            _ => {}
        }
        let Some(next) = after.get(value_len..) else { break after.len() + missing - value_len };
        rest = next;
    };
    match left {
        1 | 2 => Err(Error::TlvTrailing),
        _ => Ok(checksum),
    }
}

/// Verifies the checksum at `at`. Section 2.2.3: it covers the whole header, with zeros in place of the checksum.
#[inline(never)]
fn verify(raw: &[u8], at: usize) -> Result<(), Error> {
    if raw[at..at + 4] != crc32c::with_zeros(raw, at).to_be_bytes() {
        return Err(Error::Crc32cMismatch);
    }
    Ok(())
}

#[inline(always)]
fn inet<'a>(transport: Transport, block: &[u8; 12]) -> Addresses<'a> {
    Addresses::Inet {
        transport,
        source: SocketAddrV4::new(Ipv4Addr::from(array(block, 0)), number(block, 8)),
        destination: SocketAddrV4::new(Ipv4Addr::from(array(block, 4)), number(block, 10)),
    }
}

#[inline(always)]
fn inet6<'a>(transport: Transport, block: &[u8; 36]) -> Addresses<'a> {
    Addresses::Inet6 {
        transport,
        source: SocketAddrV6::new(Ipv6Addr::from(array(block, 0)), number(block, 32), 0, 0),
        destination: SocketAddrV6::new(Ipv6Addr::from(array(block, 16)), number(block, 34), 0, 0),
    }
}

#[inline(always)]
fn block<const N: usize>(raw: &[u8]) -> &[u8; N] {
    raw[FIXED_LEN..].first_chunk().expect("the length was checked against the family")
}

#[inline(always)]
fn number<const N: usize>(block: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes(array(block, at))
}

#[inline(always)]
fn array<const N: usize, const M: usize>(block: &[u8; N], at: usize) -> [u8; M] {
    *block[at..].first_chunk().expect("a part of the block")
}
