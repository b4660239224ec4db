//! The words of a version 1 line, up to the first that is wrong.

use super::{Field, Fields, Outcome};
use proxy::Error;
use proxy::escape::Escaped;

const NAMES: [&str; 6] =
    ["signature", "protocol", "source address", "destination address", "source port", "destination port"];

const UNKNOWN: &[u8] = b"PROXY UNKNOWN";

pub(super) fn read(fields: &mut Fields<'_>) {
    let input = fields.input;
    let (good, error) = match fields.outcome {
        Outcome::Valid(header) => (header.len() - 2, None),
        Outcome::Incomplete(_) => (input.len(), None),
        Outcome::Invalid(error, at) => (at, Some(error)),
    };
    // The wrong byte either follows a whole word, or makes the word that it is in wrong.
    let is_after = matches!(error, Some(Error::V1Space | Error::V1LineEnd | Error::V1TooLong));
    let line = match &input[..good] {
        [line @ .., b'\r'] if is_after => line,
        line => line,
    };
    let mut at = 0;
    // Everything after UNKNOWN is one word.
    for (index, word) in line.splitn(if line.starts_with(UNKNOWN) { 3 } else { 6 }, |&byte| byte == b' ').enumerate() {
        let is_wrong = error.is_some() && !is_after && at + word.len() == good;
        let length = word.len() + if is_wrong { spoiled(&input[good..]) } else { 0 };
        let name = if line.starts_with(UNKNOWN) && index == 2 { "ignored" } else { NAMES[index] };
        push(fields, name, [at, length], is_wrong);
        at += length + 1;
    }
    match error {
        None if matches!(fields.outcome, Outcome::Valid(_)) => push(fields, "line end", [good, 2], false),
        Some(Error::V1Space) => push(fields, "space", [good, 1], true),
        Some(_) if is_after => push(fields, "line end", [line.len(), good + 1 - line.len()], true),
        _ => {}
    }
}

fn push(fields: &mut Fields<'_>, name: &'static str, [offset, length]: [usize; 2], is_wrong: bool) {
    if length > 0 {
        let value = Escaped(&fields.input[offset..offset + length]).to_string();
        fields.list.push(Field { offset, length, depth: 0, name, value, is_wrong, is_tolerated: false });
    }
}

/// The number of bytes to show from a wrong byte on: to the end of the word, within a limit.
fn spoiled(from: &[u8]) -> usize {
    const SHOWN: usize = 24;
    1 + from[1..].iter().take(SHOWN).take_while(|byte| !b" \r\n".contains(byte)).count()
}
