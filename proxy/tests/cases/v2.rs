//! Section 2.2, version 2.

use proxy::tlv::{AUTHORITY, AWS, CRC32C, NETNS, NOOP, SSL, UNIQUE_ID};
use proxy::{Error, Status};

use crate::oracle::{SIGNATURE, crc32c};
use crate::{accepted, described, refused};

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;

const IPV4: &[u8] = b"\xC0\x00\x02\x01\xC6\x33\x64\x02\xDB\xC4\x01\xBB";
const IPV6: &[u8] = b"\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01\xFE\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\xDB\xC4\x01\xBB";

fn v2(command: u8, kind: u8, block: &[&[u8]]) -> Vec<u8> {
    let block = block.concat();
    let length = u16::try_from(block.len()).expect("a legal length").to_be_bytes();
    [SIGNATURE, &[command, kind], &length, &block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a legal length").to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}

/// A header with a checksum between TLVs.
fn sealed(kind: u8, before: &[&[u8]], after: &[u8]) -> Vec<u8> {
    let mut header = v2(PROXY, kind, &[&before.concat(), &tlv(CRC32C, &[0; 4]), after]);
    let (at, checksum) = (16 + before.concat().len() + 3, crc32c(&header));
    header[at..at + 4].copy_from_slice(&checksum.to_be_bytes());
    header
}

fn unix() -> Vec<u8> {
    let mut block = vec![0; 216];
    block[..12].copy_from_slice(b"/run/source\0");
    block[108..].fill(b'd');
    block
}

/// Tries every version, command, family and transport. The block is 216 zeros, which are valid as addresses of each family
/// and as TLVs of three bytes.
#[test]
fn every_thirteenth_and_fourteenth_byte() {
    for (first, second) in (0..=255).flat_map(|first| (0..=255).map(move |second| (first, second))) {
        let header = v2(first, second, &[&[0; 216]]);
        let (version, command, family, transport) = (first >> 4, first & 15, second >> 4, second & 15);
        let expected = match (version, command, family, transport) {
            (2, 0, _, _) => Ok("V2 Local Unspecified"),
            (2, 1, 4.., _) => Err((Error::V2Family, 13)),
            (2, 1, _, 3..) => Err((Error::V2Transport, 13)),
            (2, 1, 0, _) | (2, 1, _, 0) => Ok("V2 Proxy Unspecified"),
            (2, 1, 1, 1) => Ok("V2 Proxy Stream 0.0.0.0:0 0.0.0.0:0"),
            (2, 1, 1, 2) => Ok("V2 Proxy Datagram 0.0.0.0:0 0.0.0.0:0"),
            (2, 1, 2, 1) => Ok("V2 Proxy Stream [::]:0 [::]:0"),
            (2, 1, 2, 2) => Ok("V2 Proxy Datagram [::]:0 [::]:0"),
            (2, 1, 3, 1) => Ok("V2 Proxy Stream  "),
            (2, 1, 3, 2) => Ok("V2 Proxy Datagram  "),
            (2, ..) => Err((Error::V2Command, 12)),
            _ => Err((Error::V2Version, 12)),
        };
        match proxy::parse(&header) {
            Ok(Status::Complete(parsed)) => assert_eq!(Ok(described(&parsed).as_str()), expected),
            Ok(Status::Partial) => panic!("{first:#x} {second:#x}"),
            Err(error) => assert_eq!(Err((error, proxy::error_offset(&header).unwrap())), expected),
        }
    }
}

#[test]
fn a_wrong_byte_of_the_signature_is_refused_at_once() {
    for at in 0..12 {
        for wrong in [SIGNATURE[at] ^ 1, SIGNATURE[at] ^ 0x80] {
            refused("signature", &SIGNATURE[..at], &[&[wrong], &SIGNATURE[at + 1..]].concat(), Error::Signature);
        }
    }
}

/// For each family, tries lengths just below and above the length of its addresses.
#[test]
fn lengths() {
    for (kind, need) in [(0x00, 0), (0x01, 0), (0x10, 12), (0x11, 12), (0x12, 12), (0x21, 36), (0x22, 36), (0x31, 216)]
    {
        for length in 0..=need + 4 {
            let header = v2(PROXY, kind, &[&vec![0; length]]);
            let (good, rest) = header.split_at(15);
            match length.checked_sub(need) {
                None => refused("too short", good, rest, Error::V2Length),
                // If the family is unspecified, the block may be an address of any length.
                Some(bytes @ (1 | 2 | 4)) if kind >> 4 == 0 => {
                    assert_eq!(accepted(&format!("{bytes} bytes"), &header).tlvs.iter().count(), 0);
                }
                Some(1 | 2) => refused("no room for a TLV", good, rest, Error::TlvTrailing),
                Some(4) => {
                    refused("a byte after", &header[..16 + need + 2], &header[16 + need + 2..], Error::TlvTrailing);
                }
                Some(bytes) => assert_eq!(accepted("right", &header).tlvs.iter().count(), bytes / 3),
            }
        }
    }
}

#[test]
fn headers_accepted() {
    // Captured: the health check of an AWS NLB. It states TCP over IPv4, but has TLVs in place of the addresses.
    let nlb = v2(LOCAL, TCP4, &[b"\x03\0\x04\xBC\xE5\x95\x1F", &tlv(NOOP, &[0; 74])]);
    let certificate = tlv(0x28, &[0x30; 1500]);
    let ssl = tlv(SSL, &[b"\x07\0\0\0\0", tlv(0x21, b"TLSv1.3").as_slice(), &certificate].concat());
    let vpc_endpoint = tlv(AWS, b"\x01vpce-08d2bf15fac5001c9");
    let (unknown, host, id) = (tlv(0xFF, b"?"), tlv(AUTHORITY, b"example.com"), tlv(UNIQUE_ID, &[7; 128]));
    let (empty, most, all) = (tlv(NOOP, b""), tlv(NOOP, &vec![0; 65_535 - 12 - 3]), tlv(NOOP, &vec![0; 65_535 - 3]));
    let tcp4 = "Proxy Stream 192.0.2.1:56260 198.51.100.2:443";
    let unix_path = format!("Proxy Datagram /run/source {}", "d".repeat(108));
    for (name, header, fields, kinds) in [
        ("LOCAL", v2(LOCAL, 0, &[]), "Local Unspecified", &[][..]),
        ("LOCAL with addresses", v2(LOCAL, TCP4, &[IPV4]), "Local Unspecified", &[]),
        ("LOCAL of a family without its addresses", v2(LOCAL, 0x21, &[]), "Local Unspecified", &[]),
        ("LOCAL of an undefined family", v2(LOCAL, 0xFF, &[IPV4]), "Local Unspecified", &[]),
        ("LOCAL with a block that is not TLVs", v2(LOCAL, TCP4, &[b"\x03\xff"]), "Local Unspecified", &[]),
        ("LOCAL with a wrong checksum", v2(LOCAL, 0, &[&tlv(CRC32C, &[0; 4])]), "Local Unspecified", &[]),
        ("LOCAL of an AWS NLB", nlb, "Local Unspecified", &[]),
        ("LOCAL with the longest block", v2(LOCAL, 0, &[&vec![1; 65_535]]), "Local Unspecified", &[]),
        ("UNSPEC", v2(PROXY, 0, &[]), "Proxy Unspecified", &[]),
        ("UNSPEC with TLVs", v2(PROXY, 0, &[&host, &empty]), "Proxy Unspecified", &[AUTHORITY, NOOP]),
        ("UNSPEC with a checksum", sealed(0, &[&host], &[]), "Proxy Unspecified", &[AUTHORITY, CRC32C]),
        ("UNSPEC with an address", v2(PROXY, 0, &[IPV4]), "Proxy Unspecified", &[]),
        ("UNSPEC with two checksums", v2(PROXY, 0, &[&[3, 0, 4, 0, 0, 0, 0].repeat(2)]), "Proxy Unspecified", &[]),
        ("UNSPEC over IPv4", v2(PROXY, 0x10, &[IPV4, &host]), "Proxy Unspecified", &[AUTHORITY]),
        ("TCP over IPv4", v2(PROXY, TCP4, &[IPV4]), tcp4, &[]),
        ("UDP over IPv4", v2(PROXY, 0x12, &[IPV4]), "Proxy Datagram 192.0.2.1:56260 198.51.100.2:443", &[]),
        ("TCP over IPv6", v2(PROXY, 0x21, &[IPV6]), "Proxy Stream [2001:db8::1]:56260 [fe80::2]:443", &[]),
        ("UDP over IPv6", v2(PROXY, 0x22, &[IPV6]), "Proxy Datagram [2001:db8::1]:56260 [fe80::2]:443", &[]),
        ("UNIX datagram, a path of all 108 bytes", v2(PROXY, 0x32, &[&unix()]), &unix_path, &[]),
        ("UNIX with TLVs", v2(PROXY, 0x32, &[&unix(), &host]), &unix_path, &[AUTHORITY]),
        ("unknown types", v2(PROXY, TCP4, &[IPV4, &unknown, &host, &unknown]), tcp4, &[0xFF, AUTHORITY, 0xFF]),
        ("NOOP with no bytes", v2(PROXY, TCP4, &[IPV4, &empty, &empty]), tcp4, &[NOOP, NOOP]),
        ("a VPC endpoint", v2(PROXY, TCP4, &[IPV4, &vpc_endpoint]), tcp4, &[AWS]),
        ("a unique id of 128 bytes", v2(PROXY, TCP4, &[IPV4, &id]), tcp4, &[UNIQUE_ID]),
        ("a certificate of more than 1 KiB", v2(PROXY, TCP4, &[IPV4, &ssl, &host]), tcp4, &[SSL, AUTHORITY]),
        ("a checksum", sealed(TCP4, &[IPV4], &[]), tcp4, &[CRC32C]),
        ("a checksum with TLVs after", sealed(TCP4, &[IPV4, &host], &empty), tcp4, &[AUTHORITY, CRC32C, NOOP]),
        ("the longest header", v2(PROXY, TCP4, &[IPV4, &most]), tcp4, &[NOOP]),
        ("the longest TLV", v2(PROXY, 0, &[&all]), "Proxy Unspecified", &[NOOP]),
    ] {
        let parsed = accepted(name, &header);
        assert_eq!(described(&parsed), format!("V2 {fields}"), "{name}");
        assert!(parsed.tlvs.iter().map(|tlv| tlv.kind).eq(kinds.iter().copied()), "{name}: {:?}", parsed.tlvs);
    }
    assert_eq!(v2(PROXY, 0, &[&all]).len(), proxy::MAX_V2_LEN);
}

#[test]
fn tlvs_refused() {
    let noop = tlv(NOOP, b"12345");
    let checksum = tlv(CRC32C, &[0; 4]);
    let id = [&[129], [b'i'; 129].as_slice()].concat();
    let long_id = [&[0], [b'i'; 256].as_slice()].concat();
    for (name, good, rest, error) in [
        ("a value one byte too long", [&[NOOP, 0][..]].concat(), b"\x0612345".as_slice(), Error::TlvOverrun),
        ("the second value too long", [&noop, &[0xFF, 0][..]].concat(), b"\x01", Error::TlvOverrun),
        ("the longest value", vec![NOOP, 0xFF], b"\xFF12345", Error::TlvOverrun),
        ("one byte after", vec![NOOP, 0], b"\x05123456", Error::TlvTrailing),
        ("two bytes after", vec![NETNS, 0], b"\x051234567", Error::TlvTrailing),
        ("one byte after the second", [&noop, &[NOOP, 0][..]].concat(), b"\x00\x04", Error::TlvTrailing),
        ("a checksum of no bytes", vec![CRC32C, 0], b"\0", Error::Crc32cLength),
        ("a checksum of 3 bytes", vec![CRC32C, 0], b"\x03123", Error::Crc32cLength),
        ("a checksum of 5 bytes", vec![CRC32C, 0], b"\x0512345", Error::Crc32cLength),
        ("a checksum too long for the header", vec![CRC32C, 0], b"\x04123", Error::TlvOverrun),
        ("a second checksum", [&checksum, &noop, &[CRC32C, 0][..]].concat(), b"\x04\0\0\0\0", Error::Crc32cDuplicate),
        ("a second checksum of 3 bytes", [&checksum, &[CRC32C, 0][..]].concat(), b"\x03123", Error::Crc32cDuplicate),
        ("a unique id of 129 bytes", [&noop, &[UNIQUE_ID, 0][..]].concat(), &id, Error::UniqueIdLength),
        ("a unique id of 256 bytes", vec![UNIQUE_ID, 1], &long_id, Error::UniqueIdLength),
        ("a checksum of zeros", checksum[..6].to_vec(), &[0], Error::Crc32cMismatch),
    ] {
        for (kind, addresses) in [(TCP4, IPV4), (0x10, IPV4), (0x22, IPV6), (0x31, &unix())] {
            let header = v2(PROXY, kind, &[addresses, &good, rest]);
            let (good, rest) = header.split_at(16 + addresses.len() + good.len());
            refused(name, good, rest, error);
        }
    }
}

/// A wrong checksum is refused at the last byte of the header, wherever the fault is.
#[test]
fn wrong_checksums_refused() {
    for (kind, addresses) in [(0, b"".as_slice()), (0x10, IPV4), (TCP4, IPV4), (0x22, IPV6), (0x31, &unix())] {
        let header = sealed(kind, &[addresses, &tlv(AUTHORITY, b"example.com")], &tlv(NOOP, b"after"));
        let before = 16 + addresses.len();
        let checksum = before + 14 + 3;
        let (value_before, value_after) = (before + 5, checksum + 4 + 5);
        for at in [before.saturating_sub(1).max(16), value_before, checksum, checksum + 3, value_after] {
            let mut broken = header.clone();
            broken[at] ^= 0x10;
            let (last, good) = broken.split_last().expect("a header");
            refused(&format!("byte {at} of kind {kind:#x}"), good, &[*last], Error::Crc32cMismatch);
        }
        let mut reversed = header.clone();
        reversed[checksum..checksum + 4].reverse();
        assert_eq!(proxy::parse(&reversed), Err(Error::Crc32cMismatch), "in the other byte order");
    }
}

/// A checksum that another implementation computed: that of an AWS NLB's health check.
#[test]
fn the_checksum_is_that_of_other_senders() {
    let header = v2(LOCAL, TCP4, &[&tlv(CRC32C, &[0; 4]), &tlv(NOOP, &[0; 74])]);
    assert_eq!(crc32c(&header), 0xBCE5_951F);
}
