//! Parses a whole `PROXY TCP4` line, eight bytes at a time: first it finds the ends of all numbers, then reads each number.
//!
//! The length of the numbers varies from line to line. A branch for each byte would often be mispredicted.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::{Addresses, Command, Header, Tlvs, Transport, Version};

/// The start of every such line.
const START: [u8; 11] = *b"PROXY TCP4 ";

/// Number of eight-byte words that cover the longest line, which has 45 bytes after `START`.
const MAX_WORDS: usize = 6;

/// The digit `0` in each byte. XOR with it turns digits into their values, and other bytes into more than 9.
const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

/// Indexed by the number of digits in an octet: the mask of the digits and the delimiter in a four-byte word, and the
/// smallest value without a leading zero, one digit in each byte.
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

/// Parses the header at the start of `input`. `None` if it is unfinished, invalid or any other line.
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

/// One bit for each byte of `line` up to the length of the longest line: set if the byte is not a digit. The lowest bit
/// belongs to the first byte.
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

/// One bit for each byte of `word`: set if the byte is not a digit. The bit of a digit after a byte above 127 may be set
/// too; valid lines have no such bytes.
#[inline(always)]
fn no_digits(word: [u8; 8]) -> u64 {
    let digits = u64::from_le_bytes(word) ^ ASCII_ZEROS;
    // The addition sets a byte's highest bit for values from 10 to 127; from 128 on the byte has it set itself.
    let found = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    // The multiplication gathers these bits in the highest byte.
    (found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

struct Numbers<'a> {
    input: &'a [u8],
    /// One bit for the end of each unread number, counted from the end of `START`.
    ends: u64,
    /// Where the next number begins.
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
        // The first digit moves to the highest place. The delimiter is above it: 0 if it is the right one.
        let ordered = digits.swap_bytes().rotate_right(8);
        // The third byte of the product is: first digit × 100 + second digit × 10 + third digit.
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
