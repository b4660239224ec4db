//! TLVs in words: printable ASCII on one line, whatever the sender put into them.

use core::fmt;

use super::{MAX_DISPLAYED, Ssl, Tlv, Tlvs, Value};
use crate::escape::{Escaped, Hex};

impl<'a> Tlv<'a> {
    /// The name of the type, or its number (`0xe5`) where it has none, to be displayed.
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

/// The TLVs between commas; of more than [`MAX_DISPLAYED`], the rest is counted: `, and 3 more`.
impl fmt::Display for Tlvs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tlv) in self.iter().take(MAX_DISPLAYED).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{tlv}")?;
        }
        match self.iter().skip(MAX_DISPLAYED).count() {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// Text is quoted and escaped as [`Escaped`] does it; bytes are in hexadecimal as [`Hex`] does it.
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
