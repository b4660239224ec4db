//! One client of the admin port: requests in, answers out, one after the other. It knows no reactor and no routes.

use std::io::{self, ErrorKind};

use crate::admin::http::{self, Parsed, Request, Response};
use crate::connection::Stream;
use proxy::{Error, Status};

/// When to call [`Client::turn`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// When the socket reports something.
    Wait,
    /// Soon: there may be more to do.
    Again,
    /// Never.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A PROXY header may come first: a Network Load Balancer sends one with its health checks, to whichever port.
    Begun,
    Serving,
    /// The last answer is being sent.
    Leaving,
    /// Our FIN is sent: what still comes is thrown away, because a close with unread input would reset the connection
    /// before the answer is read.
    Draining,
}

#[derive(Debug)]
pub(crate) struct Client<S> {
    stream: S,
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    ends_ms: u64,
}

impl<S: Stream> Client<S> {
    /// How long a client may take for a request, for an answer, and to say something again.
    const TIME_MS: u64 = 15_000;

    pub(crate) fn new(stream: S, now_ms: u64) -> Self {
        let ends_ms = now_ms + Self::TIME_MS;
        Client { stream, state: State::Begun, input: Vec::new(), output: Vec::new(), sent: 0, ends_ms }
    }

    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// When its time is over.
    pub(crate) fn ends_ms(&self) -> u64 {
        self.ends_ms
    }

    /// One turn: sends what is owed, answers a request, reads once.
    pub(crate) fn turn(&mut self, now_ms: u64, answer: impl FnOnce(&Request<'_>) -> Response) -> Next {
        self.step(now_ms, answer).unwrap_or_else(|error| match error.kind() {
            ErrorKind::WouldBlock => Next::Wait,
            ErrorKind::Interrupted => Next::Again,
            _ => Next::Closed,
        })
    }

    fn step(&mut self, now_ms: u64, answer: impl FnOnce(&Request<'_>) -> Response) -> io::Result<Next> {
        while self.sent < self.output.len() {
            self.sent += self.stream.write(&self.output[self.sent..])?;
        }
        (self.output, self.sent) = (Vec::new(), 0);
        if self.state == State::Leaving {
            self.stream.shutdown_write()?;
            self.state = State::Draining;
        }
        if self.state != State::Draining && self.respond(now_ms, answer) {
            return Ok(Next::Again);
        }
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk)?;
        if self.state != State::Draining {
            self.input.extend_from_slice(&chunk[..count]);
        }
        Ok(if count == 0 { Next::Closed } else { Next::Again })
    }

    /// Answers the request that has come. Says whether it had come.
    fn respond(&mut self, now_ms: u64, answer: impl FnOnce(&Request<'_>) -> Response) -> bool {
        let (response, is_head, keep_alive, length) = match self.skip_header() {
            Parsed::Partial => return false,
            Parsed::Refused(status) => (Response::status(status), self.input.starts_with(b"HEAD "), false, 0),
            Parsed::Request(request) => (answer(&request), request.is_head, request.keep_alive, request.length),
        };
        response.write(is_head, keep_alive, &mut self.output);
        self.input.drain(..length);
        if !keep_alive {
            self.state = State::Leaving;
        }
        self.ends_ms = now_ms + Self::TIME_MS;
        true
    }

    /// What has come, behind a PROXY header if there is one.
    fn skip_header(&mut self) -> Parsed<'_> {
        if self.state == State::Begun {
            let length = match proxy::parse(&self.input) {
                Ok(Status::Complete(header)) => header.len(),
                Ok(Status::Partial) if self.input.len() < http::MAX_REQUEST_BYTES => return Parsed::Partial,
                Err(Error::Signature) => 0,
                Ok(Status::Partial) | Err(_) => return Parsed::Refused(400),
            };
            self.input.drain(..length);
            self.state = State::Serving;
        }
        http::parse(&self.input)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::{Read, Write};

    use super::*;

    /// Takes and gives at most one piece a call; an empty one is "not now".
    #[derive(Default)]
    struct Pieces {
        input: VecDeque<Vec<u8>>,
        output: Vec<u8>,
        most: usize,
        is_shut: std::cell::Cell<bool>,
    }

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.input.pop_front() {
                None => Ok(0),
                Some(piece) if piece.is_empty() => Err(ErrorKind::WouldBlock.into()),
                Some(piece) => {
                    buffer[..piece.len()].copy_from_slice(&piece);
                    Ok(piece.len())
                }
            }
        }
    }

    impl Write for Pieces {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.most);
            self.output.extend_from_slice(&buffer[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Pieces {
        fn shutdown_write(&self) -> io::Result<()> {
            self.is_shut.set(true);
            Ok(())
        }

        fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::Unsupported.into())
        }
    }

    /// What is answered to `pieces`, by status and path, and whether FIN was sent before the client's.
    fn answers(pieces: Vec<Vec<u8>>) -> (Vec<String>, bool) {
        let stream = Pieces { input: pieces.into(), most: 7, ..Pieces::default() };
        let mut client = Client::new(stream, 0);
        while client.turn(0, |request| Response::text(200, request.path)) != Next::Closed {}
        let output = String::from_utf8(client.stream.output).unwrap();
        let starts = output.match_indices("HTTP/1.1 ").map(|(at, _)| at);
        let answer = |at: usize| {
            let text = &output[at..];
            let end = text.find("\r\n\r\n").unwrap() + 4;
            format!("{} {}", &text[9..12], text[end..].lines().next().unwrap_or_default())
        };
        (starts.map(answer).collect(), client.stream.is_shut.get())
    }

    const GET: &[u8] = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn requests_are_answered_in_their_order_wherever_they_are_split() {
        let last = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let all = [GET, GET, last].concat();
        let expected = vec!["200 /livez".to_owned(), "200 /livez".to_owned(), "200 /metrics".to_owned()];
        for cut in 1..all.len() {
            let pieces = vec![all[..cut].to_vec(), Vec::new(), all[cut..].to_vec(), b"ignored".to_vec()];
            assert_eq!(answers(pieces), (expected.clone(), true), "cut at {cut}");
        }
    }

    #[test]
    fn a_header_in_front_of_the_first_request_is_skipped() {
        let v2 = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
        for header in [b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(), v2] {
            let all = [&header, GET].concat();
            for cut in 1..all.len() {
                let pieces = vec![all[..cut].to_vec(), Vec::new(), all[cut..].to_vec()];
                assert_eq!(answers(pieces), (vec!["200 /livez".to_owned()], false), "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_request_is_answered_and_ends_the_connection() {
        for (bytes, answer) in [
            (&b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "405 Method Not Allowed"),
            (b"PROXY TCP4 1.2.3.4.5", "400 Bad Request"),
            (b"\x16\x03\x01\x02\0\x01", "400 Bad Request"),
        ] {
            assert_eq!(answers(vec![bytes.to_vec(), GET.to_vec()]), (vec![answer.to_owned()], true));
        }
    }
}
