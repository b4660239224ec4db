//! Any bytes at all: the law of the parser, and agreement with the oracle.

#![no_main]

#[path = "../../tests/common/fuzz_bodies.rs"]
mod fuzz_bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::parse(input));
