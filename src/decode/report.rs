//! An explained header as a table, or as JSON.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Decoded, Field, Outcome};
use crate::observe::events::Event;
use crate::observe::json::header_fields;
use proxy::escape::Escaped;
use proxy::{Error, Header, Status};

/// The bytes that version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

impl fmt::Display for Decoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.fields.is_empty() {
            writeln!(f, "  offset   bytes  field")?;
        }
        let width = self.fields.iter().map(|field| 2 * field.depth + field.name.len()).max().unwrap_or(0);
        for Field { offset, length, depth, name, value, is_wrong } in &self.fields {
            let (mark, indent) = (if *is_wrong { '!' } else { ' ' }, 2 * depth);
            writeln!(f, "{mark} {offset:>6}  {length:>6}  {:indent$}{name:<1$}  {value}", "", width - indent)?;
        }
        if !self.fields.is_empty() {
            f.write_str("\n")?;
        }
        match self.outcome {
            Outcome::Valid(header) => writeln!(f, "valid: {}, {} bytes", Event::Header(&header), header.len()),
            Outcome::Incomplete(Some(missing)) => writeln!(f, "incomplete: {missing} more bytes are due"),
            Outcome::Incomplete(None) => writeln!(f, "incomplete: what is there can still become a header"),
            Outcome::Invalid(error, at) => {
                writeln!(f, "invalid: {error} at byte {at} ({})", error.section())?;
                hint(self.input, error).map_or(Ok(()), |hint| writeln!(f, "{hint}"))
            }
        }
    }
}

impl Decoded<'_> {
    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> String {
        // No map in it has keys that are not strings.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Decoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.outcome {
            Outcome::Valid(header) => {
                map.serialize_entry("status", "valid")?;
                map.serialize_entry("length", &header.len())?;
                header_fields(header, &mut map)?;
            }
            Outcome::Incomplete(missing) => {
                map.serialize_entry("status", "incomplete")?;
                map.serialize_entry("missing", missing)?;
            }
            Outcome::Invalid(error, at) => {
                map.serialize_entry("status", "invalid")?;
                map.serialize_entry("reason", error.as_str())?;
                map.serialize_entry("offset", at)?;
                map.serialize_entry("specification", error.section())?;
                if let Some(hint) = hint(self.input, *error) {
                    map.serialize_entry("hint", &hint)?;
                }
            }
        }
        map.serialize_entry("fields", &self.fields)?;
        map.end()
    }
}

/// What stands behind a header: another header, which a receiver does not read as one, or payload.
pub(super) fn describe_rest(rest: &[u8]) -> (&'static str, String) {
    const SHOWN: usize = 64;
    if let Ok(Status::Complete(header)) = proxy::parse(rest) {
        return ("second header", format!("{}: payload to the receiver", Event::Header(&header)));
    }
    let more = if rest.len() > SHOWN { "..." } else { "" };
    ("payload", format!("\"{}\"{more}", Escaped(&rest[..rest.len().min(SHOWN)])))
}

/// What the input may be, if it is no header at all.
fn hint(input: &[u8], error: Error) -> Option<String> {
    if error != Error::Signature {
        return None;
    }
    let find = |start: &[u8]| memchr::memmem::find(input, start);
    let is_whole = |at: &usize| matches!(proxy::parse(&input[*at..]), Ok(Status::Complete(Header { .. })));
    if let Some(at) = find(SIGNATURE).or_else(|| find(b"PROXY ")).filter(is_whole) {
        return Some(format!("a header begins at byte {at}: --skip {at}"));
    }
    let found = match input {
        [0x16, 3, ..] => "a TLS handshake",
        [b'S', b'S', b'H', b'-', ..] => "SSH",
        _ if find(b" HTTP/1.").is_some() => "HTTP",
        _ => return None,
    };
    Some(format!("it looks like {found}, with no header before it"))
}
