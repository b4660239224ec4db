//! The payload of connections. Each connection has its own stream of bytes, so that a byte that is changed, lost,
//! repeated or from another connection is detected, and the kind of error is known.
//!
//! All share one table of random letters. A connection's stream goes round the table from its own start. A message is
//! therefore sent directly from the table, verifying it is one comparison of memory, and nothing is generated or
//! copied.

use memchr::memmem;

/// The shortest table in bytes.
const MIN_LENGTH: usize = 64 * 1024;
/// Most connections with their own start in the table.
const MAX_PLACES: usize = 32 * 1024;
/// Most bytes that can be sent or compared in one piece from any place in the table.
pub const MAX_PIECE: usize = 256 * 1024;
/// The largest message in bytes. The table has room for several.
pub const MAX_SIZE: usize = 16 * 1024 * 1024;
/// The number of bytes to search for when looking for a place in the table. Each letter has 6 bits of randomness.
const WINDOW: usize = 24;

/// Letters that text protocols do not change.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

/// The streams of all connections.
#[derive(Debug)]
pub struct Pattern {
    /// `length` bytes, followed by the first [`MAX_PIECE`] of them again.
    table: Box<[u8]>,
    length: usize,
    /// Streams begin at multiples of the unit. It divides a message, and the byte before each multiple is an LF. Every
    /// message therefore ends in LF, and servers that echo whole lines echo whole messages.
    unit: usize,
    places: usize,
}

impl Pattern {
    /// A pattern for messages of `size` bytes and about `connections` connections.
    #[must_use]
    pub fn new(size: usize, connections: u64) -> Self {
        let unit = (16..=128).rev().find(|unit| size.is_multiple_of(*unit)).unwrap_or(size).max(1);
        let enough = (connections.min(MAX_PLACES as u64) as usize).max(13);
        let places = next_prime((MIN_LENGTH / unit).max(if unit <= 1024 { enough } else { 13 }));
        let length = unit * places;
        let mut random = fastrand::Rng::with_seed(0x0001_04d7_e575);
        let mut table = vec![0; length + MAX_PIECE];
        for (index, byte) in table[..length].iter_mut().enumerate() {
            // In messages below 8 bytes an LF would leave too few bytes to tell connections apart.
            let ends_line = unit >= 8 && index % unit == unit - 1;
            *byte = if ends_line { b'\n' } else { LETTERS[random.usize(..64)] };
        }
        for index in length..table.len() {
            table[index] = table[index - length];
        }
        Pattern { table: table.into_boxed_slice(), length, unit, places }
    }

    /// The start of the stream of connection `number`. Each of the first 32,768 connections has its own, unless that
    /// would make the table too large because messages are large.
    #[must_use]
    pub fn start(&self, number: u64) -> usize {
        // Put consecutive connections far apart, so that a message of one does not look like one of the next.
        let stride = (self.places as u64).wrapping_mul(618) / 1000 + 1;
        let place = u128::from(number) * u128::from(stride) % self.places as u128;
        place as usize * self.unit
    }

    /// The piece at `at`: as many of `count` bytes as one piece has.
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

    /// The distance from `from` on to `to`, going round.
    #[must_use]
    pub fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.length - from }
    }

    /// The number of `bytes` that equal the table from `at` on, up to the first that differs.
    #[must_use]
    pub fn matching(&self, at: usize, bytes: &[u8]) -> usize {
        let expected = self.piece(at, bytes.len());
        expected.iter().zip(bytes).position(|(expected, byte)| expected != byte).unwrap_or(expected.len())
    }

    /// The number of all `bytes` that equal the table from `at` on.
    #[must_use]
    pub fn agreeing(&self, at: usize, bytes: &[u8]) -> usize {
        self.piece(at, bytes.len()).iter().zip(bytes).filter(|(expected, byte)| expected == byte).count()
    }

    /// The places in the table where `bytes` can be from; none if there are too few bytes.
    pub fn places_of<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let window = &bytes[..bytes.len().min(WINDOW)];
        let searched = if window.len() < WINDOW / 3 { &[][..] } else { &self.table[..self.length + window.len() - 1] };
        memmem::find_iter(searched, window)
    }
}

/// The next prime: with a prime number of units, the strides of all connections visit every place.
fn next_prime(from: usize) -> usize {
    let is_prime = |number: usize| (2..=number.isqrt()).all(|divisor| !number.is_multiple_of(divisor));
    // There is always one below twice the number (Bertrand's postulate).
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
