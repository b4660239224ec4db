//! A whole `PROXY TCP4` line, a word at a time: first where all of its numbers end, then each number.
//!
//! Numbers differ in length from line to line. Where each byte decides on a branch, the processor often guesses wrong.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::{Addresses, Command, Header, Tlvs, Transport, Version};

const BEGIN: [u8; 11] = *b"PROXY TCP4 ";

/// The longest line has 45 bytes behind `BEGIN`.
const WORDS: usize = 6;

/// `0` in each byte: digits become their values, and other bytes more than 9.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// For each count of digits in an octet: which bits of a word they have, beside what stands behind them in the highest byte,
/// and the least of them without leading zeros, a digit a byte.
const OCTETS: [(u32, u32); 4] = [(0, u32::MAX), (!0 << 16, 0), (!0 << 8, 0x01_00), (!0, 0x01_00_00)];

/// The same for a port.
const PORTS: [(u64, u64); 6] = [
    (0, u64::MAX),
    (!0 << 48, 0),
    (!0 << 40, 0x01_00),
    (!0 << 32, 0x01_00_00),
    (!0 << 24, 0x01_00_00_00),
    (!0 << 16, 0x01_00_00_00_00),
];

/// The header, if `input` begins with one; nothing tells what is wrong with it if not.
#[inline(always)]
pub(super) fn parse(input: &[u8]) -> Option<Header<'_>> {
    let behind = input.strip_prefix(&BEGIN)?;
    let mut numbers = Numbers { input, ends: ends(behind)?, start: BEGIN.len() };
    let [source, destination] = [numbers.address()?, numbers.address()?];
    let [source_port, destination_port] = [numbers.port(b' ')?, numbers.port(b'\r')?];
    let raw = input.get(..=numbers.start)?;
    if raw[numbers.start] != b'\n' {
        return None;
    }
    let addresses = Addresses::Inet {
        transport: Transport::Stream,
        source: SocketAddrV4::new(source, source_port),
        destination: SocketAddrV4::new(destination, destination_port),
    };
    Some(Header { raw, version: Version::V1, command: Command::Proxy, addresses, tlvs: Tlvs::default() })
}

/// A bit for each byte of `line` that is no digit, the first byte's lowest, as far as a line can be long.
#[inline(always)]
fn ends(line: &[u8]) -> Option<u64> {
    let (words, rest) = line.as_chunks();
    let mut ends = 0;
    for (index, word) in words.iter().take(WORDS).enumerate() {
        ends |= no_digits(*word) << (8 * index);
    }
    if words.len() < WORDS {
        ends |= no_digits(*line.last_chunk()?) >> (8 - rest.len()) << (8 * words.len());
    }
    Some(ends)
}

/// A bit for each byte of `word` that is no digit. Behind one above 127 a digit may have a bit too: no line has such bytes.
#[inline(always)]
fn no_digits(word: [u8; 8]) -> u64 {
    let digits = u64::from_le_bytes(word) ^ ZEROS;
    // The highest bit of each byte: from 10 on by the sum, from 128 on by itself.
    let found = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    // Gathered in the highest byte.
    (found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

struct Numbers<'a> {
    input: &'a [u8],
    /// Where the numbers that are left end, counted from behind `BEGIN`.
    ends: u64,
    /// Where the next one begins.
    start: usize,
}

impl Numbers<'_> {
    #[inline(always)]
    fn address(&mut self) -> Option<Ipv4Addr> {
        let [a, b, c] = [self.octet(b'.')?, self.octet(b'.')?, self.octet(b'.')?];
        Some(Ipv4Addr::new(a, b, c, self.octet(b' ')?))
    }

    /// An octet with `behind` behind it.
    #[inline(always)]
    fn octet(&mut self, behind: u8) -> Option<u8> {
        let (end, count) = self.next();
        let (keep, least) = *OCTETS.get(count)?;
        let word = u32::from_le_bytes(*self.input.get(end - 3..)?.first_chunk()?);
        let digits = (word ^ u32::from_le_bytes([b'0', b'0', b'0', behind])) & keep;
        // The first digit becomes the highest, above it what is 0 if `behind` is right.
        let ordered = digits.swap_bytes().rotate_right(8);
        // The third byte of the product: the first digit times 100, the second times 10, the third.
        (least..=0x02_05_05).contains(&ordered).then_some((digits.wrapping_mul(0x64_0a_01) >> 16) as u8)
    }

    /// A port with `behind` behind it.
    #[inline(always)]
    fn port(&mut self, behind: u8) -> Option<u16> {
        let (end, count) = self.next();
        let (keep, least) = *PORTS.get(count)?;
        let word = u64::from_le_bytes(*self.input.get(end - 7..)?.first_chunk()?);
        let digits = (word ^ ZEROS ^ u64::from(behind ^ b'0') << 56) & keep;
        let ordered = digits.swap_bytes().rotate_right(8);
        let value = digits.to_le_bytes()[2..7]
            .iter()
            .fold(0, |value: u16, &digit| value.wrapping_mul(10).wrapping_add(digit.into()));
        (least..=0x06_05_05_03_05).contains(&ordered).then_some(value)
    }

    /// Where the next number ends, and how many digits it has.
    #[inline(always)]
    fn next(&mut self) -> (usize, usize) {
        let end = BEGIN.len() + self.ends.trailing_zeros() as usize;
        self.ends &= self.ends.wrapping_sub(1);
        let count = end.wrapping_sub(self.start);
        self.start = end + 1;
        (end, count)
    }
}
