//! The part of HTTP that a scrape needs (RFC 9112): one request without a body, one answer, one connection at a time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Request, Status};
use proxy_echo_exposition::Format;

/// The longest head of a request, in bytes, and the most fields in it.
const MAX_HEAD: usize = 8 * 1024;
const MAX_FIELDS: usize = 64;
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
        if let Some(answer) = answer_to(&head, render) {
            break answer;
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

/// The answer to the request with this head; `None` if the head is incomplete.
fn answer_to(head: &[u8], render: &dyn Fn(Format) -> String) -> Option<String> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = Request::new(&mut fields);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(refusal("431 Request Header Fields Too Large", "")),
        Err(httparse::Error::Version) => return Some(refusal("505 HTTP Version Not Supported", "")),
        Err(_) => return Some(refusal("400 Bad Request", "")),
    }
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Some(refusal("405 Method Not Allowed", "Allow: GET, HEAD\r\n")),
    };
    if request.path.and_then(|target| target.split('?').next()) != Some("/metrics") {
        return Some(refusal("404 Not Found", ""));
    }
    let accept = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("Accept"));
    let format = Format::accepted(accept.filter_map(|field| str::from_utf8(field.value).ok()));
    let body = render(format);
    let (content_type, length) = (format.content_type(), body.len());
    let head = head_of("200 OK", &format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n"));
    Some(if is_head { head } else { head + &body })
}

fn refusal(status: &str, fields: &str) -> String {
    let body = format!("{status}: metrics are at /metrics\n");
    let length = body.len();
    head_of(status, &format!("{fields}Content-Type: text/plain\r\nContent-Length: {length}\r\n")) + &body
}

fn head_of(status: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Connection: close\r\n\r\n")
}
