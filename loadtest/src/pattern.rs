//! What connections say: each its own stream, so that a byte that is changed, left out, repeated or another connection's
//! is seen, and its kind can be told.
//!
//! One table of random letters serves all. A connection's stream runs round it from a place of its own; so a message is sent
//! straight from the table, verifying it is one comparison of memory, and nothing is generated or copied.

use memchr::memmem;

/// The table is at least as long, unless that many letters cannot be told apart from fewer.
const MIN_LENGTH: usize = 64 * 1024;
/// The most connections that have a place of their own.
const MAX_PLACES: usize = 32 * 1024;
/// What can be sent or compared in one piece, wherever in the table it begins.
pub const MAX_PIECE: usize = 256 * 1024;
/// The largest message: the table has room for several.
pub const MAX_SIZE: usize = 16 * 1024 * 1024;
/// Bytes that are looked for to find out where in the table others are: 4 bits of chance each.
const WINDOW: usize = 24;

/// Letters that text protocols pass unchanged.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

/// The streams of all connections.
#[derive(Debug)]
pub struct Pattern {
    /// `length` bytes, and the first of them again as far as a piece reaches.
    table: Box<[u8]>,
    length: usize,
    /// Streams begin at its multiples. It divides a message, and each of its multiples has an LF before it, so that every
    /// message ends in LF: servers that echo whole lines echo whole messages.
    unit: usize,
    places: usize,
}

impl Pattern {
    /// For messages of `size` bytes, and about this many connections.
    #[must_use]
    pub fn new(size: usize, connections: u64) -> Self {
        let unit = (16..=128).rev().find(|unit| size.is_multiple_of(*unit)).unwrap_or(size).max(1);
        let enough = (connections.min(MAX_PLACES as u64) as usize).max(13);
        let places = next_prime((MIN_LENGTH / unit).max(if unit <= 1024 { enough } else { 13 }));
        let length = unit * places;
        let mut random = fastrand::Rng::with_seed(0x0001_04d7_e575);
        let mut table = vec![0; length + MAX_PIECE];
        for (index, byte) in table[..length].iter_mut().enumerate() {
            // Below 8 bytes the LF would leave too little that is a connection's own.
            let ends_line = unit >= 8 && index % unit == unit - 1;
            *byte = if ends_line { b'\n' } else { LETTERS[random.usize(..64)] };
        }
        for index in length..table.len() {
            table[index] = table[index - length];
        }
        Pattern { table: table.into_boxed_slice(), length, unit, places }
    }

    /// Where the stream of connection `number` begins. The first 32,768 connections
    /// have each their own, unless messages are so large that the table would be, too.
    #[must_use]
    pub fn start(&self, number: u64) -> usize {
        // Consecutive numbers lie far apart: a message of one connection must not look like one of the next.
        let stride = (self.places as u64).wrapping_mul(618) / 1000 + 1;
        let place = u128::from(number) * u128::from(stride) % self.places as u128;
        place as usize * self.unit
    }

    /// The piece that begins at `at`, of as many of `count` bytes as there are in one piece.
    #[must_use]
    #[inline]
    pub fn piece(&self, at: usize, count: usize) -> &[u8] {
        &self.table[at..at + count.min(MAX_PIECE)]
    }

    /// The place `count` bytes after `at`.
    #[must_use]
    #[inline]
    pub fn after(&self, at: usize, count: usize) -> usize {
        let mut place = at + count;
        while place >= self.length {
            place -= self.length;
        }
        place
    }

    /// How far `to` is behind `from`, going round.
    #[must_use]
    pub fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.length - from }
    }

    /// How many of `bytes` are those from `at` on, until the first that is not.
    #[must_use]
    pub fn matching(&self, at: usize, bytes: &[u8]) -> usize {
        let expected = self.piece(at, bytes.len());
        expected.iter().zip(bytes).position(|(expected, byte)| expected != byte).unwrap_or(expected.len())
    }

    /// How many of `bytes` are in their places from `at` on.
    #[must_use]
    pub fn agreeing(&self, at: usize, bytes: &[u8]) -> usize {
        self.piece(at, bytes.len()).iter().zip(bytes).filter(|(expected, byte)| expected == byte).count()
    }

    /// The places in the table where `bytes` could be from; none if they are too few to tell.
    pub fn places_of<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let window = &bytes[..bytes.len().min(WINDOW)];
        let searched = if window.len() < WINDOW / 3 { &[][..] } else { &self.table[..self.length + window.len() - 1] };
        memmem::find_iter(searched, window)
    }
}

/// A prime number of units makes the streams of all connections go through all places.
fn next_prime(from: usize) -> usize {
    let is_prime = |number: usize| (2..=number.isqrt()).all(|divisor| !number.is_multiple_of(divisor));
    // There is one below twice any number (Bertrand).
    (from..2 * from).find(|&number| is_prime(number)).unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_ends_in_a_line_feed_and_connections_differ() {
        for size in [8, 64, 100, 127, 1000, 65_536, 1_000_003] {
            let pattern = Pattern::new(size, 1000);
            let mut at = pattern.start(7);
            for _ in 0..300 {
                assert_eq!(pattern.piece(pattern.after(at, size - 1), 1), b"\n", "size {size}");
                at = pattern.after(at, size);
            }
            let distinct = 13.min(pattern.places as u64);
            for number in 1..distinct {
                assert_ne!(pattern.piece(pattern.start(0), 8), pattern.piece(pattern.start(number), 8), "size {size}");
            }
        }
    }

    #[test]
    fn twenty_thousand_connections_have_places_of_their_own() {
        let pattern = Pattern::new(64, 20_000);
        let places: std::collections::HashSet<_> = (0..20_000).map(|number| pattern.start(number)).collect();
        assert_eq!(places.len(), 20_000);
    }
}
