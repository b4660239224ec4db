//! One connection's state machine, over anything that reads and writes without blocking; it knows no reactor.
//!
//! ```text
//! AwaitingHeader ──header──▶ Echoing ──FIN──▶ Finishing ──all sent──▶ closed
//!                               └──line too long──▶ Condemned ──all sent──▶ Draining ──FIN──▶ closed
//! ```
//!
//! Readiness is edge-triggered, so every turn ends in one of four ways that are safe to forget: the socket said that it
//! is empty or full (an edge will come), or the caller is told to call again ([`Next`]). A read shorter than its buffer
//! says "empty" too, which saves the second read, but for two cases that are latched until they are over: a FIN gives no
//! further edge, and an urgent byte cuts a read short in front of data that is already there.

use std::io::{self, ErrorKind, Read, Write};
use std::ops::ControlFlow::{self, Break, Continue};

use crate::held::{Budget, Held};
use crate::lines;
use crate::proxy::{self, Header, MAX_V1_LEN, Status, Version, encode_v1};

/// A byte stream that never blocks.
pub trait Stream: Read + Write {
    /// Sends FIN behind what was written.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`.
    fn shutdown_write(&self) -> io::Result<()>;
}

/// Whether a connection begins with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It must.
    Header,
    /// It may: what cannot be a header from its first bytes on is payload.
    Either,
    /// It does not: all is payload.
    Payload,
}

/// What is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Bytes as they come.
    Stream,
    /// Whole lines, and at the end an unfinished one.
    Lines {
        /// The longest line in bytes, its LF included.
        max: usize,
    },
}

/// What a connection shares with all others: the rules, one buffer to read into, and the budget for what is held.
#[derive(Debug)]
pub struct Shared {
    /// What is sent back.
    pub echo: Echo,
    /// Whether the header goes back too, as a version 1 line.
    pub reflect_header: bool,
    /// The time of this turn in ms; it wraps.
    pub now_ms: u32,
    /// The memory that connections hold.
    pub budget: Budget,
    buffer: Box<[u8]>,
}

impl Shared {
    /// Free space in front of what is read, in which a version 1 line can be put before the payload of a version 2 header:
    /// one send for both.
    const HEADROOM: usize = MAX_V1_LEN;

    /// `read_size` is the most bytes that one read takes; it must be at least [`proxy::MAX_V2_LEN`].
    #[must_use]
    pub fn new(echo: Echo, reflect_header: bool, read_size: usize, budget: Budget) -> Self {
        assert!(read_size >= proxy::MAX_V2_LEN, "a header must fit into one read");
        let buffer = vec![0; Self::HEADROOM + read_size].into_boxed_slice();
        Shared { echo, reflect_header, now_ms: 0, budget, buffer }
    }
}

/// Limits in ms on how long a connection may stay in a state; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// From the first byte of a header to its last.
    pub header_ms: u32,
    /// Nothing to do.
    pub idle_ms: Option<u32>,
    /// The peer takes nothing of what it is owed.
    pub stall_ms: u32,
    /// From our FIN to the peer's, when a connection is closed for what the peer did.
    pub linger_ms: u32,
}

/// What the socket was reported to be ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// There is something to read, if only an error or the end.
    pub readable: bool,
    /// The peer's FIN or an error is there.
    pub read_closed: bool,
    /// Urgent data is there.
    pub priority: bool,
}

/// When to call [`Connection::turn`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When the socket reports something new.
    Wait,
    /// Soon: there is more to do, but others should have their turn.
    Again,
    /// When the budget has room.
    Starved,
    /// After a pause: the kernel is short of memory and will not report when it no longer is.
    Pause,
    /// Never.
    Closed(Reason),
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer sent FIN and was sent everything.
    ByPeer,
    /// The peer reset the connection.
    Reset,
    /// What came is not a header.
    HeaderRefused,
    /// The header was not whole in time.
    HeaderTimeout,
    /// The peer sent FIN inside the header.
    HeaderCut,
    /// The peer may not send a header.
    NotTrusted,
    /// A line was longer than allowed.
    LineTooLong,
    /// Nothing happened for too long.
    IdleTimeout,
    /// The peer took none of what it was owed for too long.
    StallTimeout,
    /// The server stopped.
    Stopped,
    /// The socket failed otherwise.
    Failed(ErrorKind),
}

/// Is told what a connection does, in the order in which it happens.
pub trait Observer {
    /// A header is complete.
    fn header(&mut self, header: &Header<'_>);
    /// No header came, and none will: `received` is why.
    fn refused(&mut self, refusal: Refusal, received: &[u8]);
    /// That many bytes of payload came.
    fn received(&mut self, count: usize);
    /// Payload as it is echoed: each byte once; whole lines if the echo is by lines.
    fn payload(&mut self, bytes: &[u8]);
    /// That many bytes were sent.
    fn sent(&mut self, count: usize);
}

/// Why what a peer sent is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot become one.
    Invalid(proxy::Error),
    /// It ended before it was one.
    Cut,
    /// It was not one in time.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitingHeader {
        optional: bool,
    },
    Echoing,
    /// The peer's FIN was read; it is still owed something.
    Finishing,
    /// A line was too long; the peer is still owed what came before it.
    Condemned,
    /// Our FIN is sent: read on to the peer's, because a close with unread input is a reset, which can destroy what the
    /// peer has not read yet.
    Draining,
}

/// One connection. It owns no memory but what it holds for its peer, or of an unfinished header or line.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    /// When the time limit of the present state began to run, in ms.
    since_ms: u32,
    state: State,
    read_closed: bool,
    priority: bool,
    held: Option<Box<Held>>,
}

type Flow = ControlFlow<Next>;

impl<S: Stream> Connection<S> {
    /// A connection that was accepted at `now_ms`.
    pub fn new(stream: S, expect: Expect, now_ms: u32) -> Self {
        let state = match expect {
            Expect::Header => State::AwaitingHeader { optional: false },
            Expect::Either => State::AwaitingHeader { optional: true },
            Expect::Payload => State::Echoing,
        };
        Connection { stream, since_ms: now_ms, state, read_closed: false, priority: false, held: None }
    }

    /// Sends what is owed, then reads, parses and echoes, a bounded number of times.
    #[inline]
    pub fn turn(&mut self, ready: Ready, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        /// Reads before others have their turn.
        const READS: usize = 4;
        self.read_closed |= ready.read_closed;
        self.priority |= ready.priority;
        if !ready.readable && self.held.is_none() {
            return Next::Wait;
        }
        for _ in 0..READS {
            if let Break(next) = self.step(shared, observer) {
                return next;
            }
        }
        Next::Again
    }

    /// The stream, to be registered.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Bytes that the peer was not sent.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.owed().len())
    }

    /// Gives back what it holds and closes.
    pub fn close(self, budget: &mut Budget) {
        if let Some(held) = self.held {
            held.release(budget);
        }
    }

    /// Whether a time limit other than that on idling runs.
    #[must_use]
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.held.is_some() || self.state == State::Draining
    }

    /// How many ms are left of the time limit that runs, 0 if it is over, or `None` if none runs.
    #[must_use]
    pub fn time_left(&self, limits: &TimeLimits, now_ms: u32) -> Option<u32> {
        let (limit, _) = self.time_limit(limits);
        Some(limit?.saturating_sub(now_ms.wrapping_sub(self.since_ms)))
    }

    /// The time is over: why the connection must be closed now.
    pub fn expire(&self, limits: &TimeLimits, observer: &mut impl Observer) -> Reason {
        let (_, reason) = self.time_limit(limits);
        if let (Reason::HeaderTimeout, Some(held)) = (reason, &self.held) {
            observer.refused(Refusal::Late, held.unfinished());
        }
        reason
    }

    fn time_limit(&self, limits: &TimeLimits) -> (Option<u32>, Reason) {
        match (self.state, &self.held) {
            (State::Draining, _) => (Some(limits.linger_ms), Reason::LineTooLong),
            (State::AwaitingHeader { .. }, Some(_)) => (Some(limits.header_ms), Reason::HeaderTimeout),
            (_, Some(held)) if !held.owed().is_empty() => (Some(limits.stall_ms), Reason::StallTimeout),
            _ => (limits.idle_ms, Reason::IdleTimeout),
        }
    }

    /// Sends what is owed, if anything is, then reads once and does what follows from it.
    #[inline]
    fn step(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        if self.held.is_some() {
            self.send_held(shared, observer)?;
        }
        match self.state {
            State::Finishing => return Break(Next::Closed(Reason::ByPeer)),
            State::Condemned => self.send_fin(shared)?,
            _ => {}
        }
        let room = shared.budget.room();
        if room == 0 {
            return Break(Next::Starved);
        }
        // An unfinished header or line is put in front of what is read, so that both are parsed in one piece.
        let mut new = Shared::HEADROOM;
        if let Some(held) = &self.held {
            let unfinished = held.unfinished();
            shared.buffer[new..new + unfinished.len()].copy_from_slice(unfinished);
            new += unfinished.len();
        }
        let limit = shared.buffer.len().min(new.saturating_add(room));
        match uninterrupted(|| self.stream.read(&mut shared.buffer[new..limit])) {
            Ok(0) => Break(self.end(shared, observer)),
            Ok(count) => {
                self.digest(new, new + count, shared, observer)?;
                let drained = new + count < limit && !self.read_closed && !self.priority;
                if drained { Break(Next::Wait) } else { Continue(()) }
            }
            Err(error) => {
                self.priority &= error.kind() != ErrorKind::WouldBlock;
                Break(next_after(&error))
            }
        }
    }

    /// `buffer[new..end]` has come; what was unfinished stands before it.
    #[inline]
    fn digest(&mut self, new: usize, end: usize, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        let start = Shared::HEADROOM;
        match self.state {
            State::Echoing => {
                self.since_ms = shared.now_ms;
                observer.received(end - new);
                self.echo(&Chunk { start, payload: start, new, end }, shared, observer)
            }
            State::AwaitingHeader { optional } => self.parse_header(optional, new, end, shared, observer),
            State::Finishing | State::Condemned | State::Draining => Continue(()),
        }
    }

    fn parse_header(
        &mut self,
        optional: bool,
        new: usize,
        end: usize,
        shared: &mut Shared,
        observer: &mut impl Observer,
    ) -> Flow {
        let start = Shared::HEADROOM;
        let header = match proxy::parse(&shared.buffer[start..end]) {
            Ok(Status::Complete(header)) => header,
            Ok(Status::Partial) => {
                if self.held.is_none() {
                    self.since_ms = shared.now_ms;
                }
                self.keep(new, end, shared);
                return Continue(());
            }
            Err(proxy::Error::Signature) if optional => {
                self.begin_echo(shared);
                observer.received(end - start);
                return self.echo(&Chunk { start, payload: start, new: start, end }, shared, observer);
            }
            Err(error) => {
                observer.refused(Refusal::Invalid(error), &shared.buffer[start..end]);
                return Break(Next::Closed(Reason::HeaderRefused));
            }
        };
        observer.header(&header);
        let payload = start + header.len();
        let reflected = match header.version {
            _ if !shared.reflect_header => payload,
            Version::V1 => start,
            Version::V2 => {
                let line = encode_v1(&header.addresses);
                let at = payload - line.len();
                shared.buffer[at..payload].copy_from_slice(&line);
                at
            }
        };
        self.begin_echo(shared);
        observer.received(end - payload);
        self.echo(&Chunk { start: reflected, payload, new: payload, end }, shared, observer)
    }

    fn begin_echo(&mut self, shared: &mut Shared) {
        self.release(shared);
        self.state = State::Echoing;
        self.since_ms = shared.now_ms;
    }

    /// Sends of the chunk what the rule of the echo allows, and holds the rest.
    #[inline]
    fn echo(&mut self, chunk: &Chunk, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        let (end, too_long) = match shared.echo {
            Echo::Stream => (chunk.end, false),
            Echo::Lines { max } => {
                let (length, too_long) =
                    lines::whole(&shared.buffer[chunk.payload..chunk.end], chunk.new - chunk.payload, max);
                (chunk.payload + length, too_long)
            }
        };
        observer.payload(&shared.buffer[chunk.payload..end]);
        if chunk.start == end && !too_long {
            self.keep(chunk.new, chunk.end, shared);
            return Continue(());
        }
        self.release(shared);
        let (sent, blocked) = self.send(&shared.buffer[chunk.start..end], observer)?;
        let rest = chunk.start + sent;
        let rest_end = if too_long { end } else { chunk.end };
        if rest < rest_end {
            self.held = Some(Held::new(&shared.buffer[rest..rest_end], end - rest, &mut shared.budget));
        }
        if too_long {
            self.state = State::Condemned;
            blocked?;
            return self.send_fin(shared);
        }
        blocked
    }

    /// Sends `bytes`; says how many the socket took, and how to go on if it did not take all.
    #[inline]
    fn send(&mut self, bytes: &[u8], observer: &mut impl Observer) -> ControlFlow<Next, (usize, Flow)> {
        if bytes.is_empty() {
            return Continue((0, Continue(())));
        }
        match uninterrupted(|| self.stream.write(bytes)) {
            Ok(count) => {
                observer.sent(count);
                // A short write means that the socket is full, and that it will report when it no longer is.
                Continue((count, if count < bytes.len() { Break(Next::Wait) } else { Continue(()) }))
            }
            Err(error) => match next_after(&error) {
                closed @ Next::Closed(_) => Break(closed),
                later => Continue((0, Break(later))),
            },
        }
    }

    /// Sends what is owed.
    fn send_held(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        let Some(mut held) = self.held.take_if(|held| !held.owed().is_empty()) else {
            return Continue(());
        };
        let sending = self.send(held.owed(), observer);
        if let Continue((count, _)) = sending {
            held.took(count);
            if count > 0 {
                self.since_ms = shared.now_ms;
            }
        }
        self.held = if held.owed().is_empty() { held.settle(&mut shared.budget) } else { Some(held) };
        sending?.1
    }

    /// The peer sent FIN.
    fn end(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        let Some(held) = &mut self.held else {
            return Next::Closed(if self.state == State::Draining { Reason::LineTooLong } else { Reason::ByPeer });
        };
        match self.state {
            State::AwaitingHeader { optional: false } => {
                observer.refused(Refusal::Cut, held.unfinished());
                return Next::Closed(Reason::HeaderCut);
            }
            // The beginning of a header that never came is payload, where none is required.
            State::AwaitingHeader { optional: true } => observer.received(held.unfinished().len()),
            _ => {}
        }
        observer.payload(held.unfinished());
        held.owe_all();
        self.state = State::Finishing;
        self.since_ms = shared.now_ms;
        match self.send_held(shared, observer) {
            Break(next) => next,
            Continue(()) => Next::Closed(Reason::ByPeer),
        }
    }

    /// All is sent that came before the line that is too long.
    fn send_fin(&mut self, shared: &Shared) -> Flow {
        self.state = State::Draining;
        self.since_ms = shared.now_ms;
        match self.stream.shutdown_write() {
            Ok(()) => Continue(()),
            Err(_) => Break(Next::Closed(Reason::LineTooLong)),
        }
    }

    /// Holds `buffer[new..end]` behind what is unfinished.
    fn keep(&mut self, new: usize, end: usize, shared: &mut Shared) {
        let bytes = &shared.buffer[new..end];
        match &mut self.held {
            _ if bytes.is_empty() => {}
            Some(held) => held.append(bytes, &mut shared.budget),
            None => self.held = Some(Held::new(bytes, 0, &mut shared.budget)),
        }
    }

    fn release(&mut self, shared: &mut Shared) {
        if let Some(held) = self.held.take() {
            held.release(&mut shared.budget);
        }
    }
}

/// Where in the shared buffer lies what is to be echoed.
struct Chunk {
    /// What is sent begins here: a reflected header, or the payload.
    start: usize,
    /// The payload begins here.
    payload: usize,
    /// From here on the payload is new; before, there is no end of a line.
    new: usize,
    end: usize,
}

/// Runs a system call again for as long as a signal interrupts it.
#[inline]
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What an error of `recv(2)` or `send(2)` means for the connection.
#[cold]
fn next_after(error: &io::Error) -> Next {
    match error.kind() {
        ErrorKind::WouldBlock => Next::Wait,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Next::Closed(Reason::Reset),
        _ if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) => Next::Pause,
        kind => Next::Closed(Reason::Failed(kind)),
    }
}
