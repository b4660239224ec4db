//! CRC32C (Castagnoli), the checksum of section 2.2.3.

/// The CRC32C of `parts`, one behind the other.
pub(crate) fn of(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| ::crc32c::crc32c_append(crc, part))
}

#[cfg(test)]
mod tests {
    use super::of;

    /// RFC 3720, appendix B.4.
    #[test]
    fn the_published_vectors() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(of(&[b"123456789"]), 0xE306_9283);
        assert_eq!(of(&[&[0; 32]]), 0x8A91_36AA);
        assert_eq!(of(&[&[0xff; 32]]), 0x62A8_AB43);
        assert_eq!(of(&[&ascending]), 0x46DD_794E);
    }

    #[test]
    fn where_the_parts_are_cut_does_not_matter() {
        let bytes: Vec<u8> = (0..100).collect();
        for cut in 0..100 {
            assert_eq!(of(&[&bytes[..cut], &bytes[cut..]]), of(&[&bytes]));
        }
    }
}
