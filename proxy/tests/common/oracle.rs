//! A second implementation of the specification, slow and naive, to compare the parser with.

use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Complete(Fields),
    Invalid,
    Partial,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Fields {
    pub(crate) length: usize,
    pub(crate) version: u8,
    pub(crate) local: bool,
    pub(crate) ends: Option<Ends>,
    pub(crate) tlvs: Vec<(u8, Vec<u8>)>,
}

/// Source and destination. The length of the addresses is the family: 4, 16 or 108 bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Ends {
    pub(crate) datagram: bool,
    pub(crate) addresses: [Vec<u8>; 2],
    pub(crate) ports: [u16; 2],
}

pub(crate) const SIGNATURE: &[u8] = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A";

pub(crate) fn read(input: &[u8]) -> Answer {
    let begins_like = |start: &[u8]| input.iter().zip(start).all(|(byte, expected)| byte == expected);
    if begins_like(SIGNATURE) {
        read_binary(input)
    } else if begins_like(b"PROXY") {
        read_line(&input[..input.len().min(108)])
    } else {
        Answer::Invalid
    }
}

/// If an input can still become a line, the tail of one of these lines completes it.
const LINES: [&[u8]; 5] = [
    b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n",
    b"PROXY TCP6 0:0:0:0:0:0:0:0 0:0:0:0:0:0:0:0 0 0\r\n",
    b"PROXY TCP6 ::0.0.0.0 ::0.0.0.0 0 0\r\n",
    b"PROXY TCP6 :: :: 0 0\r\n",
    b"PROXY UNKNOWN\r\n",
];

fn read_line(input: &[u8]) -> Answer {
    if let Some(fields) = whole_line(input) {
        return Answer::Complete(fields);
    }
    let becomes_one = |tail: &[u8]| whole_line(&[input, tail].concat()).is_some();
    if LINES.iter().any(|line| (0..line.len()).any(|at| becomes_one(&line[at..]))) {
        Answer::Partial
    } else {
        Answer::Invalid
    }
}

/// Section 2.1.
fn whole_line(input: &[u8]) -> Option<Fields> {
    let end = input[..input.len().min(107)].windows(2).position(|pair| pair == b"\r\n")?;
    let line = &input[..end];
    let ends = if line == b"PROXY UNKNOWN" || line.starts_with(b"PROXY UNKNOWN ") {
        None
    } else {
        let words: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
        let ["PROXY", protocol, source, destination, source_port, destination_port] = words[..] else { return None };
        let address = match protocol {
            "TCP4" => ipv4,
            "TCP6" => ipv6,
            _ => return None,
        };
        Some(Ends {
            datagram: false,
            addresses: [address(source)?, address(destination)?],
            ports: [number(source_port)?, number(destination_port)?],
        })
    };
    Some(Fields { length: end + 2, version: 1, local: false, ends, tlvs: vec![] })
}

/// Reads a canonical number: writing it gives the same text, so that it has no sign and no leading zeros.
fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

fn ipv4(text: &str) -> Option<Vec<u8>> {
    number::<Ipv4Addr>(text).map(|address| address.octets().to_vec())
}

/// Dotted tails are accepted only where `inet_ntop` writes them.
fn ipv6(text: &str) -> Option<Vec<u8>> {
    if text.contains('.') {
        let lower = text.to_ascii_lowercase();
        ipv4(lower.strip_prefix("::ffff:").or(lower.strip_prefix("::"))?)?;
    }
    text.parse().ok().map(|address: Ipv6Addr| address.octets().to_vec())
}

/// Section 2.2, for an input that begins like the signature.
fn read_binary(input: &[u8]) -> Answer {
    let local = input.get(12) == Some(&0x20);
    if input.get(12).is_some_and(|byte| ![0x20, 0x21].contains(byte))
        || !local && input.get(13).is_some_and(|byte| byte / 16 > 3 || byte % 16 > 2)
    {
        return Answer::Invalid;
    }
    let Some([_, kind, high, low]) = input.get(12..16) else { return Answer::Partial };
    let end = 16 + usize::from(*high) * 256 + usize::from(*low);
    let whole = input.len() >= end;
    let header = if whole { &input[..end] } else { input };
    let complete = |ends, found: Vec<FoundTlv>| {
        let tlvs = found.iter().map(|tlv| (tlv.kind, header[tlv.value..tlv.value + tlv.length].to_vec())).collect();
        Answer::Complete(Fields { length: end, version: 2, local, ends, tlvs })
    };
    if local {
        return if whole { complete(None, vec![]) } else { Answer::Partial };
    }
    let (family, protocol) = (kind / 16, kind % 16);
    let address_length = [0, 4, 16, 108][usize::from(family)];
    let port_length = if [1, 2].contains(&family) { 2 } else { 0 };
    let ports = 16 + 2 * address_length;
    let tlvs_at = ports + 2 * port_length;
    if end < tlvs_at {
        return Answer::Invalid;
    }
    let tlvs = match tlvs(header, tlvs_at, end) {
        Some(tlvs) => tlvs,
        // The block is an address of unknown form: ignored.
        None if family == 0 => vec![],
        None => return Answer::Invalid,
    };
    if !whole {
        return Answer::Partial;
    }
    if let Some(checksum) = tlvs.iter().find(|tlv| tlv.kind == 3) {
        let mut zeroed = header.to_vec();
        zeroed[checksum.value..checksum.value + 4].fill(0);
        if header[checksum.value..checksum.value + 4] != crc32c(&zeroed).to_be_bytes() {
            return Answer::Invalid;
        }
    }
    let port = |at: usize| u16::from(header[at]) * 256 + u16::from(header[at + 1]);
    let ends = (family > 0 && protocol > 0).then(|| Ends {
        datagram: protocol == 2,
        addresses: [header[16..16 + address_length].to_vec(), header[16 + address_length..ports].to_vec()],
        ports: if port_length > 0 { [port(ports), port(ports + 2)] } else { [0, 0] },
    });
    complete(ends, tlvs)
}

struct FoundTlv {
    kind: u8,
    value: usize,
    length: usize,
}

/// The TLVs received so far from `at` to `end`, or `None` if they break a rule.
fn tlvs(header: &[u8], mut at: usize, end: usize) -> Option<Vec<FoundTlv>> {
    let mut tlvs = vec![];
    while at + 3 <= end && at + 3 <= header.len() {
        let length = usize::from(header[at + 1]) * 256 + usize::from(header[at + 2]);
        tlvs.push(FoundTlv { kind: header[at], value: at + 3, length });
        at += 3 + length;
    }
    let fits = at == end || at + 3 <= end;
    let lengths = |kind| tlvs.iter().filter(move |tlv| tlv.kind == kind).map(|tlv| tlv.length);
    let lawful =
        lengths(3).count() <= 1 && lengths(3).all(|length| length == 4) && lengths(5).all(|length| length <= 128);
    (fits && lawful).then_some(tlvs)
}

/// RFC 4960, appendix B: polynomial 0x1EDC6F41, bit by bit, each byte from its lowest bit.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        for bit in 0..8 {
            let out = (crc >> 31) ^ u32::from(byte >> bit & 1);
            crc = (crc << 1) ^ (out * 0x1EDC_6F41);
        }
    }
    (!crc).reverse_bits()
}
