//! The fields of a version 2 header, as far as they are right.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Fields, Outcome};
use proxy::escape::{Escaped, Hex};
use proxy::tlv::{CRC32C, Value};
use proxy::{Error, Tlv, crc32c};

/// Signature, version and command, family and transport, length.
const FIXED_LEN: usize = 16;

/// Version 2 and the command that has no client.
const LOCAL: u8 = 0x20;

/// How many bytes of a header are still due, when its length is known.
pub(super) fn missing(input: &[u8]) -> Option<usize> {
    if input.first() != Some(&b'\r') {
        return None;
    }
    Some(FIXED_LEN + length(input)? - input.len())
}

fn length(input: &[u8]) -> Option<usize> {
    let bytes = input.get(14..16)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(bytes)))
}

pub(super) fn read(fields: &mut Fields<'_>) {
    let input = fields.input;
    let outcome = fields.outcome;
    let is_fixed_part_right = fields.add(0, "signature", [0, 12], |bytes| Hex(bytes).to_string())
        && fields.add(0, "version and command", [12, 1], |bytes| command(bytes[0]))
        && fields.add(0, "family and transport", [13, 1], |bytes| family(bytes[0]))
        && fields.add(0, "length", [14, 2], |_| describe_length(input, outcome));
    if !is_fixed_part_right {
        return;
    }
    let end = FIXED_LEN + length(input).unwrap_or(0);
    if input[12] == LOCAL {
        return local(fields, end);
    }
    if !addresses(fields, 0) {
        return;
    }
    let tlvs = FIXED_LEN + addresses_len(input[13]);
    // What an unspecified address is followed by, nobody knows before it is whole.
    let has_vectors = match outcome {
        Outcome::Valid(header) => header.tlvs.iter().next().is_some(),
        Outcome::Incomplete(_) => input[13] >> 4 != 0,
        Outcome::Invalid(..) => true,
    };
    if has_vectors {
        vectors(fields, 0, [tlvs, end]);
    } else if end > tlvs {
        fields.add(0, "block", [tlvs, end - tlvs], |_| "an address of unknown form, ignored".to_owned());
    }
}

/// What `LOCAL` has behind its length is skipped. Senders put vectors there, behind addresses or without any.
fn local(fields: &mut Fields<'_>, end: usize) {
    let input = fields.input;
    let block = [FIXED_LEN, end - FIXED_LEN];
    if end == FIXED_LEN || !fields.add(0, "block", block, |_| "LOCAL: skipped by its length".to_owned()) {
        return;
    }
    let behind = FIXED_LEN + addresses_len(input[13]);
    // Addresses of zeros would read as vectors of type 0.
    if are_vectors(&input[FIXED_LEN..end]) && input[FIXED_LEN] != 0 {
        vectors(fields, 1, [FIXED_LEN, end]);
    } else if input.get(behind..end).is_some_and(are_vectors) && addresses(fields, 1) {
        vectors(fields, 1, [behind, end]);
    }
}

/// Adds the addresses of the family, if it has any. Returns whether they are whole.
fn addresses(fields: &mut Fields<'_>, depth: usize) -> bool {
    let (address, port) = match fields.input[13] >> 4 {
        1 => (4, 2),
        2 => (16, 2),
        3 => (108, 0),
        _ => return true,
    };
    let ports = FIXED_LEN + 2 * address;
    fields.add(depth, "source address", [FIXED_LEN, address], describe_address)
        && fields.add(depth, "destination address", [FIXED_LEN + address, address], describe_address)
        && (port == 0
            || fields.add(depth, "source port", [ports, port], describe_port)
                && fields.add(depth, "destination port", [ports + port, port], describe_port))
}

/// Adds the vectors from `at` to `end`, and those inside them.
fn vectors(fields: &mut Fields<'_>, depth: usize, [mut at, end]: [usize; 2]) {
    let input = fields.input;
    let outcome = fields.outcome;
    while end - at >= 3 {
        let Some(&[kind, high, low]) = input.get(at..at + 3) else {
            fields.add(depth, "TLV", [at, 3], |_| String::new());
            return;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let left = end - at - 3;
        let describe = |bytes: &[u8]| describe_vector(Tlv { kind, value: &bytes[3..] }, length, left, outcome);
        if !fields.add(depth, "TLV", [at, 3 + length.min(left)], describe) {
            return;
        }
        let value = at + 3;
        at = value + length;
        let tlv = Tlv { kind, value: &input[value..at] };
        if kind == CRC32C && depth == 0 && matches!(outcome, Outcome::Invalid(Error::Crc32cMismatch, _)) {
            mark_checksum(fields, value, end);
        }
        if let Value::Ssl(ssl) = tlv.decode() {
            fields.add(depth + 1, "client", [value, 1], |_| describe_client(ssl.client));
            fields.add(depth + 1, "verify", [value + 1, 4], |_| describe_verify(ssl.verify));
            vectors(fields, depth + 1, [value + 5, at]);
        }
    }
}

/// The header is whole, and the vector that was added last is what does not match it.
fn mark_checksum(fields: &mut Fields<'_>, value: usize, end: usize) {
    let input = fields.input;
    let right = crc32c::with_zeros(&input[..end], value);
    if let Some(field) = fields.list.last_mut() {
        field.is_wrong = true;
        field.value = format!("{}, and the header's is 0x{right:08x}", field.value);
    }
}

fn are_vectors(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((&[_, high, low], behind)) = rest.split_first_chunk() {
        match behind.split_at_checked(u16::from_be_bytes([high, low]).into()) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty()
}

/// Bytes of the addresses of a family, if it is defined.
fn addresses_len(kind: u8) -> usize {
    match kind >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    }
}

fn command(byte: u8) -> String {
    let command = match byte & 0xf {
        0 => "LOCAL",
        1 => "PROXY",
        _ => "an undefined command",
    };
    format!("0x{byte:02x}: version {}, {command}", byte >> 4)
}

fn family(byte: u8) -> String {
    let family = ["AF_UNSPEC", "AF_INET", "AF_INET6", "AF_UNIX"].get(usize::from(byte >> 4));
    let transport = ["UNSPEC", "STREAM", "DGRAM"].get(usize::from(byte & 0xf));
    let undefined = "undefined";
    format!("0x{byte:02x}: {}, {}", family.unwrap_or(&undefined), transport.unwrap_or(&undefined))
}

fn describe_length(input: &[u8], outcome: Outcome<'_>) -> String {
    let (length, addresses) = (length(input).unwrap_or(0), addresses_len(input[13]));
    match outcome {
        Outcome::Invalid(Error::V2Length, _) => format!("{length} bytes follow, but the addresses take {addresses}"),
        Outcome::Invalid(Error::TlvTrailing, 15) => {
            format!("{length} bytes follow: behind the addresses {} are left, too few for a TLV", length - addresses)
        }
        _ => format!("{length} bytes follow"),
    }
}

fn describe_address(bytes: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(octets).to_string()
    } else if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
        Ipv6Addr::from(octets).to_string()
    } else {
        let path = bytes.try_into().map_or(bytes, proxy::unix_path);
        format!("\"{}\"", Escaped(path))
    }
}

fn describe_port(bytes: &[u8]) -> String {
    bytes.iter().fold(0_u32, |port, &byte| port << 8 | u32::from(byte)).to_string()
}

/// A vector whose value may be cut where it is wrong: `length` is what it tells, and so many bytes are `left` for it.
fn describe_vector(tlv: Tlv<'_>, length: usize, left: usize, outcome: Outcome<'_>) -> String {
    let is_wrong = length > left || tlv.value.len() < length;
    match (tlv.decode(), outcome) {
        _ if length > left => format!("{} of {length} bytes, but {left} are left", tlv.label()),
        _ if is_wrong => format!("{} of {length} bytes", tlv.label()),
        (Value::Ssl(_), _) => tlv.label().to_string(),
        (_, Outcome::Invalid(Error::TlvTrailing, _)) if (1..3).contains(&(left - length)) => {
            format!("{} of {length} bytes, which leaves {}: too few for another", tlv.label(), left - length)
        }
        _ => tlv.to_string(),
    }
}

/// Section 2.2.6: the bits of the first byte.
fn describe_client(bits: u8) -> String {
    let words = [(1, "TLS"), (2, "certificate in this connection"), (4, "certificate in this session")];
    let set: Vec<&str> = words.iter().filter(|(bit, _)| bits & bit != 0).map(|&(_, word)| word).collect();
    format!("0x{bits:02x}: {}", if set.is_empty() { "no TLS".to_owned() } else { set.join(", ") })
}

fn describe_verify(verify: u32) -> String {
    if verify == 0 { "0: a certificate was verified".to_owned() } else { format!("{verify}: none was verified") }
}
