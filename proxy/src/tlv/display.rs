//! Displays TLVs as printable ASCII on one line, whatever bytes the sender put into them.

use core::fmt;

use super::{Iter, MAX_DISPLAYED, MAX_DISPLAYED_BYTES, Ssl, Tlv, Tlvs, Value};
use crate::escape::{Escaped, Hex};

impl<'a> Tlvs<'a> {
    /// The TLVs that are displayed: at most [`MAX_DISPLAYED`], with at most [`MAX_DISPLAYED_BYTES`] of values together, so
    /// that a displayed header has a limit. A TLV that is too long for the rest of the limit is left out.
    #[must_use]
    pub fn displayed(self) -> Displayed<'a> {
        Displayed { tlvs: self.iter(), left: MAX_DISPLAYED, left_bytes: MAX_DISPLAYED_BYTES }
    }

    /// The number of TLVs that are not displayed.
    #[must_use]
    pub fn not_displayed(self) -> usize {
        self.iter().count() - self.displayed().count()
    }
}

/// The iterator of [`Tlvs::displayed`].
#[derive(Clone, Debug)]
pub struct Displayed<'a> {
    tlvs: Iter<'a>,
    left: usize,
    left_bytes: usize,
}

impl<'a> Iterator for Displayed<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (tlv, left_bytes) =
            self.tlvs.find_map(|tlv| Some((tlv, self.left_bytes.checked_sub(displayed_bytes(tlv))?)))?;
        self.left_bytes = left_bytes;
        Some(tlv)
    }
}

/// Bytes of the value that are displayed.
fn displayed_bytes(tlv: Tlv<'_>) -> usize {
    match tlv.decode() {
        Value::Text(text) => text.len().min(Escaped::LIMIT),
        Value::Bytes(bytes) => bytes.len().min(Hex::LIMIT),
        // The nested TLVs have their own limit.
        Value::Ssl(ssl) => ssl.tlvs.as_bytes().len().min(MAX_DISPLAYED_BYTES),
        Value::Checksum(_) | Value::Padding(_) | Value::Id(_) => 0,
    }
}

impl<'a> Tlv<'a> {
    /// Displays the name of the type, or its number (`0xe5`) if it has no name.
    #[must_use]
    pub fn label(self) -> impl fmt::Display + use<'a> {
        Label(self)
    }
}

struct Label<'a>(Tlv<'a>);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:02x}", self.0.kind),
        }
    }
}

/// The name and the value, such as `AUTHORITY "example.com"`, `NOOP of 3 bytes` or `0xe5 0a0b`.
impl fmt::Display for Tlv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.label(), self.decode())
    }
}

/// The TLVs of [`Tlvs::displayed`], separated by commas; the others are counted: `, and 3 more`.
impl fmt::Display for Tlvs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tlv) in self.displayed().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{tlv}")?;
        }
        match self.not_displayed() {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// Text is quoted and escaped by [`Escaped`]; bytes are written in hexadecimal by [`Hex`].
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::Text(text) => write!(f, "\"{}\"", Escaped(text)),
            Value::Checksum(checksum) => write!(f, "0x{checksum:08x}"),
            Value::Padding(length) => write!(f, "of {length} bytes"),
            Value::Id(id) => write!(f, "{id}"),
            Value::Bytes(bytes) => write!(f, "{}", Hex(bytes)),
            Value::Ssl(ssl) => ssl.fmt(f),
        }
    }
}

/// In parentheses: the bits, the result of verification, and the TLVs inside.
impl fmt::Display for Ssl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ssl { client, verify, tlvs } = self;
        write!(f, "(client 0x{client:02x}, verify {verify}")?;
        if !tlvs.is_empty() {
            write!(f, ", {tlvs}")?;
        }
        f.write_str(")")
    }
}
