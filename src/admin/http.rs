//! The part of HTTP/1.1 (RFC 9112) that a page, a monitor and a health check need: requests without a body, answers
//! with one.

use std::borrow::Cow;
use std::io::Write;

use httparse::{EMPTY_HEADER, Request as Head, Status};
use proxy_echo_exposition::Format;

/// A valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    /// The query after `?`, still encoded.
    pub(crate) query: &'a str,
    /// The host, from its target or its field `Host`, with or without a port.
    pub(crate) host: Option<&'a str>,
    /// `HEAD`: the answer without its body.
    pub(crate) is_head: bool,
    pub(crate) keep_alive: bool,
    /// The minor version of HTTP/1: 0 or 1.
    pub(crate) minor_version: u8,
    /// The format in which it wants metrics.
    pub(crate) metrics: Format,
    /// Its length in bytes.
    pub(crate) length: usize,
}

/// The result of parsing the bytes received so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    Request(Request<'a>),
    Partial,
    /// The request is refused with this status, and the connection is closed.
    Refused(u16),
}

/// The longest request.
pub(crate) const MAX_REQUEST_BYTES: usize = 8 * 1024;
const MAX_FIELDS: usize = 64;

pub(crate) fn parse(input: &[u8]) -> Parsed<'_> {
    let mut headers = [EMPTY_HEADER; MAX_FIELDS];
    let mut head = Head::new(&mut headers);
    let length = match head.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if input.len() >= MAX_REQUEST_BYTES => {
            return Parsed::Refused(if input.contains(&b'\n') { 431 } else { 414 });
        }
        Ok(Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(431),
        Err(httparse::Error::Version) => return Parsed::Refused(505),
        Err(_) => return Parsed::Refused(400),
    };
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Parsed::Refused(400);
    };
    // All values of a field: a list may be split over several lines.
    let values = |name| {
        let named = head.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| str::from_utf8(header.value).unwrap_or(""))
    };
    let is_head = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Parsed::Refused(405),
    };
    let has_body = values("Transfer-Encoding").next().is_some() || values("Content-Length").any(|length| length != "0");
    let has_host = version == 0 || values("Host").count() == 1;
    let (true, false, Some((named, target))) = (has_host, has_body, split(target)) else {
        return Parsed::Refused(400);
    };
    // A host in the target takes precedence over the field (RFC 9112, section 3.2.2).
    let host = named.or_else(|| values("Host").next());
    let closes = |list: &str| list.split(',').any(|item| item.trim().eq_ignore_ascii_case("close"));
    // Before version 1.1, keeping a connection is negotiated. This server does not support that.
    let keep_alive = version == 1 && !values("Connection").any(closes);
    let metrics = Format::accepted(values("Accept"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Parsed::Request(Request { path, query, host, is_head, keep_alive, minor_version: version, metrics, length })
}

/// Splits a target into its host, if it has one, and the rest from its path on. A target has one of two forms (RFC
/// 9112, section 3.2): `/path`, or `http://host/path` from proxies.
fn split(target: &str) -> Option<(Option<&str>, &str)> {
    match target.split_once("://") {
        _ if target.starts_with('/') => Some((None, target)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            Some((Some(host), if path.is_empty() { "/" } else { path }))
        }
        _ => None,
    }
}

/// The length of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// This many bytes.
    Known(usize),
    /// The body is sent in chunks (RFC 9112, section 7.1), written by [`write_chunk`].
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// Appends the head of an answer to `out`.
pub(crate) fn write_head(status: u16, content_type: &str, length: Length, keep_alive: bool, out: &mut Vec<u8>) {
    let reason = reason(status);
    // Writing to a Vec cannot fail. The page may load nothing from elsewhere, and answers are not cached: they are
    // outdated after a second.
    let _ = write!(
        out,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
         connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n"
    );
    match length {
        Length::Known(bytes) => drop(write!(out, "Content-Length: {bytes}\r\n")),
        Length::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Length::UntilClose => {}
    }
    if status == 405 {
        out.extend_from_slice(b"Allow: GET, HEAD\r\n");
    }
    if !keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a part of a body as a chunk. The part must not be empty: an empty chunk ends the body.
pub(crate) fn write_chunk(part: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "{:x}\r\n", part.len());
    out.extend_from_slice(part);
    out.extend_from_slice(b"\r\n");
}

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Response {
    status: u16,
    content_type: &'static str,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// A document.
    pub(crate) fn document(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Response { status: 200, content_type, body: body.into() }
    }

    /// A status and a line of text.
    pub(crate) fn text(status: u16, line: impl std::fmt::Display) -> Self {
        Response { status, content_type: "text/plain; charset=utf-8", body: format!("{line}\n").into_bytes().into() }
    }

    /// A status with its standard text as body.
    pub(crate) fn status(status: u16) -> Self {
        Response::text(status, reason(status))
    }

    /// Appends it to `out`.
    pub(crate) fn write(&self, is_head: bool, keep_alive: bool, out: &mut Vec<u8>) {
        write_head(self.status, self.content_type, Length::Known(self.body.len()), keep_alive, out);
        if !is_head {
            out.extend_from_slice(&self.body);
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_are_taken() {
        let curl = "GET /connections.json?limit=5&sort=age HTTP/1.1\r\nHost: a\r\n\r\nGET";
        let request = Request {
            path: "/connections.json",
            query: "limit=5&sort=age",
            host: Some("a"),
            is_head: false,
            keep_alive: true,
            minor_version: 1,
            metrics: Format::Prometheus,
            length: curl.len() - 3,
        };
        assert_eq!(parse(curl.as_bytes()), Parsed::Request(request));
        for (text, host, is_head, keep_alive, open_metrics) in [
            ("HEAD / HTTP/1.1\r\nhost: a\r\nConnection: foo, Close\r\n\r\n", Some("a"), true, false, false),
            ("GET / HTTP/1.0\r\n\r\n", None, false, false, false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", None, false, false, false),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo\r\nConnection: close\r\n\r\n",
                Some("a"),
                false,
                false,
                false,
            ),
            ("GET HTTP://b:1/ HTTP/1.1\r\nHost: a\r\n\r\n", Some("b:1"), false, true, false),
            ("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", Some("b"), false, true, false),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: 0\n\n", Some("a"), false, true, false),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text;q=0.5\r\n\r\n",
                Some("a"),
                false,
                true,
                true,
            ),
        ] {
            let (length, minor_version) = (text.len(), u8::from(text.contains("HTTP/1.1")));
            let metrics = if open_metrics { Format::OpenMetrics } else { Format::Prometheus };
            let request = Request { path: "/", query: "", host, is_head, keep_alive, minor_version, metrics, length };
            assert_eq!(parse(text.as_bytes()), Parsed::Request(request), "{text}");
            for cut in 0..length {
                assert_eq!(parse(&text.as_bytes()[..cut]), Parsed::Partial, "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn requests_that_are_refused() {
        let many = "GET / HTTP/1.1\r\n".to_owned() + &"A: b\r\n".repeat(MAX_FIELDS + 1) + "\r\n";
        let long = "GET /".to_owned() + &"a".repeat(MAX_REQUEST_BYTES);
        for (text, status) in [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\nabc", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET livez HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1} a TLS hello", 400),
            (&many, 431),
            (&long, 414),
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Refused(status), "{text}");
        }
    }
}
