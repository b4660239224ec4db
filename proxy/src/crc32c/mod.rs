//! CRC32C (Castagnoli), the checksum of a version 2 header (section 2.2.3).
//!
//! With feature `std` it uses the processor's CRC32C instruction, otherwise a table.

#[cfg(feature = "std")]
use ::crc32c::crc32c_append as append;
#[cfg(not(feature = "std"))]
use table::append;

#[cfg(any(test, not(feature = "std")))]
mod table;

/// The longest header, in bytes, that is copied in order to compute its checksum in one call. Longer ones take three calls.
const MAX_COPIED_LEN: usize = 128;

/// Aligned, because reading whole words is fastest at multiples of their length.
#[repr(align(8))]
struct Aligned([u8; MAX_COPIED_LEN]);

/// The CRC32C of `bytes`.
#[must_use]
pub fn of(bytes: &[u8]) -> u32 {
    append(0, bytes)
}

/// The CRC32C of `bytes` with zeros in place of the four bytes at `at`: of a header, with its checksum's value there.
///
/// # Panics
///
/// If `bytes` ends before those four bytes.
#[must_use]
pub fn with_zeros(bytes: &[u8], at: usize) -> u32 {
    let mut buffer = Aligned([0; MAX_COPIED_LEN]);
    if let Some(copy) = buffer.0.get_mut(..bytes.len()) {
        copy.copy_from_slice(bytes);
        copy[at..at + 4].fill(0);
        return of(copy);
    }
    let crc = append(of(&bytes[..at]), &[0; 4]);
    append(crc, &bytes[at + 4..])
}

#[cfg(test)]
mod tests {
    use super::{append, of, table, with_zeros};

    /// The examples of RFC 3720, appendix B.4.
    #[test]
    fn the_published_checksums() {
        let ascending: [u8; 32] = core::array::from_fn(|index| index as u8);
        for (bytes, expected) in [
            (b"123456789".as_slice(), 0xE306_9283),
            (&[0; 32], 0x8A91_36AA),
            (&[0xff; 32], 0x62A8_AB43),
            (&ascending, 0x46DD_794E),
        ] {
            assert_eq!(of(bytes), expected);
            assert_eq!(table::append(0, bytes), expected, "by the table");
        }
    }

    #[test]
    fn the_table_agrees_at_every_length_from_every_start() {
        let bytes: [u8; 64] = core::array::from_fn(|index| (index * 151) as u8);
        for length in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(length);
            assert_eq!(table::append(table::append(0, head), tail), of(&bytes), "{length}");
            assert_eq!(append(0, head), table::append(0, head), "{length}");
        }
    }

    #[test]
    fn zeros_wherever_they_stand_in_what_is_copied_and_what_is_not() {
        let all: [u8; 200] = core::array::from_fn(|index| index as u8 + 1);
        for length in [4, 5, 100, 127, 128, 129, 200] {
            let bytes = &all[..length];
            for at in 0..=bytes.len() - 4 {
                let mut zeroed = all;
                zeroed[at..at + 4].fill(0);
                assert_eq!(with_zeros(bytes, at), of(&zeroed[..length]), "{length}, {at}");
            }
        }
    }
}
