//! The specification's rules for senders, applied to a received header.
//!
//! This module reads the bytes itself, without the project's parser: if sender and parser shared an error, the header
//! would pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proxy::escape::Escaped;
use serde::Serialize;

use crate::conform::case::Level;

/// The result of reading the bytes received so far.
pub(super) enum Read {
    /// More bytes are needed.
    Unfinished,
    Header(Header),
    /// Neither version.
    NoHeader,
}

/// A header that was read.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) length: usize,
    pub(super) version: u8,
    /// The header in words.
    pub(super) words: String,
    pub(super) findings: Vec<Finding>,
}

/// An observation that a rule of the specification concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// A missed MUST or SHOULD; MAY is only an observation.
    pub(super) level: Level,
    pub(super) section: &'static str,
    pub(super) words: String,
}

/// Collects findings.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, section: &'static str, words: impl Into<String>) {
        self.0.push(Finding { level, section, words: words.into() });
    }

    fn must(&mut self, section: &'static str, words: impl Into<String>) {
        self.add(Level::Must, section, words);
    }

    fn should(&mut self, section: &'static str, words: impl Into<String>) {
        self.add(Level::Should, section, words);
    }

    fn seen(&mut self, section: &'static str, words: impl Into<String>) {
        self.add(Level::May, section, words);
    }
}

const SIGNATURE: [u8; 12] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A];

/// The longest line (section 2.1).
const MAX_LINE: usize = 107;

/// The payload of the smallest segment that every host must accept (section 2).
const MIN_SEGMENT: usize = 536;

/// Reads the header at the start of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Read {
    let begins = |word: &[u8]| bytes.starts_with(word) || word.starts_with(bytes);
    if begins(&SIGNATURE) {
        binary(bytes)
    } else if begins(b"PROXY") {
        line(bytes)
    } else {
        Read::NoHeader
    }
}

fn line(bytes: &[u8]) -> Read {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let mut findings = Findings::default();
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        if bytes.len() < MAX_LINE {
            return Read::Unfinished;
        }
        findings.must("2.1", "no CRLF within 107 bytes");
        let words = format!("\"{}...\"", Escaped(window));
        return Read::Header(Header { length: bytes.len(), version: 1, words, findings: findings.0 });
    };
    let text = String::from_utf8_lossy(&bytes[..end]);
    match text.split(' ').collect::<Vec<_>>()[..] {
        ["PROXY", "UNKNOWN", ..] => {
            findings.seen("2.1", "UNKNOWN, which is for connections that are neither TCP over IPv4 nor over IPv6");
        }
        ["PROXY", protocol @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let ips = [("source", source), ("destination", destination)].map(|(name, ip)| {
                let ip = address(protocol, name, ip, &mut findings);
                (name, ip)
            });
            let ports = [source_port, destination_port].map(|port| self::port(port, &mut findings));
            for ((name, ip), port) in ips.into_iter().zip(ports) {
                plausible(name, ip, port, &mut findings);
            }
        }
        _ => findings.must("2.1", "the line is not PROXY, a protocol, two addresses and two ports with single spaces"),
    }
    let words = Escaped(text.as_bytes()).to_string();
    Read::Header(Header { length: end + 2, version: 1, words, findings: findings.0 })
}

fn address(protocol: &str, name: &str, text: &str, findings: &mut Findings) -> Option<IpAddr> {
    let ip = if protocol == "TCP4" {
        text.parse::<Ipv4Addr>().map(IpAddr::from)
    } else {
        text.parse::<Ipv6Addr>().map(IpAddr::from)
    };
    match ip {
        Ok(ip) if ip.to_string() == text.to_ascii_lowercase() => return Some(ip),
        Ok(ip) => findings.should("2.1", format!("the {name} {text} is not in canonical format, which is {ip}")),
        Err(_) if text.parse::<IpAddr>().is_ok() => {
            findings.must("2.1", format!("the {name} {text} is of another family than {protocol}"));
        }
        Err(_) => findings.must("2.1", format!("the {name} {} is no address", Escaped(text.as_bytes()))),
    }
    ip.ok()
}

fn port(text: &str, findings: &mut Findings) -> Option<u16> {
    let port = text.parse::<u16>().ok().filter(|port| port.to_string() == text);
    if port.is_none() {
        findings.must("2.1", format!("{} is no port in decimal without leading zeros", Escaped(text.as_bytes())));
    }
    port
}

/// Notes values that the grammar allows but that no connection has.
fn plausible(name: &str, ip: Option<IpAddr>, port: Option<u16>, findings: &mut Findings) {
    if port == Some(0) {
        findings.seen("2", format!("the {name}'s port is 0, which no TCP connection has"));
    }
    match ip {
        Some(ip) if ip.is_unspecified() => {
            findings.seen("2", format!("the {name} is {ip}, which getsockname and getpeername never give"));
        }
        Some(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            findings.seen("2.1", format!("the {name} is an IPv4 address in IPv6's form: {ip}"));
        }
        _ => {}
    }
}

fn binary(bytes: &[u8]) -> Read {
    let Some(&[command, family, high, low]) = bytes.get(12..16).and_then(|fixed| fixed.first_chunk()) else {
        return Read::Unfinished;
    };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    let Some(raw) = bytes.get(..length) else { return Read::Unfinished };
    let mut findings = Findings::default();
    if command >> 4 != 2 {
        findings.must("2.2", format!("the version is {}, and must be sent as 2", command >> 4));
    }
    let words = match command & 0xF {
        0 => local(raw, family, &mut findings),
        1 => proxied(raw, family, &mut findings),
        other => {
            findings.must("2.2", format!("command {other} is unassigned and must not be emitted"));
            "unassigned command".to_owned()
        }
    };
    if length > MIN_SEGMENT {
        findings.seen("2", format!("{length} bytes are more than the smallest segment of 536"));
    }
    Read::Header(Header { length, version: 2, words, findings: findings.0 })
}

/// "When a sender presents a LOCAL connection, it should not present any address so it sets this field to zero."
fn local(raw: &[u8], family: u8, findings: &mut Findings) -> String {
    if family != 0 {
        findings.should("2.2", format!("LOCAL with the protocol byte {family:#04x}: a sender should use UNSPEC"));
    }
    let area = &raw[16..];
    if tlvs(area).is_some() {
        check_tlvs(raw, 16, findings);
    } else {
        findings.should("2.2", format!("LOCAL with an address: {} bytes that are not TLVs", area.len()));
    }
    "LOCAL".to_owned()
}

fn proxied(raw: &[u8], family: u8, findings: &mut Findings) -> String {
    let (name, start) = match family {
        0x00 => ("UNSPEC", 16),
        0x11 => ("TCP4", 16 + 12),
        0x12 => ("UDP4", 16 + 12),
        0x21 => ("TCP6", 16 + 36),
        0x22 => ("UDP6", 16 + 36),
        0x31 => ("UNIX stream", 16 + 216),
        0x32 => ("UNIX datagram", 16 + 216),
        other => {
            findings.must("2.2", format!("the protocol byte {other:#04x} is unspecified and must not be emitted"));
            return format!("PROXY {other:#04x}");
        }
    };
    if raw.len() < start {
        findings.must("2.2", format!("{} bytes are too few for the addresses of {name}", raw.len() - 16));
        return format!("PROXY {name}");
    }
    if family == 0 {
        findings.seen("2.2", "UNSPEC with PROXY, which is for unsupported families");
    }
    check_tlvs(raw, start, findings);
    match ends(raw, start) {
        Some([source, destination]) => {
            plausible("source", Some(source.ip()), Some(source.port()), findings);
            plausible("destination", Some(destination.ip()), Some(destination.port()), findings);
            format!("PROXY {name} {source} -> {destination}")
        }
        None => format!("PROXY {name}"),
    }
}

/// The IPv4 or IPv6 addresses that end before the TLVs at `start`.
fn ends(raw: &[u8], start: usize) -> Option<[SocketAddr; 2]> {
    let port = |at: usize| Some(u16::from_be_bytes(*raw.get(at..)?.first_chunk()?));
    let ipv4 = |at: usize| Some(IpAddr::from(*raw.get(at..)?.first_chunk::<4>()?));
    let ipv6 = |at: usize| Some(IpAddr::from(*raw.get(at..)?.first_chunk::<16>()?));
    match start - 16 {
        12 => Some([(ipv4(16)?, port(24)?).into(), (ipv4(20)?, port(26)?).into()]),
        36 => Some([(ipv6(16)?, port(48)?).into(), (ipv6(32)?, port(50)?).into()]),
        _ => None,
    }
}

/// The offset, type and value of each TLV, or `None` if they do not fill the area.
fn tlvs(area: &[u8]) -> Option<Vec<(usize, u8, &[u8])>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < area.len() {
        let &[kind, high, low] = area.get(at..)?.first_chunk()?;
        let value = area.get(at + 3..)?.get(..usize::from(u16::from_be_bytes([high, low])))?;
        found.push((at, kind, value));
        at += 3 + value.len();
    }
    Some(found)
}

fn check_tlvs(raw: &[u8], start: usize, findings: &mut Findings) {
    let Some(found) = tlvs(&raw[start..]) else {
        return findings.must("2.2", "the bytes behind the addresses are not whole TLVs");
    };
    for &(at, kind, value) in &found {
        match kind {
            0x03 => checksum(raw, start + at + 3, value, findings),
            0x05 if value.len() > 128 => {
                findings.must("2.2.5", format!("UNIQUE_ID has {} bytes, over 128", value.len()));
            }
            0x02 if std::str::from_utf8(value).is_err() => findings.must("2.2.2", "AUTHORITY is not UTF-8"),
            0x20 => tls(value, findings),
            0x01 | 0x02 | 0x04 | 0x05 | 0x30 | 0xE0..=0xEF => {}
            0xF0..=0xF7 => {
                findings
                    .should("2.2.8", format!("type {kind:#04x} is experimental and should not be used in production"));
            }
            _ => findings.seen("2.2", format!("type {kind:#04x} is not registered")),
        }
    }
    if found.iter().filter(|(_, kind, _)| *kind == 0x03).count() > 1 {
        findings.seen("2.2.3", "two checksums");
    }
}

fn checksum(raw: &[u8], at: usize, value: &[u8], findings: &mut Findings) {
    let Ok(given) = <[u8; 4]>::try_from(value) else {
        return findings.must("2.2.3", format!("the CRC32C has {} bytes, not 4", value.len()));
    };
    let mut zeroed = raw.to_vec();
    zeroed[at..at + 4].fill(0);
    let right = crc32c(&zeroed);
    if u32::from_be_bytes(given) != right {
        findings
            .must("2.2.3", format!("the CRC32C is {:#010x}, and should be {right:#010x}", u32::from_be_bytes(given)));
    }
}

/// The CRC32C of RFC 4960, appendix B, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
    })
}

fn tls(value: &[u8], findings: &mut Findings) {
    let Some((&[client, verify @ ..], rest)) = value.split_first_chunk::<5>() else {
        return findings.must("2.2.6", format!("SSL has {} bytes, fewer than its 5", value.len()));
    };
    let Some(inner) = tlvs(rest) else {
        return findings.must("2.2.6", "the bytes in SSL are not whole TLVs");
    };
    if client & 1 == 1 && !inner.iter().any(|(_, kind, _)| *kind == 0x21) {
        findings.must("2.2.6", "the client connected over TLS, and SSL has no VERSION");
    }
    if client & 6 == 0 && verify == [0; 4] {
        findings.must("2.2.6", "verify is 0, though the client presented no certificate: it must be non-zero then");
    }
}

#[cfg(test)]
mod tests {
    use super::{Read, crc32c, read};
    use crate::conform::case::Level;

    /// The levels of the findings in `bytes`, and the first words of each.
    fn found(bytes: &[u8]) -> (Vec<Level>, String) {
        let Read::Header(header) = read(bytes) else { panic!("{}", bytes.escape_ascii()) };
        assert_eq!(header.length, bytes.len(), "{}", header.words);
        let words = header.findings.first().map(|finding| finding.words.clone()).unwrap_or_default();
        (header.findings.iter().map(|finding| finding.level).collect(), words)
    }

    #[test]
    fn lines_are_judged() {
        for (line, levels, words) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443", &[][..], ""),
            ("PROXY TCP6 2001:DB8::1 2001:db8::2 56324 443", &[], ""),
            ("PROXY UNKNOWN", &[Level::May], "UNKNOWN, which is for"),
            ("PROXY TCP6 ::1 127.0.0.1 56324 443", &[Level::Must], "the destination 127.0.0.1 is of another family"),
            ("PROXY TCP4 ::1 127.0.0.1 56324 443", &[Level::Must], "the source ::1 is of another family"),
            (
                "PROXY TCP6 2001:db8:0:0:0:0:0:1 ::2 56324 443",
                &[Level::Should],
                "the source 2001:db8:0:0:0:0:0:1 is not",
            ),
            ("PROXY TCP4 192.0.2.01 198.51.100.2 56324 443", &[Level::Must], "the source 192.0.2.01 is no address"),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 056324 443", &[Level::Must], "056324 is no port"),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 65536 443", &[Level::Must], "65536 is no port"),
            ("PROXY TCP4 192.0.2.1  198.51.100.2 1 443", &[Level::Must], "the line is not PROXY, a protocol"),
            ("PROXY UDP4 192.0.2.1 198.51.100.2 1 443", &[Level::Must], "the line is not PROXY, a protocol"),
            ("PROXY TCP4 192.0.2.1 0.0.0.0 56324 0", &[Level::May, Level::May], "the destination's port is 0"),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::2 56324 443", &[Level::May], "the source is an IPv4 address in IPv6's"),
        ] {
            let (judged, first) = found(format!("{line}\r\n").as_bytes());
            assert!(judged == levels && first.starts_with(words), "{line}: {judged:?} {first}");
        }
        for unfinished in ["", "P", "PROXY TCP4 1.2.3.4", "PROXY UNKNOWN\r", "\r\n\r\n\0"] {
            assert!(matches!(read(unfinished.as_bytes()), Read::Unfinished), "{unfinished}");
        }
        assert!(matches!(read(b"GET / HTTP/1.1\r\n"), Read::NoHeader));
    }

    fn v2(command: u8, family: u8, block: &[&[u8]]) -> Vec<u8> {
        let block = block.concat();
        let length = u16::try_from(block.len()).expect("a legal length").to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, &block].concat()
    }

    #[test]
    fn binary_headers_are_judged() {
        let tcp4: &[u8] = b"\xC0\x00\x02\x01\xC6\x33\x64\x02\xDC\x04\x01\xBB";
        let mut sealed = v2(0x21, 0x11, &[tcp4, b"\x03\0\x04\0\0\0\0"]);
        let right = crc32c(&sealed).to_be_bytes();
        sealed[31..].copy_from_slice(&right);
        let id = [b"\x05\0\x81".as_slice(), &[7; 129]].concat();
        for (bytes, levels, words) in [
            (v2(0x21, 0x11, &[tcp4]), &[][..], ""),
            (sealed, &[], ""),
            (v2(0x21, 0x11, &[tcp4, b"\x03\0\x04\0\0\0\0"]), &[Level::Must], "the CRC32C is 0x00000000"),
            (v2(0x21, 0x11, &[tcp4, b"\x03\0\x03\0\0\0"]), &[Level::Must], "the CRC32C has 3 bytes"),
            (v2(0x21, 0x11, &[tcp4, &id]), &[Level::Must], "UNIQUE_ID has 129 bytes"),
            (v2(0x21, 0x11, &[tcp4, b"\x04"]), &[Level::Must], "the bytes behind the addresses"),
            (v2(0x21, 0x11, &[&tcp4[..11]]), &[Level::Must], "11 bytes are too few"),
            (v2(0x21, 0x41, &[tcp4]), &[Level::Must], "the protocol byte 0x41"),
            (v2(0x22, 0x11, &[tcp4]), &[Level::Must], "command 2 is unassigned"),
            (v2(0x31, 0x11, &[tcp4]), &[Level::Must], "the version is 3"),
            (v2(0x20, 0, &[]), &[], ""),
            (v2(0x20, 0x11, &[tcp4]), &[Level::Should, Level::Should], "LOCAL with the protocol byte 0x11"),
            (v2(0x21, 0, &[]), &[Level::May], "UNSPEC with PROXY"),
            (v2(0x21, 0x11, &[tcp4, b"\xF0\0\0"]), &[Level::Should], "type 0xf0 is experimental"),
            (v2(0x21, 0x11, &[tcp4, b"\x20\0\x04\0\0\0\0"]), &[Level::Must], "SSL has 4 bytes"),
            (v2(0x21, 0x11, &[tcp4, b"\x20\0\x05\x01\0\0\0\x01"]), &[Level::Must], "the client connected over TLS"),
            (v2(0x21, 0x11, &[tcp4, b"\x20\0\x09\x01\0\0\0\0\x21\0\x01v"]), &[Level::Must], "verify is 0"),
            (v2(0x21, 0x11, &[tcp4, b"\x20\0\x09\x01\0\0\0\x01\x21\0\x01v"]), &[], ""),
        ] {
            let (judged, first) = found(&bytes);
            assert!(judged == levels && first.starts_with(words), "{}: {judged:?} {first}", bytes.escape_ascii());
        }
    }
}
