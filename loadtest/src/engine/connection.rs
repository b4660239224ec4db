//! One connection: bytes to send, messages awaiting an answer, and the verification of received bytes.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::cli::ExpectReflect;
use crate::pattern::{MAX_PIECE, Pattern};
use crate::tls::{Client, Session};

/// A reflected header is a version 1 line: 107 bytes at most (PROXY specification, section 2.1).
const MAX_LINE: usize = 107;
const LINE_START: &[u8] = b"PROXY ";

/// The event that a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The connection to be established.
    Connecting,
    /// The end of the TLS handshake.
    Handshaking,
    /// The first bytes, which may be the reflected header.
    AwaitingLine,
    /// Payload.
    Open,
}

impl State {
    /// Whether it is open, so that payload may come.
    #[inline]
    pub(super) fn is_open(self) -> bool {
        !matches!(self, State::Connecting | State::Handshaking)
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Its TLS session, if it uses TLS.
    pub(super) tls: Option<Box<Session>>,
    pub(super) number: u64,
    /// The index of the address that it is connected to.
    pub(super) address: usize,
    /// The index of the first interval of its address.
    pub(super) pieces: usize,
    /// Whether it shall end as soon as nothing is in flight, to make room for a connection to another address.
    pub(super) is_leaving: bool,
    pub(super) state: State,
    /// Places in the pattern: of the next byte to send, and of the next byte to receive.
    send_at: usize,
    recv_at: usize,
    /// Bytes that the socket has not taken yet.
    unsent: usize,
    /// Bytes to be received, the unsent ones included.
    owed: usize,
    /// The part of them that belongs to the oldest message in flight.
    remaining: usize,
    /// The number of messages in flight, and the index of the oldest one's stamp.
    pub(super) in_flight: u32,
    pub(super) oldest: u32,
    pub(super) received: u64,
    /// Since when another message could be sent; before that, when the connect or the handshake began.
    pub(super) since_ns: u64,
    /// When the connection that this one replaces was lost; until traffic flows again.
    pub(super) replaces_ns: Option<u64>,
    /// The beginning of a line that arrives in pieces.
    line: Vec<u8>,
}

/// An error in the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes were changed.
    Corrupted,
    /// This many bytes are missing.
    Lost(usize),
    /// Bytes that came before, or that no message asked for.
    Duplicated(usize),
    /// The bytes of another connection, with their place in the pattern.
    Crossed(usize),
    /// The header line is missing or wrong.
    Header,
}

/// The result of taking a piece of input.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Messages that were completed.
    pub(super) whole: u32,
    /// Messages of which no byte will come.
    pub(super) dropped: u32,
    /// Faults, each with the number of bytes received before it.
    pub(super) faults: Vec<(Fault, u64)>,
}

/// The result of reading the line before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line is not whole yet.
    Partial,
    /// The line is whole; the payload begins at this offset.
    Whole(usize),
    /// There is no line.
    None,
    /// The line is missing.
    Missing,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, number: u64, pattern: &Pattern, size: usize, now_ns: u64) -> Self {
        let start = pattern.start(number);
        Connection {
            stream,
            tls: None,
            number,
            address: 0,
            pieces: 0,
            is_leaving: false,
            state: State::Connecting,
            send_at: start,
            recv_at: start,
            unsent: 0,
            owed: 0,
            remaining: size,
            in_flight: 0,
            oldest: 0,
            received: 0,
            since_ns: now_ns,
            replaces_ns: None,
            line: Vec::new(),
        }
    }

    /// Queues another message.
    #[inline]
    pub(super) fn queue(&mut self, size: usize) {
        self.unsent += size;
        self.owed += size;
        self.in_flight += 1;
    }

    /// Whether bytes wait to be sent.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Sends queued bytes until the socket takes no more. Returns how many it took.
    #[inline(always)]
    pub(super) fn send(&mut self, pattern: &Pattern) -> io::Result<usize> {
        let mut sent = 0;
        while self.unsent > 0 {
            let piece = pattern.piece(self.send_at, self.unsent);
            match self.stream.write(piece) {
                Ok(count) => {
                    let short = count < piece.len();
                    self.sent(count, pattern);
                    sent += count;
                    // A short write means that the socket is full, so that an edge will come.
                    if short {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Sends queued bytes over TLS until the socket takes no more. Returns how many were taken on.
    #[inline(never)]
    pub(super) fn send_by_tls(&mut self, client: &mut Client, pattern: &Pattern) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(tls) = &mut self.tls {
            let count = tls.send(&mut self.stream, client, pattern.piece(self.send_at, self.unsent))?;
            self.sent(count, pattern);
            sent += count;
            if count == 0 {
                break;
            }
        }
        Ok(sent)
    }

    /// Sends the header and the queued bytes in one piece, if it is small. Returns how many payload bytes the socket
    /// took.
    pub(super) fn send_first(&mut self, header: &mut Vec<u8>, pattern: &Pattern) -> io::Result<usize> {
        let length = header.len();
        if length == 0 {
            return self.send(pattern);
        }
        header.extend_from_slice(pattern.piece(self.send_at, self.unsent.min(MAX_PIECE / 4)));
        // The buffer of a new connection is larger than any header: if it does not take one, give up.
        let count = loop {
            match self.stream.write(header) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count < length {
            return Err(io::Error::other("the header was not taken in one piece"));
        }
        self.sent(count - length, pattern);
        Ok(count - length + self.send(pattern)?)
    }

    #[inline]
    fn sent(&mut self, count: usize, pattern: &Pattern) {
        self.send_at = pattern.after(self.send_at, count);
        self.unsent -= count;
    }

    /// Reads once. 0 is the end.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Takes `bytes` of payload if all are right, and returns how many messages they complete. Otherwise takes nothing
    /// and returns `None`.
    #[inline(always)]
    pub(super) fn take(&mut self, bytes: &[u8], pattern: &Pattern, size: usize, verify: bool) -> Option<u32> {
        if bytes.len() > self.owed - self.unsent || verify && pattern.piece(self.recv_at, bytes.len()) != bytes {
            return None;
        }
        Some(self.advance(bytes.len(), pattern, size))
    }

    /// Advances by `count` of the bytes to be received. Returns how many messages they complete.
    #[inline]
    fn advance(&mut self, count: usize, pattern: &Pattern, size: usize) -> u32 {
        self.recv_at = pattern.after(self.recv_at, count);
        self.owed -= count;
        self.received += count as u64;
        if count < self.remaining {
            self.remaining -= count;
            return 0;
        }
        let beyond = count - self.remaining;
        if beyond == 0 {
            self.remaining = size;
            return 1;
        }
        self.remaining = size - beyond % size;
        1 + (beyond / size) as u32
    }

    /// Takes `bytes`, some of which are wrong, and finds out how.
    #[cold]
    pub(super) fn take_faulty(&mut self, mut bytes: &[u8], pattern: &Pattern, size: usize, verify: bool) -> Taken {
        let mut taken = Taken::default();
        while !bytes.is_empty() {
            let due = bytes.len().min(self.owed - self.unsent);
            let good = if verify { pattern.matching(self.recv_at, &bytes[..due]) } else { due };
            if good > 0 {
                taken.whole += self.advance(good, pattern, size);
            }
            bytes = &bytes[good..];
            if bytes.is_empty() {
                break;
            }
            let fault = self.diagnose(bytes, due - good, pattern);
            taken.faults.push((fault, self.received));
            let rest_of_message = (due - good).min(self.remaining);
            bytes = match fault {
                Fault::Lost(count) => {
                    // The present message lacks bytes but ends; messages wholly inside the gap never came.
                    let ended = self.advance(count, pattern, size);
                    let damaged = u32::from(ended > 0 && good > 0);
                    taken.whole += damaged;
                    taken.dropped += ended - damaged;
                    bytes
                }
                Fault::Duplicated(count) => &bytes[count.min(bytes.len())..],
                _ if rest_of_message == 0 => &[],
                _ => {
                    taken.whole += self.advance(rest_of_message, pattern, size);
                    &bytes[rest_of_message..]
                }
            };
        }
        taken
    }

    /// Diagnoses `bytes`, whose first byte is wrong. `due` of them may be right.
    fn diagnose(&self, bytes: &[u8], due: usize, pattern: &Pattern) -> Fault {
        let message = &bytes[..due.min(self.remaining)];
        if !message.is_empty() && pattern.agreeing(self.recv_at, message) * 2 > message.len() {
            return Fault::Corrupted;
        }
        let ahead = self.owed - self.unsent;
        // Search back as far as bytes were recently in flight.
        let behind = (self.received as usize).min(4 * (self.owed + self.remaining));
        let mut elsewhere = None;
        for place in pattern.places_of(bytes) {
            let (forward, back) = (pattern.distance(self.recv_at, place), pattern.distance(place, self.recv_at));
            if forward < ahead && forward > 0 {
                return Fault::Lost(forward);
            }
            if back <= behind && back > 0 {
                return Fault::Duplicated(back);
            }
            elsewhere = elsewhere.or(Some(place));
        }
        match elsewhere {
            Some(place) => Fault::Crossed(place),
            None if due == 0 => Fault::Duplicated(bytes.len()),
            None => Fault::Corrupted,
        }
    }

    /// Whether bytes at `place` in the pattern are, or recently were, this connection's.
    pub(super) fn covers(&self, place: usize, pattern: &Pattern) -> bool {
        let near = 4 * (self.owed + self.remaining);
        pattern.distance(self.recv_at, place) < near || pattern.distance(place, self.recv_at) <= near
    }

    /// Takes the first bytes. After [`Line::None`] or [`Line::Missing`] they are payload, preceded by
    /// [`Connection::take_held`].
    pub(super) fn take_line(&mut self, bytes: &[u8], expect: ExpectReflect) -> Line {
        let held = self.line.len();
        let more = bytes.len().min(MAX_LINE - held);
        self.line.extend_from_slice(&bytes[..more]);
        let start = self.line.len().min(LINE_START.len());
        let line = if self.line[..start] != LINE_START[..start] {
            Line::None
        } else if let Some(end) = memchr::memchr(b'\n', &self.line) {
            Line::Whole(end + 1 - held)
        } else if self.line.len() < MAX_LINE {
            Line::Partial
        } else {
            Line::Missing
        };
        if line != Line::Partial {
            self.state = State::Open;
        }
        match line {
            Line::Whole(_) => self.line = Vec::new(),
            Line::None | Line::Missing => self.line.truncate(held),
            Line::Partial => {}
        }
        if line == Line::None && expect == ExpectReflect::Yes { Line::Missing } else { line }
    }

    /// The bytes that were held as the beginning of a line but are not one.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }
}
