//! Encodes the PROXY headers to send. It does not use the server's crate, so that it does not share an error with the
//! server's parser. Section numbers are those of the PROXY protocol's specification.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::cli::Proxy;
use crate::hosts::nth_host;

/// Section 2.2: the start of a version 2 header.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Section 2.2.4: the checksum's type.
const TYPE_CRC32C: u8 = 0x03;
/// The longest version 2 header: a length of 16 bits after the first 16 bytes.
const MAX_BODY: usize = 65_535;

/// The header to send at the start of each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The version.
    pub version: Proxy,
    /// The client addresses to state, one after the other; `None` for the connection's own address.
    pub clients: Option<IpNet>,
    /// The TLVs of a version 2 header.
    pub tlvs: Vec<Tlv>,
}

/// A type, and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlv {
    kind: u8,
    value: Vec<u8>,
}

impl Tlv {
    /// Reads `TYPE=TEXT`, `TYPE=0xHEX` or `crc32c`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once('=').unwrap_or((text, ""));
        let kind = match kind {
            "alpn" => 0x01,
            "authority" => 0x02,
            "crc32c" => TYPE_CRC32C,
            "noop" => 0x04,
            "unique-id" => 0x05,
            "netns" => 0x30,
            _ => number(kind).ok_or_else(|| format!("'{kind}' is no TLV type: a number to 255 or a name"))?,
        };
        if kind == TYPE_CRC32C && !value.is_empty() {
            return Err("crc32c is computed: it takes no value".to_owned());
        }
        let value = match value.strip_prefix("0x") {
            Some(digits) => hex(digits).ok_or_else(|| format!("'{value}' is not hexadecimal"))?,
            None => value.as_bytes().to_vec(),
        };
        Ok(Tlv { kind, value })
    }
}

fn number(text: &str) -> Option<u8> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    hexadecimal.map_or_else(|| text.parse().ok(), |digits| u8::from_str_radix(digits, 16).ok())
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || digits.len() % 2 == 1 {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// The header is too long to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong(usize);

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the TLVs make a header of {} bytes: {MAX_BODY} is the most", self.0)
    }
}

impl Sender {
    /// Whether no header is sent.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.version == Proxy::None
    }

    /// Checks that the TLVs fit into a header.
    ///
    /// # Errors
    ///
    /// They do not.
    pub fn check(&self) -> Result<(), TooLong> {
        let tlvs: usize =
            self.tlvs.iter().map(|tlv| 3 + tlv.value.len().max(usize::from(tlv.kind == TYPE_CRC32C) * 4)).sum();
        if 36 + tlvs > MAX_BODY { Err(TooLong(36 + tlvs)) } else { Ok(()) }
    }

    /// Appends the header of connection `number`, from `own` to `target`.
    pub fn write(&self, number: u64, own: SocketAddr, target: SocketAddr, out: &mut Vec<u8>) {
        let client = self.clients.map_or(own, |clients| client(clients, number));
        let (client, target) = one_family(client, target);
        match self.version {
            Proxy::None => {}
            Proxy::V1 => write_v1(client, target, out),
            Proxy::V2 => self.write_v2(client, target, out),
        }
    }

    fn write_v2(&self, client: SocketAddr, target: SocketAddr, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(SIGNATURE);
        // Section 2.2: version 2, command PROXY; then family and transport.
        out.extend_from_slice(&[0x21, if client.is_ipv4() { 0x11 } else { 0x21 }, 0, 0]);
        for address in [client.ip(), target.ip()] {
            match address {
                IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
            }
        }
        out.extend_from_slice(&client.port().to_be_bytes());
        out.extend_from_slice(&target.port().to_be_bytes());
        let mut checksum = None;
        for tlv in &self.tlvs {
            let value = if tlv.kind == TYPE_CRC32C { &[0; 4][..] } else { &tlv.value };
            out.push(tlv.kind);
            out.extend_from_slice(&(value.len() as u16).to_be_bytes());
            if tlv.kind == TYPE_CRC32C {
                checksum = Some(out.len());
            }
            out.extend_from_slice(value);
        }
        let body = (out.len() - start - 16) as u16;
        out[start + 14..start + 16].copy_from_slice(&body.to_be_bytes());
        if let Some(at) = checksum {
            let sum = crc32c(&out[start..]);
            out[at..at + 4].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// Writes the line of section 2.1.
fn write_v1(client: SocketAddr, target: SocketAddr, out: &mut Vec<u8>) {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    // Writing to memory cannot fail.
    let _ = write!(out, "PROXY {family} {} {} {} {}\r\n", client.ip(), target.ip(), client.port(), target.port());
}

/// The client address of connection `number`: the network's addresses in turn, with a port above those of system
/// services.
fn client(clients: IpNet, number: u64) -> SocketAddr {
    let port = 1024 + (number % 64_000) as u16;
    SocketAddr::new(nth_host(clients, number), port)
}

/// Sections 2.1 and 2.2 do not allow mixed families: an IPv4 address becomes an IPv4-mapped IPv6 address.
fn one_family(client: SocketAddr, target: SocketAddr) -> (SocketAddr, SocketAddr) {
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), address.port()),
        IpAddr::V6(v6) => SocketAddr::new(IpAddr::V6(Ipv6Addr::from(v6.octets())), address.port()),
    };
    if client.is_ipv4() == target.is_ipv4() { (client, target) } else { (mapped(client), mapped(target)) }
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit. It is computed only once for each connection.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: Proxy, tlvs: &[&str], client: &str, target: &str) -> Vec<u8> {
        let tlvs = tlvs.iter().map(|text| Tlv::parse(text).unwrap()).collect();
        let sender = Sender { version, clients: None, tlvs };
        let mut out = Vec::new();
        sender.write(0, client.parse().unwrap(), target.parse().unwrap(), &mut out);
        out
    }

    #[test]
    fn a_version_1_line_is_as_in_section_2_1() {
        let line = header(Proxy::V1, &[], "192.168.0.1:56324", "192.168.0.11:443");
        assert_eq!(line, b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n");
        let mixed = header(Proxy::V1, &[], "10.0.0.1:1", "[::1]:2");
        assert_eq!(mixed, b"PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n");
    }

    #[test]
    fn a_version_2_header_is_as_in_section_2_2() {
        let bytes = header(Proxy::V2, &["0xEA=0x0176"], "1.2.3.4:5", "6.7.8.9:10");
        let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\x01\x02\x03\x04\x06\x07\x08\x09\0\x05\0\x0a\xea\0\x02\x01v";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut bytes = header(Proxy::V2, &["crc32c", "authority=x"], "1.2.3.4:5", "6.7.8.9:10");
        let sum = u32::from_be_bytes(bytes[31..35].try_into().unwrap());
        bytes[31..35].fill(0);
        assert_eq!(crc32c(&bytes), sum);
    }

    #[test]
    fn tlvs_that_make_no_sense_are_refused() {
        for text in ["256=x", "what=x", "1=0xabc", "1=0xzz", "crc32c=1", ""] {
            assert!(Tlv::parse(text).is_err(), "{text}");
        }
    }
}
