//! The headers that the benchmarks parse: one of each form that balancers send most.

use proxy::{Addresses, Command, Tlv, Transport, V2, tlv};

/// The name and the bytes of each header.
pub(crate) fn all() -> [(&'static str, Vec<u8>); 5] {
    [
        ("v1_tcp4", b"PROXY TCP4 124.100.123.123 10.0.8.154 53971 8888\r\n".to_vec()),
        ("v1_tcp6", b"PROXY TCP6 2001:db8:85a3::8a2e:370:7334 2001:db8::1:0:8 53971 8888\r\n".to_vec()),
        ("v2_tcp4", v2(&[], false)),
        ("v2_aws", v2(&AWS, true)),
        ("v2_aws_without_crc32c", v2(&AWS, false)),
    ]
}

/// The TLVs that AWS sends for a VPC endpoint: its id, and padding.
const AWS: [Tlv; 2] =
    [Tlv { kind: tlv::AWS, value: b"\x01vpce-08d2bf15fac5001c9" }, Tlv { kind: tlv::NOOP, value: &[0; 20] }];

fn v2(tlvs: &[Tlv], crc32c: bool) -> Vec<u8> {
    let [source, destination] =
        ["124.100.123.123:53971", "10.0.8.154:8888"].map(|end| end.parse().expect("an address"));
    let addresses = Addresses::Inet { transport: Transport::Stream, source, destination };
    let mut bytes = Vec::new();
    V2 { command: Command::Proxy, addresses, tlvs, crc32c }.encode(&mut bytes).expect("short");
    bytes
}
