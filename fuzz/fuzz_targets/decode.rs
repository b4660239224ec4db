//! Any bytes at all are explained as the parser sees them.

#![no_main]

#[path = "../../tests/common/decode_body.rs"]
mod decode_body;

libfuzzer_sys::fuzz_target!(|input: &[u8]| decode_body::decode(input));
