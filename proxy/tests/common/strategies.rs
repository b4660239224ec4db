//! Generated inputs for the parser and for the commands that explain headers: valid, damaged and odd ones.

#![allow(dead_code, reason = "each program that includes this file uses a part")]

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::{array, collection};

use crate::oracle::{SIGNATURE, crc32c};

pub(crate) fn bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    collection::vec(any::<u8>(), 0..=length)
}

pub(crate) fn v1_tcp4() -> impl Strategy<Value = Vec<u8>> {
    any::<(Ipv4Addr, Ipv4Addr, u16, u16)>()
        .prop_map(|(s, d, sp, dp)| format!("PROXY TCP4 {s} {d} {sp} {dp}\r\n").into())
}

pub(crate) fn v1_tcp6() -> impl Strategy<Value = Vec<u8>> {
    let groups = array::uniform8(prop_oneof![3 => Just(0), 1 => Just(0xffff), 2 => any::<u16>()]);
    let address = (groups, 0..4).prop_map(|(groups, notation)| match notation {
        0 => groups.map(|group| format!("{group:x}")).join(":"),
        1 => groups.map(|group| format!("{group:04X}")).join(":"),
        2 => Ipv6Addr::from(groups).to_string().to_uppercase(),
        _ => Ipv6Addr::from(groups).to_string(),
    });
    ([address.clone(), address], any::<[u16; 2]>())
        .prop_map(|([s, d], [sp, dp])| format!("PROXY TCP6 {s} {d} {sp} {dp}\r\n").into())
}

pub(crate) fn v1_unknown() -> impl Strategy<Value = Vec<u8>> {
    let ignored = bytes(91).prop_map(|mut ignored| {
        ignored.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b'\r');
        [b" ", ignored.as_slice()].concat()
    });
    prop_oneof![1 => Just(vec![]), 5 => ignored].prop_map(|rest| [b"PROXY UNKNOWN", rest.as_slice(), b"\r\n"].concat())
}

pub(crate) fn v2(command: u8, kind: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[command, kind], &length, block].concat()
}

pub(crate) fn v2_local() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), bytes(300)).prop_map(|(kind, block)| v2(0x20, kind, &block))
}

/// Addresses as long as the family needs, TLVs, and the right checksum in the first TLV that can hold one.
///
/// A TLV is its type, its length field and its value, which may have another length.
pub(crate) fn v2_proxy(family: usize, transport: u8, addresses: &[u8], tlvs: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let addresses = &addresses[..[0, 12, 36, 216][family]];
    let parts: Vec<_> =
        tlvs.iter().map(|(kind, told, value)| [&[*kind, 0, *told], value.as_slice()].concat()).collect();
    let mut header = v2(0x21, (family as u8) << 4 | transport, &[addresses, &parts.concat()].concat());
    if let Some(first) = tlvs.iter().position(|(kind, _, value)| *kind == 3 && value.len() == 4) {
        let at = 16 + addresses.len() + parts[..first].concat().len() + 3;
        header[at..at + 4].fill(0);
        let checksum = crc32c(&header).to_be_bytes();
        header[at..at + 4].copy_from_slice(&checksum);
    }
    header
}

/// The value of a TLV about TLS, with nested TLVs.
pub(crate) fn tls() -> impl Strategy<Value = Vec<u8>> {
    let inside =
        (0x21..=0x28_u8, bytes(20)).prop_map(|(kind, value)| [&[kind, 0, value.len() as u8], &value[..]].concat());
    (any::<[u8; 5]>(), collection::vec(inside, 0..4))
        .prop_map(|(fixed, inside)| [&fixed[..], &inside.concat()].concat())
}

pub(crate) fn v2_proxy_valid() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![select(vec![1, 2, 4, 5, 0x20, 0x30, 0xE0, 0xEA, 0xEE]), any::<u8>()];
    let plain =
        (kind, bytes(40)).prop_map(|(kind, value)| (if kind == 3 { 4 } else { kind }, value.len() as u8, value));
    let tlv = prop_oneof![5 => plain, 1 => tls().prop_map(|value| (0x20, value.len() as u8, value))];
    let tlvs =
        (collection::vec(tlv, 0..6), proptest::option::of(any::<Index>())).prop_map(|(mut tlvs, checksum_at)| {
            if let Some(index) = checksum_at {
                tlvs.insert(index.index(tlvs.len() + 1), (3, 4, vec![0; 4]));
            }
            tlvs
        });
    (0..4_usize, 0..3_u8, collection::vec(any::<u8>(), 216), tlvs)
        .prop_map(|(family, transport, addresses, tlvs)| v2_proxy(family, transport, &addresses, &tlvs))
}

/// TLVs that section 2.2 has rules for, with lengths at their limits and next to them.
pub(crate) fn v2_odd_tlvs() -> impl Strategy<Value = Vec<u8>> {
    let lengths = [(3, 4), (3, 4), (3, 5), (4, 0), (4, 9), (5, 128), (5, 129), (0xEA, 0)];
    let slip = prop_oneof![8 => Just(0), 1 => -1..3_i8];
    let tlv = (select(lengths.to_vec()), slip).prop_map(|((kind, length), slip): ((u8, u8), i8)| {
        (kind, length.saturating_add_signed(slip), vec![0; length.into()])
    });
    (0..4_usize, 0..3_u8, collection::vec(tlv, 0..4))
        .prop_map(|(family, transport, tlvs)| v2_proxy(family, transport, &[0; 216], &tlvs))
}

pub(crate) fn header() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![v1_tcp4(), v1_tcp6(), v1_unknown(), v2_local(), v2_proxy_valid()]
}

/// A header with payload after it, and up to three faults.
pub(crate) fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![select(b"0159afT.:% \r\n\t\0\x02\x03\x05".to_vec()), any::<u8>()];
    let fault = (0..6, any::<[Index; 2]>(), byte);
    (header(), bytes(4), collection::vec(fault, 0..=3)).prop_map(|(header, payload, faults)| {
        let mut input = [header, payload].concat();
        for (fault, ends, byte) in faults {
            let [one, other] = ends.map(|index| index.index(input.len().max(1)));
            match fault {
                _ if input.is_empty() => {}
                0 => input[one] = byte,
                1 => input[one] ^= 1 << (byte & 7),
                2 => input.insert(one, byte),
                3 => drop(input.remove(one)),
                4 => input.truncate(one),
                _ => input.extend_from_within(one.min(other)..one.max(other)),
            }
        }
        input
    })
}

/// Words of version 1 in any order, after a plausible start and sometimes before a valid end.
pub(crate) fn shuffled_words() -> impl Strategy<Value = Vec<u8>> {
    let starts =
        ["", "PROXY ", "PROXY UNKNOWN", "PROXY TCP4 ", "PROXY TCP6 ", "PROXY TCP6 ::ffff:", "PROXY TCP4 1.2.3.4 "];
    let words =
        "PROXY|TCP4|TCP6|UNKNOWN|1.2.3.4|255|256|.|.0|0|00|65535|65536|:|::|:1|ffff|fFfF:|::ffff:| | |\r\n|\r|\n";
    let words = words.split('|').chain(["-", "+", "%1", "\t"]).collect::<Vec<_>>();
    let words = collection::vec(select(words), 0..5).prop_map(|words| words.concat());
    let ends = select(vec!["", "\r\n", " 1 2\r\n", " ::1 1 2\r\n", " 5.6.7.8 1 2\r\n"]);
    (select(starts.to_vec()), words, ends).prop_map(|(start, words, end)| format!("{start}{words}{end}").into())
}
