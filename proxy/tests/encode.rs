//! Encoding that the round trip of the fuzz bodies does not cover: into slices, and TLS with its TLVs.

use proxy_protocol_header::tlv::{self, Ssl};
use proxy_protocol_header::{Addresses, Command, EncodeError, Status, Tlv, V2, parse};

fn v2<'a>(tlvs: &'a [Tlv<'a>], crc32c: bool) -> V2<'a> {
    V2 { command: Command::Proxy, addresses: Addresses::Unspecified, tlvs, crc32c }
}

#[test]
fn a_slice_takes_the_header_or_is_left_alone() {
    let tlvs = [Tlv { kind: tlv::AUTHORITY, value: b"example.com" }];
    let header = v2(&tlvs, true);
    let needed = 16 + 14 + 7;
    assert_eq!(header.encoded_len(), Ok(needed));
    let mut buffer = [0xAA; 64];
    for length in 0..needed {
        let error = EncodeError::BufferTooShort { needed };
        assert_eq!(header.encode_to_slice(&mut buffer[..length]), Err(error));
        assert_eq!(buffer, [0xAA; 64]);
        assert_eq!(error.to_string(), "the buffer is too short: 37 bytes are needed");
    }
    assert_eq!(header.encode_to_slice(&mut buffer), Ok(needed));
    assert_eq!(buffer[needed..], [0xAA; 64][needed..]);
    assert!(matches!(parse(&buffer), Ok(Status::Complete(parsed)) if parsed.len() == needed));
}

/// The parser reads back all that was written about TLS, in the same order.
#[test]
fn tls_round_trip() {
    let certificate = [0x30; 3000];
    let inside = [
        Tlv { kind: tlv::SSL_VERSION, value: b"TLSv1.3" },
        Tlv { kind: tlv::SSL_CN, value: b"client.test" },
        Tlv { kind: tlv::SSL_CIPHER, value: b"TLS_AES_256_GCM_SHA384" },
        Tlv { kind: tlv::SSL_SIG_ALG, value: b"RSA-SHA256" },
        Tlv { kind: tlv::SSL_KEY_ALG, value: b"RSA2048" },
        Tlv { kind: tlv::SSL_GROUP, value: b"X25519" },
        Tlv { kind: tlv::SSL_SIG_SCHEME, value: b"rsa_pss_rsae_sha256" },
        Tlv { kind: tlv::SSL_CLIENT_CERT, value: &certificate },
    ];
    for count in 0..=inside.len() {
        let (mut value, mut bytes) = ([0; 4096], [0; 8192]);
        let ssl = Ssl::encode(7, 0x0102_0304, &inside[..count], &mut value).expect("there is room");
        let tlvs = [Tlv { kind: tlv::ALPN, value: b"h2" }, ssl];
        let length = v2(&tlvs, true).encode_to_slice(&mut bytes).expect("there is room");
        let Ok(Status::Complete(header)) = parse(&bytes[..length]) else { panic!("{:?}", parse(&bytes[..length])) };
        assert_eq!(header.tlvs.alpn(), Some(b"h2".as_slice()));
        let ssl = header.tlvs.ssl().expect("well formed").expect("it is there");
        assert_eq!((ssl.client, ssl.verify), (7, 0x0102_0304));
        assert!(ssl.tlvs.iter().eq(inside[..count].iter().copied()));
    }
}

#[test]
fn tls_that_no_receiver_would_take_is_not_encoded() {
    let long = vec![0; 65_536];
    for (kind, length, room, expected) in [
        (tlv::SSL, 0, 70_000, Err(EncodeError::NestedSsl)),
        (tlv::SSL_CN, 65_536, 70_000, Err(EncodeError::TooLong)),
        (tlv::SSL_CN, 65_535 - 7, 70_000, Err(EncodeError::TooLong)),
        (tlv::SSL_CN, 65_535 - 8, 70_000, Ok(65_535)),
        (tlv::SSL_CN, 3, 10, Err(EncodeError::BufferTooShort { needed: 11 })),
        (tlv::SSL_CN, 3, 11, Ok(11)),
    ] {
        let mut out = vec![0; room];
        let encoded = Ssl::encode(0, 0, &[Tlv { kind, value: &long[..length] }], &mut out);
        assert_eq!(encoded.map(|tlv| tlv.value.len()), expected, "{kind:#x} of {length} bytes");
    }
    // The value fits alone, but not together with the TLV's head and a checksum.
    let mut out = vec![0; 70_000];
    let ssl = Ssl::encode(0, 0, &[Tlv { kind: tlv::SSL_CN, value: &long[..65_535 - 8] }], &mut out).expect("it fits");
    assert_eq!(v2(&[ssl], false).encoded_len(), Err(EncodeError::TooLong));
}
