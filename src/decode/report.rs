//! Prints an explained header as a table or as JSON.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Decoded, Field, Outcome};
use crate::observe::hint::hint;
use crate::observe::json::header_fields;
use proxy::Status;
use proxy::escape::Escaped;

/// The line below the verdict if a field is marked with `?`.
const TOLERATED: &str =
    "marked with ?: inside the SSL TLV the header breaks section 2.2.6; receivers that read it may refuse it";

impl fmt::Display for Decoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.fields.is_empty() {
            writeln!(f, "  offset   bytes  field")?;
        }
        let width = self.fields.iter().map(|field| 2 * field.depth + field.name.len()).max().unwrap_or(0);
        for Field { offset, length, depth, name, value, is_wrong, is_tolerated } in &self.fields {
            let indent = 2 * depth;
            let mark = match (is_wrong, is_tolerated) {
                (true, _) => '!',
                (false, true) => '?',
                (false, false) => ' ',
            };
            writeln!(f, "{mark} {offset:>6}  {length:>6}  {:indent$}{name:<1$}  {value}", "", width - indent)?;
        }
        if !self.fields.is_empty() {
            f.write_str("\n")?;
        }
        match self.outcome {
            Outcome::Valid(header) => {
                writeln!(f, "valid: {header}, {} bytes", header.len())?;
                let tolerated = self.fields.iter().any(|field| field.is_tolerated);
                if tolerated { writeln!(f, "{TOLERATED}") } else { Ok(()) }
            }
            Outcome::Incomplete(Some(missing)) => writeln!(f, "incomplete: {missing} more bytes are due"),
            Outcome::Incomplete(None) if self.input.is_empty() => writeln!(f, "incomplete: the input is empty"),
            Outcome::Incomplete(None) => writeln!(f, "incomplete: more bytes can make it a header"),
            Outcome::Invalid(error, at) => {
                writeln!(f, "invalid: {error} at byte {at} ({})", error.section())?;
                hint(self.input, error).map_or(Ok(()), |hint| writeln!(f, "{hint}"))
            }
        }
    }
}

impl Decoded<'_> {
    /// The result as JSON, for programs.
    #[must_use]
    pub fn json(&self) -> String {
        // Cannot fail: all keys of its maps are strings.
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
                map.serialize_entry("reason", error.name())?;
                map.serialize_entry("message", error.as_str())?;
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

/// Describes the bytes after a header: payload, or another header, which a receiver takes for payload.
pub(super) fn describe_rest(rest: &[u8]) -> (&'static str, String) {
    const SHOWN: usize = 64;
    if let Ok(Status::Complete(header)) = proxy::parse(rest) {
        return ("second header", format!("{header}: payload to the receiver"));
    }
    let more = if rest.len() > SHOWN { "..." } else { "" };
    ("payload", format!("\"{}\"{more}", Escaped(&rest[..rest.len().min(SHOWN)])))
}
