//! CRC32C (Castagnoli), the checksum of section 2.2.3: reflected polynomial 0x82F63B78, eight bytes a step.

/// The CRC32C of `parts`, one behind the other.
pub(crate) fn of(parts: &[&[u8]]) -> u32 {
    !parts.iter().fold(!0, |crc, part| update(crc, part))
}

fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    let (steps, rest) = bytes.as_chunks::<8>();
    for step in steps {
        let word = u64::from_le_bytes(*step) ^ u64::from(crc);
        crc =
            word.to_le_bytes().iter().rev().zip(&TABLES).fold(0, |crc, (&byte, table)| crc ^ table[usize::from(byte)]);
    }
    rest.iter().fold(crc, |crc, &byte| (crc >> 8) ^ TABLES[0][usize::from(byte ^ crc as u8)])
}

/// `TABLES[n][b]` is the CRC of the byte `b` with `n` zero bytes behind it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut n = 0;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            tables[n][byte] = if n == 0 { shifted(byte as u32, 8) } else { shifted(tables[n - 1][byte], 8) };
            byte += 1;
        }
        n += 1;
    }
    tables
}

const fn shifted(mut crc: u32, bits: u32) -> u32 {
    let mut bit = 0;
    while bit < bits {
        crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
        bit += 1;
    }
    crc
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
