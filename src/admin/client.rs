//! One client of the admin port: it reads requests and sends answers, one after the other. It does not know the reactor
//! or the routes.

use std::io::{self, ErrorKind};

use super::View;
use super::http::{self, LAST_CHUNK, Length, Parsed, Request, Response};
use super::list::List;
use super::work::Work;
use crate::connection::Stream;
use proxy::{Error, Status};

/// When to call [`Client::turn`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At the socket's next event.
    Wait,
    /// Soon: there may be more to do.
    Again,
    /// Never.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A PROXY header may come first: a Network Load Balancer sends one with its health checks, to any port.
    Begun,
    Serving,
    /// The last answer is being sent.
    Leaving,
    /// Our FIN is sent. Further input is read and discarded, because closing with unread input would reset the
    /// connection before the answer is read.
    Draining,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// A document that is complete at once.
    Whole(Response),
    /// A JSON document that is made while it is sent.
    List(List),
}

/// A list that is being sent.
#[derive(Debug)]
struct Sending {
    list: List,
    is_chunked: bool,
}

#[derive(Debug)]
pub(crate) struct Client<S> {
    stream: S,
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    /// The rest of an answer, to be made after the output was sent.
    sending: Option<Sending>,
    ends_ms: u64,
}

impl<S: Stream> Client<S> {
    /// The longest time for a client to send a request, to take an answer or a part of it, and to send the next
    /// request, in ms.
    const TIME_MS: u64 = 15_000;

    /// Most bytes around a chunk, the end of the last one included.
    const CHUNK_FRAME_BYTES: usize = 32;

    pub(crate) fn new(stream: S, now_ms: u64) -> Self {
        let ends_ms = now_ms + Self::TIME_MS;
        Client { stream, state: State::Begun, input: Vec::new(), output: Vec::new(), sent: 0, sending: None, ends_ms }
    }

    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Bytes of memory that it holds, without those of a list's search.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.input.capacity()
            + self.output.capacity()
            + self.sending.as_ref().map_or(0, |sending| sending.list.held_bytes())
    }

    /// When its time limit ends.
    pub(crate) fn ends_ms(&self) -> u64 {
        self.ends_ms
    }

    /// One turn: a few steps, while there is something to do and `work` is left.
    pub(super) fn turn(&mut self, view: &View<'_>, work: &mut Work, answer: impl Fn(&Request<'_>) -> Answer) -> Next {
        /// Enough to read a request, answer it, send the answer and close: a probe takes one turn.
        const MAX_STEPS: usize = 4;
        for _ in 0..MAX_STEPS {
            if work.is_used_up() {
                break;
            }
            work.spend_call();
            match self.step(view, work, &answer) {
                Ok(Next::Again) => {}
                Ok(next) => return next,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Next::Closed,
            }
        }
        Next::Again
    }

    /// Sends pending bytes, continues an answer, answers a request, or reads.
    fn step(&mut self, view: &View<'_>, work: &mut Work, answer: impl Fn(&Request<'_>) -> Answer) -> io::Result<Next> {
        while self.sent < self.output.len() {
            let count = self.stream.write(&self.output[self.sent..])?;
            self.sent += count;
            work.spend_bytes(count);
        }
        (self.output, self.sent) = (Vec::new(), 0);
        if let Some(sending) = self.sending.take() {
            self.go_on(sending, view, work)?;
            return Ok(Next::Again);
        }
        if self.state == State::Leaving {
            self.stream.shutdown_write()?;
            self.state = State::Draining;
        }
        if self.state != State::Draining && self.respond(view.now_ms, work, answer) {
            return Ok(Next::Again);
        }
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk)?;
        if self.state != State::Draining {
            self.input.extend_from_slice(&chunk[..count]);
        }
        Ok(if count == 0 { Next::Closed } else { Next::Again })
    }

    /// Answers the request, if it is complete. Returns whether it was.
    fn respond(&mut self, now_ms: u64, work: &mut Work, answer: impl Fn(&Request<'_>) -> Answer) -> bool {
        let (answer, is_head, is_chunked, mut keep_alive, length) = match self.skip_header() {
            Parsed::Partial => return false,
            Parsed::Refused(status) => {
                (Answer::Whole(Response::status(status)), self.input.starts_with(b"HEAD "), false, false, 0)
            }
            Parsed::Request(request) => {
                let Request { is_head, minor_version, keep_alive, length, .. } = request;
                (answer(&request), is_head, minor_version >= 1, keep_alive, length)
            }
        };
        match answer {
            Answer::Whole(response) => response.write(is_head, keep_alive, &mut self.output),
            Answer::List(list) => {
                keep_alive &= is_chunked;
                let length = if is_chunked { Length::Chunked } else { Length::UntilClose };
                http::write_head(200, "application/json", length, keep_alive, &mut self.output);
                self.sending = (!is_head).then_some(Sending { list, is_chunked });
            }
        }
        work.spend_bytes(self.output.len());
        self.input.drain(..length);
        if !keep_alive {
            self.state = State::Leaving;
        }
        self.ends_ms = now_ms + Self::TIME_MS;
        true
    }

    /// Makes the next part of a list, within the work of this turn.
    fn go_on(&mut self, mut sending: Sending, view: &View<'_>, work: &mut Work) -> io::Result<()> {
        let mut part = Vec::new();
        let has_more = sending.list.go_on(view, work, &mut part)?;
        if sending.is_chunked && !part.is_empty() {
            self.output.try_reserve_exact(part.len() + Self::CHUNK_FRAME_BYTES)?;
            http::write_chunk(&part, &mut self.output);
        } else {
            self.output = part;
        }
        if !self.output.is_empty() {
            self.ends_ms = view.now_ms + Self::TIME_MS;
        }
        if has_more {
            self.sending = Some(sending);
        } else if sending.is_chunked {
            self.output.extend_from_slice(LAST_CHUNK);
        }
        Ok(())
    }

    /// Parses the input after the PROXY header, if there is one.
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
    use super::super::fixture::{Fixture, Pieces};
    use super::*;

    /// The answers to `pieces`, as status and path, and whether the server sent FIN before the client.
    fn answers(pieces: Vec<Vec<u8>>) -> (Vec<String>, bool) {
        let stream = Pieces { input: pieces.into(), most: 7, ..Pieces::default() };
        let mut client = Client::new(stream, 0);
        let fixture = Fixture::new(0, &[]);
        let answer = |request: &Request<'_>| Answer::Whole(Response::text(200, request.path));
        while client.turn(&fixture.view(), &mut Work::of_a_turn(), answer) != Next::Closed {}
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
