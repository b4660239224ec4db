//! `decode` explains all inputs of the parser's tests: every row of their tables, and their generated inputs.

use proptest::prelude::*;
use proxy::{Error, Header, Status};

#[path = "../common/decode_body.rs"]
mod decode_body;
#[path = "../../proxy/tests/common/oracle.rs"]
#[allow(dead_code, reason = "the inputs need only its checksum")]
mod oracle;
#[path = "../../proxy/tests/common/strategies.rs"]
mod strategies;
#[path = "../../proxy/tests/cases/v1.rs"]
mod v1;
#[path = "../../proxy/tests/cases/v2.rs"]
mod v2;
#[path = "../../proxy/tests/cases/words.rs"]
mod words;

use oracle::SIGNATURE;
use strategies::{bytes, damaged, header, shuffled_words, v2_odd_tlvs};
use words::described;

/// A row of the parser's tables: `input` is one whole header.
fn accepted<'a>(name: &str, input: &'a [u8]) -> Header<'a> {
    decode_body::decode(input);
    let Ok(Status::Complete(header)) = proxy::parse(input) else { panic!("{name}: {:?}", proxy::parse(input)) };
    header
}

/// A row of the parser's tables: with the first byte of `rest`, the input is refused.
fn refused(_: &str, good: &[u8], rest: &[u8], _: Error) {
    decode_body::decode(good);
    decode_body::decode(&[good, rest].concat());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn valid_headers(header in header(), payload in bytes(20)) {
        decode_body::decode(&[header, payload].concat());
    }

    #[test]
    fn damaged_headers(input in damaged()) {
        decode_body::decode(&input);
    }

    #[test]
    fn shuffled_words_of_version_1(input in shuffled_words()) {
        decode_body::decode(&input);
    }

    #[test]
    fn odd_tlvs(input in v2_odd_tlvs()) {
        decode_body::decode(&input);
    }

    #[test]
    fn arbitrary_bytes(signed in any::<bool>(), rest in bytes(300)) {
        decode_body::decode(&[if signed { SIGNATURE } else { b"" }, &rest].concat());
    }
}
