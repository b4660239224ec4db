//! TLVs of sections 2.2.1 to 2.2.8 and of clouds: their names and values, and TLVs that the encoder refuses to write.

use proxy::tlv::{Ssl, Value};
use proxy::{Addresses, Command, EncodeError, Tlv, V2};

#[test]
fn names_and_values() {
    for (kind, value, name, decoded) in [
        (0x01, b"h2".as_slice(), Some("ALPN"), Value::Text(b"h2")),
        (0x02, b"example.com", Some("AUTHORITY"), Value::Text(b"example.com")),
        (0x02, b"\xFF", Some("AUTHORITY"), Value::Text(b"\xFF")),
        (0x03, b"\xBC\xE5\x95\x1F", Some("CRC32C"), Value::Checksum(0xBCE5_951F)),
        (0x03, b"\xBC\xE5\x95", Some("CRC32C"), Value::Bytes(b"\xBC\xE5\x95")),
        (0x04, b"\0\0\0", Some("NOOP"), Value::Padding(3)),
        (0x04, b"", Some("NOOP"), Value::Padding(0)),
        (0x05, b"0a-1B", Some("UNIQUE_ID"), Value::Text(b"0a-1B")),
        (0x05, b"\x01\x02", Some("UNIQUE_ID"), Value::Bytes(b"\x01\x02")),
        (0x05, b"a b", Some("UNIQUE_ID"), Value::Bytes(b"a b")),
        (0x21, b"TLSv1.3", Some("VERSION"), Value::Text(b"TLSv1.3")),
        (0x22, b"client", Some("CN"), Value::Text(b"client")),
        (0x23, b"AES", Some("CIPHER"), Value::Text(b"AES")),
        (0x24, b"RSA-SHA256", Some("SIG_ALG"), Value::Text(b"RSA-SHA256")),
        (0x25, b"RSA2048", Some("KEY_ALG"), Value::Text(b"RSA2048")),
        (0x26, b"secp256r1", Some("GROUP"), Value::Text(b"secp256r1")),
        (0x27, b"rsa_pss", Some("SIG_SCHEME"), Value::Text(b"rsa_pss")),
        (0x28, b"0\x82", Some("CLIENT_CERT"), Value::Bytes(b"0\x82")),
        (0x30, b"blue", Some("NETNS"), Value::Text(b"blue")),
        // Big-endian, eight bytes.
        (0xE0, b"\0\0\0\0\0\0\x01\x02", Some("GOOGLE_PSC"), Value::Id(0x0102)),
        (0xE0, b"\x01\x02", Some("GOOGLE_PSC"), Value::Bytes(b"\x01\x02")),
        (0xE0, b"123456789", Some("GOOGLE_PSC"), Value::Bytes(b"123456789")),
        (0xEA, b"\x01vpce-08d2bf15fac5001c9", Some("AWS_VPC_ENDPOINT"), Value::Text(b"vpce-08d2bf15fac5001c9")),
        (0xEA, b"\x02vpce", None, Value::Bytes(b"\x02vpce")),
        (0xEA, b"", None, Value::Bytes(b"")),
        // Little-endian, four bytes after the subtype.
        (0xEE, b"\x01\x02\x01\0\0", Some("AZURE_LINKID"), Value::Id(0x0102)),
        (0xEE, b"\x01\x02\x01\0", Some("AZURE_LINKID"), Value::Bytes(b"\x01\x02\x01\0")),
        (0xEE, b"\x02\x02\x01\0\0", None, Value::Bytes(b"\x02\x02\x01\0\0")),
        // Unregistered, custom, experimental and future types.
        (0x00, b"?", None, Value::Bytes(b"?")),
        (0x06, b"?", None, Value::Bytes(b"?")),
        (0x1F, b"?", None, Value::Bytes(b"?")),
        (0x29, b"?", None, Value::Bytes(b"?")),
        (0xE1, b"?", None, Value::Bytes(b"?")),
        (0xF0, b"?", None, Value::Bytes(b"?")),
        (0xFF, b"?", None, Value::Bytes(b"?")),
    ] {
        let tlv = Tlv { kind, value };
        assert_eq!((tlv.name(), tlv.decode()), (name, decoded), "{kind:#x} {}", value.escape_ascii());
    }
}

#[test]
fn tls_holds_tlvs_of_its_own() {
    let tlv = Tlv { kind: 0x20, value: b"\x05\0\0\x01\x02\x21\0\x07TLSv1.3\x28\0\0" };
    assert_eq!(tlv.name(), Some("SSL"));
    let Value::Ssl(Ssl { client: 5, verify: 0x0102, tlvs }) = tlv.decode() else { panic!("{:?}", tlv.decode()) };
    assert!(tlvs.iter().eq([Tlv { kind: 0x21, value: b"TLSv1.3" }, Tlv { kind: 0x28, value: b"" }]));

    let tlv = Tlv { kind: 0x20, value: b"\0\xFF\xFF\xFF\xFF" };
    let Value::Ssl(Ssl { client: 0, verify: u32::MAX, tlvs }) = tlv.decode() else { panic!("{:?}", tlv.decode()) };
    assert_eq!(tlvs.iter().count(), 0);
}

#[test]
fn malformed_tls_is_bytes() {
    for (name, value) in [
        ("nothing", b"".as_slice()),
        ("four of the five fixed bytes", b"\x01\0\0\0"),
        ("a byte after", b"\x01\0\0\0\0\x21"),
        ("two bytes after a TLV", b"\x01\0\0\0\0\x21\0\0\x21\0"),
        ("a TLV that overruns", b"\x01\0\0\0\0\x21\0\x04TLS"),
        ("TLS inside TLS", b"\x01\0\0\0\0\x20\0\x05\x01\0\0\0\0"),
    ] {
        assert_eq!(Tlv { kind: 0x20, value }.decode(), Value::Bytes(value), "{name}");
    }
}

#[test]
fn what_no_receiver_would_take_is_not_encoded() {
    let fits = vec![0; 65_535 - 3];
    let too_long = vec![0; 65_535 - 3 + 1];
    let past_u16 = vec![0; 65_536];
    for (kind, value, crc32c, expected) in [
        (0x04, fits.as_slice(), false, Ok(())),
        (0x04, &fits[7..], true, Ok(())),
        (0x04, &fits[6..], true, Err(EncodeError::TooLong)),
        (0x04, &too_long, false, Err(EncodeError::TooLong)),
        (0x04, &past_u16, false, Err(EncodeError::TooLong)),
        (0x05, &fits[..128], true, Ok(())),
        (0x05, &fits[..129], true, Err(EncodeError::UniqueIdTooLong)),
        (0x03, &fits[..4], true, Err(EncodeError::ChecksumGiven)),
        (0x03, &fits[..4], false, Err(EncodeError::ChecksumGiven)),
    ] {
        let tlvs = [Tlv { kind, value }];
        let header = V2 { command: Command::Proxy, addresses: Addresses::Unspecified, tlvs: &tlvs, crc32c };
        let mut out = b"held".to_vec();
        assert_eq!(header.encode(&mut out), expected, "{kind:#x} of {} bytes", value.len());
        assert_eq!(out == b"held", expected.is_err());
    }
}
