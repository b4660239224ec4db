//! Parses any bytes: the parser's law must hold, and the oracle must agree.

#![no_main]

#[path = "../../tests/common/fuzz_bodies.rs"]
mod fuzz_bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::parse(input));
