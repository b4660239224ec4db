//! Time to parse a header, beside the other crates that do: `cargo bench -p proxy-protocol-header`.
//!
//! Each crate is called in its usual way, and each reads the addresses correctly. Most check less: only this crate and
//! proxy-protocol-rs read every TLV and verify a CRC32C. One row therefore adds that verification to the fastest of the
//! others.

extern crate proxy_protocol_header as proxy;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ppp::PartialResult;
use proxy::Status;

mod headers;

/// Uses the result by reference, so that the benchmark measures parsing and not copying the result.
fn use_it<T>(result: &T) {
    black_box(result);
}

/// Whether the CRC32C at the end of `header` is right. Section 2.2.3: it is computed with zeros in its own place.
fn is_right(header: &[u8]) -> bool {
    let mut copy = [0; 128];
    let copy = &mut copy[..header.len()];
    let value = header.len() - 4;
    copy[..value].copy_from_slice(&header[..value]);
    header[value..] == crc32c::crc32c(copy).to_be_bytes()
}

/// Asserts which crates verify a CRC32C when called in their usual way, as README says.
fn assert_who_verifies(header: &[u8]) {
    let mut wrong = header.to_vec();
    *wrong.last_mut().expect("a header") ^= 1;
    let input = wrong.as_slice();
    assert!(proxy::parse(input).is_err() && proxy_protocol_rs::parse(input).is_err());
    assert!(!is_right(input));
    assert!(ppp::v2::Header::try_from(input).is_ok());
    assert!(proxy_header::ProxyHeader::parse(input, proxy_header::ParseConfig::default()).is_ok());
    assert!(proxy_protocol::parse(&mut &*input).is_ok());
    assert!(haproxy_protocol::ProxyHdrV2::parse(input).is_ok());
    assert!(proxyproto::v2::Header::try_from_bytes(input).is_ok());
    let decoded = proxy_protocol_codec::v2::HeaderDecoder::decode(input);
    assert!(matches!(decoded, Ok(proxy_protocol_codec::v2::Decoded::Some(_))));
}

fn parsers(criterion: &mut Criterion) {
    for (name, header) in headers::all() {
        let input = header.as_slice();
        let is_v1 = name.starts_with("v1");
        let mut group = criterion.benchmark_group(name);
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        assert!(matches!(proxy::parse(input), Ok(Status::Complete(_))));
        group.bench_function("proxy-echo", |bench| bench.iter(|| use_it(&proxy::parse(black_box(input)))));
        assert!(ppp::HeaderResult::parse(input).is_complete());
        group.bench_function("ppp", |bench| bench.iter(|| use_it(&ppp::HeaderResult::parse(black_box(input)))));
        let proxy_header = |input| proxy_header::ProxyHeader::parse(input, proxy_header::ParseConfig::default());
        assert!(proxy_header(input).is_ok());
        group.bench_function("proxy-header", |bench| bench.iter(|| use_it(&proxy_header(black_box(input)))));
        assert!(proxy_protocol::parse(&mut &*input).is_ok());
        group.bench_function("proxy-protocol", |bench| {
            bench.iter(|| use_it(&proxy_protocol::parse(&mut black_box(input))));
        });
        assert!(matches!(proxy_protocol_rs::parse(input), Ok((_, length)) if length == input.len()));
        group.bench_function("proxy-protocol-rs", |bench| {
            bench.iter(|| use_it(&proxy_protocol_rs::parse(black_box(input))));
        });
        if is_v1 {
            let parse = haproxy_protocol::ProxyHdrV1::parse;
            assert!(parse(input).is_ok());
            group.bench_function("haproxy-protocol", |bench| bench.iter(|| use_it(&parse(black_box(input)))));
            let parse = proxyproto::v1::Header::try_from_bytes;
            assert!(parse(input).is_ok());
            group.bench_function("proxyproto", |bench| bench.iter(|| use_it(&parse(black_box(input)))));
        } else {
            let parse = haproxy_protocol::ProxyHdrV2::parse;
            assert!(parse(input).is_ok());
            group.bench_function("haproxy-protocol", |bench| bench.iter(|| use_it(&parse(black_box(input)))));
            if name == "v2_aws" {
                assert!(is_right(input));
                assert_who_verifies(input);
                group.bench_function("haproxy-protocol, and a CRC32C check", |bench| {
                    bench.iter(|| use_it(&(parse(black_box(input)), is_right(black_box(input)))));
                });
            }
            let parse = proxyproto::v2::Header::try_from_bytes;
            assert!(parse(input).is_ok());
            group.bench_function("proxyproto", |bench| bench.iter(|| use_it(&parse(black_box(input)))));
            let parse = proxy_protocol_codec::v2::HeaderDecoder::decode;
            assert!(matches!(parse(input), Ok(proxy_protocol_codec::v2::Decoded::Some(_))));
            group.bench_function("proxy-protocol-codec", |bench| bench.iter(|| use_it(&parse(black_box(input)))));
        }
        group.finish();
    }
}

criterion_group!(benches, parsers);
criterion_main!(benches);
