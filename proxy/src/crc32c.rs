//! CRC32C (Castagnoli), the checksum of a version 2 header (section 2.2.3).

/// Longer headers are not copied.
const COPIED: usize = 128;

/// Whole words are quickest where words begin.
#[repr(align(8))]
struct Aligned([u8; COPIED]);

/// The CRC32C of `bytes`.
#[must_use]
pub fn of(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// The CRC32C of `bytes` with zeros in place of the four bytes at `at`: of a header, with its checksum's value there.
///
/// # Panics
///
/// If `bytes` ends before those four do.
#[must_use]
pub fn with_zeros(bytes: &[u8], at: usize) -> u32 {
    let mut buffer = Aligned([0; COPIED]);
    if let Some(copy) = buffer.0.get_mut(..bytes.len()) {
        copy.copy_from_slice(bytes);
        copy[at..at + 4].fill(0);
        return of(copy);
    }
    let crc = ::crc32c::crc32c_append(of(&bytes[..at]), &[0; 4]);
    ::crc32c::crc32c_append(crc, &bytes[at + 4..])
}

#[cfg(test)]
mod tests {
    use super::{of, with_zeros};

    /// RFC 3720, appendix B.4.
    #[test]
    fn the_published_checksums() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(of(b"123456789"), 0xE306_9283);
        assert_eq!(of(&[0; 32]), 0x8A91_36AA);
        assert_eq!(of(&[0xff; 32]), 0x62A8_AB43);
        assert_eq!(of(&ascending), 0x46DD_794E);
    }

    #[test]
    fn zeros_wherever_they_stand_in_what_is_copied_and_what_is_not() {
        for length in [4, 5, 100, 127, 128, 129, 200] {
            let bytes: Vec<u8> = (1..=length).collect();
            for at in 0..=bytes.len() - 4 {
                let mut zeroed = bytes.clone();
                zeroed[at..at + 4].fill(0);
                assert_eq!(with_zeros(&bytes, at), of(&zeroed), "{length}, {at}");
            }
        }
    }
}
