//! Escapes bytes that a peer sent, so that they can neither control a terminal nor end a line.

use core::fmt;

/// Prints bytes as ASCII. CR and LF are `<CR>` and `<LF>`, as in the article that this server follows. Every other byte
/// that is not printable is in hexadecimal, as `<1B>`. So are `<` and `"`: every printed `<` begins an escape, and a text
/// in quotes ends at the next `"`. Bytes over the limit are counted: `<+12 bytes>`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl Escaped<'_> {
    /// Most bytes shown, so that a line of the log has a limit.
    pub(crate) const LIMIT: usize = 1024;
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = &self.0[..self.0.len().min(Self::LIMIT)];
        while !left.is_empty() {
            // Bytes that need no escape are written in one piece.
            let (plain, behind) = left.split_at(left.iter().position(|&byte| !is_plain(byte)).unwrap_or(left.len()));
            f.write_str(ascii(plain))?;
            let (special, behind) =
                behind.split_at(behind.iter().position(|&byte| is_plain(byte)).unwrap_or(behind.len()));
            for bytes in special.chunks(Line::BYTES / ESCAPE_LEN) {
                let mut line = Line::default();
                for &byte in bytes {
                    line.push(&escape(byte));
                }
                f.write_str(line.text())?;
            }
            left = behind;
        }
        more(f, self.0.len(), Self::LIMIT)
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'<' && byte != b'"'
}

const ESCAPE_LEN: usize = 4;

fn escape(byte: u8) -> [u8; ESCAPE_LEN] {
    let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
    match byte {
        b'\r' => *b"<CR>",
        b'\n' => *b"<LF>",
        _ => [b'<', digit(byte >> 4), digit(byte & 15), b'>'],
    }
}

/// Prints bytes in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl Hex<'_> {
    /// Most bytes shown.
    pub(crate) const LIMIT: usize = 128;
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        for bytes in self.0[..self.0.len().min(Self::LIMIT)].chunks(Line::BYTES / 2) {
            let mut line = Line::default();
            for &byte in bytes {
                line.push(&[digit(byte >> 4), digit(byte & 15)]);
            }
            f.write_str(line.text())?;
        }
        more(f, self.0.len(), Self::LIMIT)
    }
}

/// Collects text for a formatter: one long piece costs less than many short ones.
struct Line {
    bytes: [u8; Line::BYTES],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Line { bytes: [0; Line::BYTES], len: 0 }
    }
}

impl Line {
    const BYTES: usize = 64;

    fn push<const N: usize>(&mut self, piece: &[u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(piece);
        self.len += N;
    }

    fn text(&self) -> &str {
        ascii(&self.bytes[..self.len])
    }
}

/// The bytes as text. They are ASCII, so that the conversion does not fail.
fn ascii(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
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
    fn runs_of_every_length_come_through_whole() {
        for length in 0..70 {
            let plain = "a".repeat(length);
            let special = "\x01".repeat(length);
            let mixed = std::format!("{special}{plain}{special}");
            let escaped = "<01>".repeat(length);
            assert_eq!(Escaped(mixed.as_bytes()).to_string(), std::format!("{escaped}{plain}{escaped}"));
            assert_eq!(Hex(special.as_bytes()).to_string(), "01".repeat(length));
        }
    }

    #[test]
    fn what_is_cut_is_counted() {
        assert_eq!(Escaped(&[b'a'; 1036]).to_string(), "a".repeat(1024) + "<+12 bytes>");
        assert_eq!(Hex(&[0xab; 130]).to_string(), "ab".repeat(128) + "<+2 bytes>");
    }
}
