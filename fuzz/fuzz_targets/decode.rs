//! Explains any bytes: the explanation must agree with the parser.

#![no_main]

#[path = "../../tests/common/decode_body.rs"]
mod decode_body;

libfuzzer_sys::fuzz_target!(|input: &[u8]| decode_body::decode(input));
