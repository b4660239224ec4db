//! The bodies of the fuzz targets. The parser's tests run them too, on generated inputs.

#![allow(dead_code, reason = "each program that includes this file uses a part")]

use std::net::{SocketAddrV4, SocketAddrV6};

use proxy::tlv::{self, Value};
use proxy::{Addresses, Command, EncodeError, Header, Status, Tlv, Transport, V2, Version};

pub(crate) mod oracle;
use oracle::{Answer, Ends, Fields};

/// Asserts that the law of the parser holds for `input`, and that the oracle agrees with the parser.
pub(crate) fn parse(input: &[u8]) {
    assert_eq!(answer(input), oracle::read(input));
    let parsed = proxy::parse(input);
    let partial_until = match parsed {
        Ok(Status::Partial) => input.len(),
        Ok(Status::Complete(header)) => {
            assert_eq!(header.raw, &input[..header.len()]);
            again(&header);
            header.len()
        }
        Err(error) => {
            let at = proxy::error_offset(input).expect("parsing failed, so an offset is known");
            assert_eq!(proxy::parse(&input[..=at]), Err(error));
            assert_eq!(oracle::read(&input[..=at]), Answer::Invalid);
            assert_eq!(oracle::read(&input[..at]), Answer::Partial);
            at + 1
        }
    };
    // Try some prefixes of a long header: trying all would take quadratic time.
    let lengths = (0..partial_until).step_by(1 + partial_until / 512).chain(partial_until.checked_sub(1));
    for length in lengths {
        assert_eq!(proxy::parse(&input[..length]), Ok(Status::Partial), "of the first {length} bytes");
    }
    if parsed != Ok(Status::Partial) {
        for more in [b"0", b"\r\n".as_slice(), input] {
            assert_eq!(proxy::parse(&[input, more].concat()), parsed, "with {more:?} after");
        }
    }
    assert_eq!(proxy::error_offset(input).is_some(), parsed.is_err());
}

/// Asserts that `header` is displayed on one line, and that encoding it gives an equal header, TLS included.
fn again(header: &Header) {
    let shown = header.to_string();
    assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{shown}");
    let (bytes, crc32c) = match header.version {
        Version::V1 => (proxy::encode_v1(&header.addresses).to_vec(), false),
        Version::V2 => {
            let tlvs: Vec<Tlv> = header.tlvs.iter().filter(|tlv| tlv.kind != tlv::CRC32C).collect();
            let mut bytes = Vec::new();
            // The encoder does not keep the CRC32C's place: it writes it last.
            let crc32c = tlvs.len() < header.tlvs.iter().count();
            let header = V2 { command: header.command, addresses: header.addresses, tlvs: &tlvs, crc32c };
            header.encode(&mut bytes).expect("as long as it came, or shorter");
            (bytes, crc32c)
        }
    };
    let encoded = whole(&bytes);
    assert_eq!((encoded.version, encoded.command), (header.version, header.command));
    assert_eq!(encoded.addresses, header.addresses);
    let kept = encoded.tlvs.iter().take(encoded.tlvs.iter().count() - usize::from(crc32c));
    assert!(kept.eq(header.tlvs.iter().filter(|tlv| tlv.kind != tlv::CRC32C)));
    for tlv in header.tlvs {
        if let Value::Ssl(ssl) = tlv.decode() {
            let inside: Vec<Tlv> = ssl.tlvs.iter().collect();
            let mut value = vec![0; tlv.value.len()];
            assert_eq!(tlv::Ssl::encode(ssl.client, ssl.verify, &inside, &mut value), Ok(tlv));
        }
    }
}

/// The parser's answer in the oracle's form.
fn answer(input: &[u8]) -> Answer {
    match proxy::parse(input) {
        Ok(Status::Complete(header)) => Answer::Complete(fields(&header)),
        Ok(Status::Partial) => Answer::Partial,
        Err(_) => Answer::Invalid,
    }
}

fn fields(header: &Header) -> Fields {
    let ends = |transport, addresses, ports| Ends { datagram: transport == Transport::Datagram, addresses, ports };
    Fields {
        length: header.len(),
        version: if header.version == Version::V1 { 1 } else { 2 },
        local: header.command == Command::Local,
        ends: match header.addresses {
            Addresses::Unspecified => None,
            Addresses::Inet { transport, source: s, destination: d } => {
                Some(ends(transport, [s, d].map(|end| end.ip().octets().to_vec()), [s.port(), d.port()]))
            }
            Addresses::Inet6 { transport, source: s, destination: d } => {
                assert_eq!([s.scope_id(), s.flowinfo(), d.scope_id(), d.flowinfo()], [0; 4]);
                Some(ends(transport, [s, d].map(|end| end.ip().octets().to_vec()), [s.port(), d.port()]))
            }
            Addresses::Unix { transport, source, destination } => {
                Some(ends(transport, [source.to_vec(), destination.to_vec()], [0, 0]))
            }
        },
        tlvs: header.tlvs.iter().map(|tlv| (tlv.kind, tlv.value.to_vec())).collect(),
    }
}

/// Encodes a header made from `input` and asserts that parsing gives it back. `input` is a byte of choices, the size of the
/// TLVs, the addresses (cut short if bytes are missing), and the rest is cut into TLVs.
pub(crate) fn round_trip(input: &[u8]) {
    let (&[choices, size], rest) = input.split_first_chunk().unwrap_or((&[0; 2], &[]));
    let family = choices & 3;
    let transport = if choices & 4 == 0 { Transport::Stream } else { Transport::Datagram };
    let command = if choices & 8 == 0 { Command::Proxy } else { Command::Local };
    let crc32c = choices & 16 == 0;
    let (given, rest) = rest.split_at(rest.len().min([0, 12, 36, 216][usize::from(family)]));
    let mut block = [0; 216];
    block[..given.len()].copy_from_slice(given);
    let addresses = addresses(family, transport, &block);
    let tlvs: Vec<Tlv> = rest.chunks(1 + usize::from(size)).map(|c| Tlv { kind: c[0], value: &c[1..] }).collect();

    let header = V2 { command, addresses, tlvs: &tlvs, crc32c };
    let mut out = b"before".to_vec();
    let encoded = header.encode(&mut out);
    let (before, bytes) = out.split_at(6);
    assert_eq!(before, b"before");
    let refusals = [
        (EncodeError::UniqueIdTooLong, tlvs.iter().any(|tlv| tlv.kind == 0x05 && tlv.value.len() > 128)),
        (EncodeError::ChecksumGiven, tlvs.iter().any(|tlv| tlv.kind == 0x03)),
        (EncodeError::TooLong, rest.len() + 2 * tlvs.len() + 216 + 7 > 65_535),
    ];
    if let Err(error) = encoded {
        assert!(bytes.is_empty());
        assert!(refusals.contains(&(error, true)), "{error}");
    } else {
        assert!(!refusals[0].1 && !refusals[1].1);
        let parsed = whole(bytes);
        assert_eq!((parsed.version, parsed.command), (Version::V2, command));
        if command == Command::Local {
            assert_eq!((parsed.addresses, parsed.tlvs.iter().count()), (Addresses::Unspecified, 0));
        } else {
            assert_eq!(parsed.addresses, addresses);
            assert!(parsed.tlvs.iter().take(tlvs.len()).eq(tlvs.iter().copied()));
            assert!(parsed.tlvs.iter().skip(tlvs.len()).map(|tlv| tlv.kind).eq(crc32c.then_some(0x03)));
        }
    }

    let line = proxy::encode_v1(&addresses);
    let parsed = whole(&line);
    assert_eq!((parsed.version, parsed.command), (Version::V1, Command::Proxy));
    let has_words = transport == Transport::Stream && (family == 1 || family == 2);
    assert_eq!(parsed.addresses, if has_words { addresses } else { Addresses::Unspecified });
}

fn addresses(family: u8, transport: Transport, block: &[u8; 216]) -> Addresses<'_> {
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    match family {
        0 => Addresses::Unspecified,
        1 => {
            let address = |at| <[u8; 4]>::try_from(&block[at..at + 4]).expect("four bytes").into();
            let [source, destination] = [(0, 8), (4, 10)].map(|(ip, tcp)| SocketAddrV4::new(address(ip), port(tcp)));
            Addresses::Inet { transport, source, destination }
        }
        2 => {
            let address = |at| <[u8; 16]>::try_from(&block[at..at + 16]).expect("sixteen bytes").into();
            let end = |(ip, tcp)| SocketAddrV6::new(address(ip), port(tcp), 0, 0);
            let [source, destination] = [(0, 32), (16, 34)].map(end);
            Addresses::Inet6 { transport, source, destination }
        }
        _ => {
            let (source, destination) = block.split_first_chunk().expect("108 bytes");
            Addresses::Unix { transport, source, destination: destination.try_into().expect("108 bytes") }
        }
    }
}

/// Parses `input`, which must be one whole header and nothing else.
fn whole(input: &[u8]) -> Header<'_> {
    match proxy::parse(input) {
        Ok(Status::Complete(header)) if header.raw == input => header,
        other => panic!("{other:?}"),
    }
}
