//! Reads bytes from hexadecimal text: digits with any separators, or a dump with offsets and an ASCII column.

use std::fmt;

/// Reads the bytes of `text`, line by line.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        if is_number(line, 7) && usize::from_str_radix(line, 16) == Ok(bytes.len()) && !bytes.is_empty() {
            // The last line of hexdump -C is only an offset.
            break;
        }
        let digits = digits(line, bytes.len()).replace("0x", " ").replace("0X", " ").replace("\\x", " ");
        for word in digits.split(|c: char| c.is_whitespace() || ",;:-".contains(c)) {
            if let Some(wrong) = word.chars().find(|c| !c.is_ascii_hexdigit()) {
                return Err(HexError::NoDigit(wrong));
            }
            if word.len() % 2 == 1 {
                return Err(HexError::Odd(word.to_owned()));
            }
            let value = |at| u8::from_str_radix(&word[at..at + 2], 16).ok();
            bytes.extend((0..word.len()).step_by(2).filter_map(value));
        }
    }
    Ok(bytes)
}

/// The digits of a dump's line, without its offset and ASCII column. `done` bytes come before it.
fn digits(line: &str, done: usize) -> &str {
    let line = line.trim();
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    // xxd and tcpdump: `00000010: 2111 000c  !...`, `0x0010:  2111 000c  !...`
    if let Some(offset) = first.strip_suffix(':')
        && is_number(offset.strip_prefix("0x").unwrap_or(offset), 4)
    {
        let rest = rest.trim_start();
        return rest.split_once("  ").map_or(rest, |(digits, _)| digits);
    }
    // hexdump -C: `00000010  21 11 00 0c  |!...|`
    if is_number(first, 7)
        && let Some((digits, _)) = rest.split_once('|')
    {
        return digits;
    }
    // Wireshark: `0010  21 11 00 0c   !...`. The first number is an offset if it is correct and two spaces follow.
    if is_number(first, 4) && rest.starts_with(' ') && usize::from_str_radix(first, 16) == Ok(done) {
        let rest = rest.trim_start();
        return rest.split_once("   ").map_or(rest, |(digits, _)| digits);
    }
    line
}

fn is_number(text: &str, least: usize) -> bool {
    text.len() >= least && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// The text is not hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HexError {
    /// A character that is not a digit.
    NoDigit(char),
    /// A word has an odd number of digits.
    Odd(String),
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HexError::NoDigit(found) => write!(f, "--hex: {found:?} is not a hexadecimal digit"),
            HexError::Odd(word) => write!(f, "--hex: {word:?} has an odd number of digits"),
        }
    }
}

impl std::error::Error for HexError {}
