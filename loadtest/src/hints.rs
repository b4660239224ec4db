//! Hints: what to try when a result has a usual cause.

use crate::cli::{ExpectReflect, Proxy};
use crate::plan::Plan;
use crate::result::RunResult;

/// The start of a version 2 header (PROXY specification, section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The start of a version 1 header (section 2.1).
const LINE: &[u8] = b"PROXY ";
/// The first bytes of other protocols, and their names.
const PROTOCOLS: [(&[u8], &str); 8] = [
    (b"HTTP/", "HTTP"),
    (b"SSH-", "SSH"),
    (b"220", "SMTP or FTP"),
    (b"* OK", "IMAP"),
    (b"+OK", "POP3"),
    (b"+PONG", "Redis"),
    (b"-ERR", "Redis or POP3"),
    (b"-DENIED", "Redis"),
];
/// The share of the connections that counts as all, because some are still open when a run ends.
const NEARLY_ALL: f64 = 0.9;
/// Most bytes of an answer that are kept and quoted.
pub const MAX_QUOTED: usize = 60;

/// Hints on `result`. `unexpected` is the beginning of the first answer on a connection, if it was not what had been sent.
#[must_use]
pub fn of(result: &RunResult, plan: &Plan, unexpected: Option<&[u8]>) -> Vec<String> {
    unexpected.and_then(|bytes| on_answer(bytes, plan)).or_else(|| on_closing(result, plan)).into_iter().collect()
}

fn on_answer(bytes: &[u8], plan: &Plan) -> Option<String> {
    if bytes.starts_with(LINE) && plan.expect_reflect == ExpectReflect::No {
        return Some(
            "the first bytes that came are a PROXY line: the target reflects the header (leave out --expect-reflect no)"
                .to_owned(),
        );
    }
    if plan.header.version == Proxy::V2 && bytes.starts_with(SIGNATURE) {
        return Some(
            "the target sends the PROXY header back as it was, before the payload: it echoes and does not read headers \
             (leave out --proxy)"
                .to_owned(),
        );
    }
    let quoted = first_line(bytes).escape_ascii();
    // A TLS record: an alert or a handshake, of version 3.x.
    if plan.tls.is_none() && (bytes.starts_with(b"\x15\x03") || bytes.starts_with(b"\x16\x03")) {
        return Some(format!("the target speaks TLS: it answered \"{quoted}\" (give --tls)"));
    }
    if let Some((_, name)) = PROTOCOLS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some(format!("the target speaks {name}: it answered \"{quoted}\", and loadtest needs an echo server"));
    }
    // The bytes sent have no spaces, even if they come back changed or moved.
    let is_text = |line: &[u8]| line.len() > 3 && line.contains(&b' ') && line.iter().all(|&byte| is_printable(byte));
    is_text(first_line(bytes)).then(|| {
        format!(
            "the target answered in words, \"{quoted}\": it is not an echo server, or this is how it refuses a request"
        )
    })
}

/// Hints for connections that were closed before any byte was received.
fn on_closing(result: &RunResult, plan: &Plan) -> Option<String> {
    let totals = &result.totals;
    let is_closed = totals.connections_opened > 0
        && totals.connections_lost as f64 >= totals.connections_opened as f64 * NEARLY_ALL
        && totals.bytes_received + totals.headers_reflected == 0
        && totals.errors.keys().any(|why| why.starts_with("connection: ") && !why.ends_with("timed out"));
    is_closed.then(|| match plan.header.version {
        Proxy::None => "the target closed every connection and never answered: if it wants a PROXY header, give --proxy v1 \
                        or --proxy v2"
            .to_owned(),
        version => format!(
            "the target closed every connection and never answered, though each began with a PROXY {version} header: it may \
             not trust this sender, or want another version or none"
        ),
    })
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or(bytes);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}
