//! The part of HTTP that a scrape needs (RFC 9112): one request without a body, one answer, one connection at a time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::exposition::Format;

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;
/// The longest time that a connection may take. Others wait in the backlog meanwhile.
const MAX_TIME: Duration = Duration::from_secs(2);
/// How long to wait if no connection can be accepted, such as when no file descriptor is free.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers scrapes with the output of `render`, as long as the program runs.
pub(super) fn serve(listener: &TcpListener, render: &dyn Fn(Format) -> String) {
    loop {
        match listener.accept() {
            // A client that closes or is too slow gets no answer.
            Ok((stream, _)) => drop(answer(stream, render)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn answer(mut stream: TcpStream, render: &dyn Fn(Format) -> String) -> io::Result<()> {
    let deadline = Instant::now() + MAX_TIME;
    let mut head = Vec::new();
    let answer = loop {
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break answer_to(&String::from_utf8_lossy(&head[..end]), render);
        }
        if head.len() > MAX_HEAD {
            break refusal("431 Request Header Fields Too Large", "");
        }
        let mut bytes = [0; 1024];
        match read(&mut stream, &mut bytes, deadline)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&bytes[..count]),
        }
    };
    stream.set_write_timeout(Some(MAX_TIME))?;
    stream.write_all(answer.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread bytes would reset the connection, and the answer could be lost.
    while read(&mut stream, &mut [0; 1024], deadline)? > 0 {}
    Ok(())
}

fn read(stream: &mut TcpStream, bytes: &mut [u8], deadline: Instant) -> io::Result<usize> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    match stream.read(bytes) {
        Err(error) if error.kind() == ErrorKind::Interrupted => read(stream, bytes, deadline),
        result => result,
    }
}

/// The answer to the request with this head.
fn answer_to(head: &str, render: &dyn Fn(Format) -> String) -> String {
    let mut lines = head.lines();
    let words: Vec<_> = lines.next().unwrap_or("").split(' ').collect();
    let [method, target, version] = words[..] else { return refusal("400 Bad Request", "") };
    if !version.starts_with("HTTP/1.") {
        return refusal("505 HTTP Version Not Supported", "");
    }
    if !["GET", "HEAD"].contains(&method) {
        return refusal("405 Method Not Allowed", "Allow: GET, HEAD\r\n");
    }
    if target.split('?').next() != Some("/metrics") {
        return refusal("404 Not Found", "");
    }
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let is_open = fields
        .any(|(name, value)| name.eq_ignore_ascii_case("Accept") && value.contains("application/openmetrics-text"));
    let format = if is_open { Format::OpenMetrics } else { Format::Prometheus };
    let body = render(format);
    let (content_type, length) = (format.content_type(), body.len());
    let head = head_of("200 OK", &format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n"));
    if method == "HEAD" { head } else { head + &body }
}

fn refusal(status: &str, fields: &str) -> String {
    let body = format!("{status}: metrics are at /metrics\n");
    let length = body.len();
    head_of(status, &format!("{fields}Content-Type: text/plain\r\nContent-Length: {length}\r\n")) + &body
}

fn head_of(status: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Connection: close\r\n\r\n")
}
