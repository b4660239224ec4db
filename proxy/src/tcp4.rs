//! A whole `PROXY TCP4` line, eight bytes at a time: first the ends of all numbers, then each number.
//!
//! The length of the numbers varies from line to line. A branch for each byte would often be mispredicted.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::{Addresses, Command, Header, Tlvs, Transport, Version};

/// What every such line begins with.
const START: [u8; 11] = *b"PROXY TCP4 ";

/// Eight-byte words that cover the longest line: it has 45 bytes after `START`.
const MAX_WORDS: usize = 6;

/// The digit `0` in each byte. XOR with it turns digits into their values, and other bytes into more than 9.
const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

/// By count of digits in an octet: the mask of the digits and the delimiter in a four-byte word, and the smallest value
/// without a leading zero, one digit a byte.
const OCTET_FORMS: [(u32, u32); 4] = [(0, u32::MAX), (!0 << 16, 0), (!0 << 8, 0x01_00), (!0, 0x01_00_00)];

/// The same for a port, in an eight-byte word.
const PORT_FORMS: [(u64, u64); 6] = [
    (0, u64::MAX),
    (!0 << 48, 0),
    (!0 << 40, 0x01_00),
    (!0 << 32, 0x01_00_00),
    (!0 << 24, 0x01_00_00_00),
    (!0 << 16, 0x01_00_00_00_00),
];

/// The header that `input` begins with, or `None` if it is any other line, unfinished or invalid.
#[inline(always)]
pub(super) fn parse(input: &[u8]) -> Option<Header<'_>> {
    let after = input.strip_prefix(&START)?;
    let mut numbers = Numbers { input, ends: ends(after)?, start: START.len() };
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

/// A bit for each byte of `line` that is not a digit, as far as the longest line goes. The lowest bit is the first byte's.
#[inline(always)]
fn ends(line: &[u8]) -> Option<u64> {
    let (words, rest) = line.as_chunks();
    let mut ends = 0;
    for (index, word) in words.iter().take(MAX_WORDS).enumerate() {
        ends |= no_digits(*word) << (8 * index);
    }
    if words.len() < MAX_WORDS {
        ends |= no_digits(*line.last_chunk()?) >> (8 - rest.len()) << (8 * words.len());
    }
    Some(ends)
}

/// A bit for each byte of `word` that is not a digit. After a byte above 127 a digit may get a bit too; valid lines have no
/// such bytes.
#[inline(always)]
fn no_digits(word: [u8; 8]) -> u64 {
    let digits = u64::from_le_bytes(word) ^ ASCII_ZEROS;
    // The highest bit of each byte is set from 10 on by the addition, and from 128 on by the byte itself.
    let found = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    // The multiplication gathers these bits in the highest byte.
    (found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

struct Numbers<'a> {
    input: &'a [u8],
    /// A bit for the end of each number that is left, counted from the end of `START`.
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

    /// An octet that ends in the byte `delimiter`.
    #[inline(always)]
    fn octet(&mut self, delimiter: u8) -> Option<u8> {
        let (end, count) = self.next();
        let (keep, least) = *OCTET_FORMS.get(count)?;
        let word = u32::from_le_bytes(*self.input.get(end - 3..)?.first_chunk()?);
        let digits = (word ^ u32::from_le_bytes([b'0', b'0', b'0', delimiter])) & keep;
        // The first digit becomes the highest. Above it stands the delimiter, which is 0 if it is the right one.
        let ordered = digits.swap_bytes().rotate_right(8);
        // The third byte of the product is the sum of the first digit times 100, the second times 10, and the third.
        (least..=0x02_05_05).contains(&ordered).then_some((digits.wrapping_mul(0x64_0a_01) >> 16) as u8)
    }

    /// A port that ends in the byte `delimiter`.
    #[inline(always)]
    fn port(&mut self, delimiter: u8) -> Option<u16> {
        let (end, count) = self.next();
        let (keep, least) = *PORT_FORMS.get(count)?;
        let word = u64::from_le_bytes(*self.input.get(end - 7..)?.first_chunk()?);
        let digits = (word ^ ASCII_ZEROS ^ u64::from(delimiter ^ b'0') << 56) & keep;
        let ordered = digits.swap_bytes().rotate_right(8);
        let value = digits.to_le_bytes()[2..7]
            .iter()
            .fold(0, |value: u16, &digit| value.wrapping_mul(10).wrapping_add(digit.into()));
        (least..=0x06_05_05_03_05).contains(&ordered).then_some(value)
    }

    /// The end of the next number, and how many digits it has.
    #[inline(always)]
    fn next(&mut self) -> (usize, usize) {
        let end = START.len() + self.ends.trailing_zeros() as usize;
        self.ends &= self.ends.wrapping_sub(1);
        let count = end.wrapping_sub(self.start);
        self.start = end + 1;
        (end, count)
    }
}
