//! The fields of a version 2 header, up to the first that is wrong.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Fields, Outcome, ssl};
use proxy::escape::{Escaped, Hex};
use proxy::tlv::{CRC32C, Head, SSL};
use proxy::wire::{ADDRESSES_LEN, V2_FIXED_LEN, V2_LOCAL};
use proxy::{Error, Tlv, Tlvs, crc32c};

/// The number of missing bytes of a header, if its length is known.
pub(super) fn missing(input: &[u8]) -> Option<usize> {
    if input.first() != Some(&b'\r') {
        return None;
    }
    Some(V2_FIXED_LEN + length(input)? - input.len())
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
    let end = V2_FIXED_LEN + length(input).unwrap_or(0);
    if input[12] == V2_LOCAL {
        return local(fields, end);
    }
    if !addresses(fields, 0) {
        return;
    }
    let tlvs = V2_FIXED_LEN + addresses_len(input[13]);
    // With an unspecified family, only a whole header shows whether its block is TLVs.
    let has_tlvs = match outcome {
        Outcome::Valid(header) => !header.tlvs.is_empty(),
        Outcome::Incomplete(_) => input[13] >> 4 != 0,
        Outcome::Invalid(..) => true,
    };
    if has_tlvs {
        add_tlvs(fields, 0, [tlvs, end]);
    } else if end > tlvs {
        fields.add(0, "block", [tlvs, end - tlvs], |_| "an address of unknown form, ignored".to_owned());
    }
}

/// Adds the block of a `LOCAL` header, which receivers skip by its length. Senders put TLVs there, with or without
/// addresses before them.
fn local(fields: &mut Fields<'_>, end: usize) {
    let input = fields.input;
    let block = [V2_FIXED_LEN, end - V2_FIXED_LEN];
    if end == V2_FIXED_LEN || !fields.add(0, "block", block, |_| "LOCAL: skipped by its length".to_owned()) {
        return;
    }
    let after_addresses = V2_FIXED_LEN + addresses_len(input[13]);
    let are_tlvs = |bytes: &[u8]| Tlvs::new(bytes).is_some();
    // Addresses of zeros would look like TLVs of type 0.
    if are_tlvs(&input[V2_FIXED_LEN..end]) && input[V2_FIXED_LEN] != 0 {
        add_tlvs(fields, 1, [V2_FIXED_LEN, end]);
    } else if input.get(after_addresses..end).is_some_and(are_tlvs) && addresses(fields, 1) {
        add_tlvs(fields, 1, [after_addresses, end]);
    }
}

/// Adds the addresses of the family, if it has any. Returns whether they are complete.
fn addresses(fields: &mut Fields<'_>, depth: usize) -> bool {
    let (address, port) = match fields.input[13] >> 4 {
        1 => (4, 2),
        2 => (16, 2),
        3 => (108, 0),
        _ => return true,
    };
    let ports = V2_FIXED_LEN + 2 * address;
    fields.add(depth, "source address", [V2_FIXED_LEN, address], describe_address)
        && fields.add(depth, "destination address", [V2_FIXED_LEN + address, address], describe_address)
        && (port == 0
            || fields.add(depth, "source port", [ports, port], describe_port)
                && fields.add(depth, "destination port", [ports + port, port], describe_port))
}

/// Adds the TLVs from `at` to `end`, and the nested ones.
fn add_tlvs(fields: &mut Fields<'_>, depth: usize, [mut at, end]: [usize; 2]) {
    let input = fields.input;
    let outcome = fields.outcome;
    while end - at >= Head::LEN {
        let Some((Head { kind, value_len }, _)) = Head::split_from(&input[at.min(input.len())..]) else {
            fields.add(depth, "TLV", [at, Head::LEN], |_| String::new());
            return;
        };
        let value = at + Head::LEN;
        let left = end - value;
        let describe = |bytes: &[u8]| describe_tlv(Tlv { kind, value: &bytes[Head::LEN..] }, value_len, left, outcome);
        if !fields.add(depth, "TLV", [at, Head::LEN + value_len.min(left)], describe) {
            return;
        }
        at = value + value_len;
        if kind == CRC32C && depth == 0 && matches!(outcome, Outcome::Invalid(Error::Crc32cMismatch, _)) {
            mark_checksum(fields, value, end);
        }
        if kind == SSL {
            ssl::add(fields, depth + 1, [value, at]);
        }
    }
}

/// Marks the last TLV, a checksum that does not match the whole header, as wrong.
fn mark_checksum(fields: &mut Fields<'_>, value: usize, end: usize) {
    let input = fields.input;
    let right = crc32c::with_zeros(&input[..end], value);
    if let Some(field) = fields.list.last_mut() {
        field.is_wrong = true;
        field.value = format!("{}, and the header's is 0x{right:08x}", field.value);
    }
}

/// Length of the addresses of a family in bytes; 0 if the family is undefined.
fn addresses_len(kind: u8) -> usize {
    ADDRESSES_LEN.get(usize::from(kind >> 4)).copied().unwrap_or(0)
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

/// Describes a TLV. Its value may be cut off: the sender states `length` bytes, and the header has `left`.
fn describe_tlv(tlv: Tlv<'_>, length: usize, left: usize, outcome: Outcome<'_>) -> String {
    match outcome {
        _ if length > left => format!("{} of {length} bytes, but {left} are left", tlv.label()),
        _ if tlv.value.len() < length => format!("{} of {length} bytes", tlv.label()),
        Outcome::Invalid(Error::TlvTrailing, _) if (1..Head::LEN).contains(&(left - length)) => {
            format!("{} of {length} bytes, which leaves {}: too few for another", tlv.label(), left - length)
        }
        _ if tlv.kind == SSL => tlv.label().to_string(),
        _ => tlv.to_string(),
    }
}
