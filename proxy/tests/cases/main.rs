//! The rules of sections 2.1 and 2.2 as tables: accepted inputs with the header they give, refused inputs with the byte
//! at which they are refused.

extern crate proxy_protocol_header as proxy;

use fuzz_bodies::oracle;
use proxy::{EncodeError, Error, Header, Status};
use words::described;

#[path = "../common/fuzz_bodies.rs"]
mod fuzz_bodies;
mod tlv;
mod v1;
mod v2;
mod words;

/// Asserts that `input` is one whole header, and that the law of the parser holds for it.
fn accepted<'a>(name: &str, input: &'a [u8]) -> Header<'a> {
    let parsed = proxy::parse(input);
    let Ok(Status::Complete(header)) = parsed else { panic!("{name}: {parsed:?}") };
    assert_eq!(header.raw, input, "{name}");
    fuzz_bodies::parse(input);
    header
}

/// Asserts that `good` can still become a header, and that it no longer can with the first byte of `rest`.
fn refused(name: &str, good: &[u8], rest: &[u8], error: Error) {
    let input = [good, rest].concat();
    assert_eq!(proxy::parse(&input), Err(error), "{name}");
    assert_eq!(proxy::error_offset(&input), Some(good.len()), "{name}");
    fuzz_bodies::parse(&input);
}

#[test]
fn what_can_still_become_a_header_is_partial() {
    for (name, input) in [
        ("nothing", b"".as_slice()),
        ("the first byte of version 1", b"P"),
        ("no protocol yet", b"PROXY "),
        ("an octet that may end or go on", b"PROXY TCP4 1.2.3.2"),
        ("a gap that may be the whole address", b"PROXY TCP6 ::"),
        ("a port that may end or go on", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 6553"),
        ("CR", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r"),
        ("UNKNOWN with CR and LF, but no CRLF", b"PROXY UNKNOWN \n\r.\n\r"),
        ("106 bytes that end in CR", format!("PROXY UNKNOWN {:x<91}\r", "").as_bytes()),
        ("the first byte of version 2", b"\r"),
        ("the signature", oracle::SIGNATURE),
        ("no length yet", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"),
        ("no block yet", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"),
        ("a block that LOCAL skips", b"\r\n\r\n\0\r\nQUIT\n\x20\xff\0\x02."),
    ] {
        assert_eq!(proxy::parse(input), Ok(Status::Partial), "{name}");
        fuzz_bodies::parse(input);
    }
}

#[test]
fn what_follows_a_header_is_payload() {
    let headers = [b"PROXY UNKNOWN\r\n".as_slice(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"];
    for header in headers {
        for payload in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\r\n", b"\0", headers[0], headers[1]] {
            let input = [header, payload].concat();
            assert_eq!(proxy::parse(&input), proxy::parse(header));
            assert_eq!(accepted("before payload", header).len(), header.len());
        }
    }
}

#[test]
fn errors_and_tlvs_are_shown() {
    assert_eq!(Error::V1TooLong.to_string(), "no CRLF within 107 bytes");
    assert_eq!(EncodeError::ChecksumGiven.to_string(), "the CRC32C is computed, not given");
    let Ok(Status::Complete(header)) = proxy::parse(b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\x04\x04\0\x01!") else { panic!() };
    assert_eq!(format!("{:?}", header.tlvs), "[Tlv { kind: 4, value: [33] }]");
}
