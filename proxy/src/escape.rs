//! Bytes that a peer sent, made safe to read: none of them can control a terminal or end a line.

use core::fmt::{self, Write};

/// Prints bytes as ASCII. CR and LF are printed as `<CR>` and `<LF>`, every other byte that is not printable in hexadecimal, as
/// `<1B>`. So are `<`, since every `<` begins an escape, and `"`, since texts are printed between quotes. Bytes beyond
/// [`Escaped::MAX_SHOWN`] are counted: `<+12 bytes>`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl Escaped<'_> {
    /// Most bytes that are shown, so that a line of a log has a limit.
    pub const MAX_SHOWN: usize = 1024;
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.iter().take(Self::MAX_SHOWN) {
            match byte {
                b'\r' => f.write_str("<CR>")?,
                b'\n' => f.write_str("<LF>")?,
                b' '..=b'~' if byte != b'<' && byte != b'"' => f.write_char(byte.into())?,
                _ => write!(f, "<{byte:02X}>")?,
            }
        }
        more(f, self.0.len(), Self::MAX_SHOWN)
    }
}

/// Prints bytes in hexadecimal. Bytes beyond [`Hex::MAX_SHOWN`] are counted: `<+12 bytes>`.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl Hex<'_> {
    /// Most bytes that are shown.
    pub const MAX_SHOWN: usize = 128;
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(Self::MAX_SHOWN).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        more(f, self.0.len(), Self::MAX_SHOWN)
    }
}

fn more(f: &mut fmt::Formatter<'_>, length: usize, limit: usize) -> fmt::Result {
    if length > limit { write!(f, "<+{} bytes>", length - limit) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    use super::{Escaped, Hex};

    #[test]
    fn only_printable_ascii_comes_through() {
        assert_eq!(Escaped(b"Hello\r\n").to_string(), "Hello<CR><LF>");
        assert_eq!(Escaped(b"\x1b[2J \x07\0\x7f\t").to_string(), "<1B>[2J <07><00><7F><09>");
        assert_eq!(Escaped("<LF>\"é\u{202e}".as_bytes()).to_string(), "<3C>LF><22><C3><A9><E2><80><AE>");
        let all: Vec<u8> = (0..=255).collect();
        assert!(Escaped(&all).to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }

    #[test]
    fn what_is_cut_is_counted() {
        assert_eq!(Escaped(&[b'a'; 1036]).to_string(), "a".repeat(1024) + "<+12 bytes>");
        assert_eq!(Hex(&[0xab; 130]).to_string(), "ab".repeat(128) + "<+2 bytes>");
    }
}
