//! Encodes a header made from any bytes: parsing it must give the same header.

#![no_main]

#[path = "../../tests/common/fuzz_bodies.rs"]
mod fuzz_bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::round_trip(input));
