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

use crate::clock::Clock;
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

    /// Reads, and leaves what it read to be read again.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
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
    /// Time, as of its last reading.
    pub clock: Clock,
    /// The memory that connections hold.
    pub budget: Budget,
    buffer: Box<[u8]>,
}

impl Shared {
    /// Free space in front of what is read, in which a version 1 line can be put before the payload of a version 2 header:
    /// one send for both.
    const HEADROOM: usize = MAX_V1_LEN;

    /// `read_size` is the most bytes that one read takes, or as much more as a header may need.
    #[must_use]
    pub fn new(echo: Echo, reflect_header: bool, read_size: usize, budget: Budget) -> Self {
        let buffer = vec![0; Self::HEADROOM + read_size.max(proxy::MAX_V2_LEN)].into_boxed_slice();
        Shared { echo, reflect_header, clock: Clock::start(), budget, buffer }
    }
}

/// Limits in ms on how long a connection may stay in a state; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// From the first byte of a header to its last.
    pub header_ms: u32,
    /// Nothing said. Traffic is stamped with the last reading of the clock, so it must be read in periods of
    /// [`TimeLimits::period_ms`], and a connection is idle only when that much more has passed.
    pub idle_ms: Option<u32>,
    /// The peer takes nothing of what it is owed.
    pub stall_ms: u32,
    /// From our FIN to the peer's, when a connection is closed for what the peer did.
    pub linger_ms: u32,
}

impl TimeLimits {
    /// How often the clock must be read while there are connections, or `None` if it need not.
    #[must_use]
    pub fn period_ms(&self) -> Option<u32> {
        self.idle_ms.map(|idle_ms| (idle_ms / 8).max(1))
    }
}

/// What the socket was reported to be ready for: a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// It can take more. This alone matters only to a connection that owes something.
    pub const WRITABLE: Ready = Ready(0);
    /// There is something to read, if only an error or the end.
    pub const READABLE: Ready = Ready(1);
    /// The peer's FIN or an error is there.
    pub const READ_CLOSED: Ready = Ready(2);
    /// Urgent data is there.
    pub const PRIORITY: Ready = Ready(4);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }

    const fn has(self, other: Ready) -> bool {
        self.0 & other.0 != 0
    }

    const fn without(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

/// When to call [`Connection::turn`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When the socket reports something new: nothing else has changed since the turn before.
    Rest,
    /// When the socket reports something new; what is held, or the time limit that runs, may be another now.
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
    /// There is no header, and none is required.
    fn plain(&mut self);
    /// No header came, and none will: `received` is why.
    fn refused(&mut self, refusal: Refusal, received: &[u8]);
    /// That many bytes of payload came.
    fn received(&mut self, count: usize);
    /// Payload as it is echoed: each byte once; whole lines if the echo is by lines.
    fn payload(&mut self, bytes: &[u8]);
    /// That many bytes were sent.
    fn sent(&mut self, count: usize);
}

/// Watches nothing.
impl Observer for () {
    fn header(&mut self, _: &Header<'_>) {}
    fn plain(&mut self) {}
    fn refused(&mut self, _: Refusal, _: &[u8]) {}
    fn received(&mut self, _: usize) {}
    fn payload(&mut self, _: &[u8]) {}
    fn sent(&mut self, _: usize) {}
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
    AwaitingHeader,
    /// A header may come, or payload.
    AwaitingEither,
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
    /// What was reported once and holds on: that the peer sent FIN, that an urgent byte is not read yet, and that there is
    /// input that was looked at and waits for space.
    latched: Ready,
    held: Option<Box<Held>>,
}

type Flow = ControlFlow<Next>;

impl<S: Stream> Connection<S> {
    /// A connection that was accepted at `now_ms`.
    pub fn new(stream: S, expect: Expect, now_ms: u32) -> Self {
        let state = match expect {
            Expect::Header => State::AwaitingHeader,
            Expect::Either => State::AwaitingEither,
            Expect::Payload => State::Echoing,
        };
        Connection { stream, since_ms: now_ms, state, latched: Ready(0), held: None }
    }

    /// One turn: sends what is owed, reads once, and does what follows from it.
    #[inline]
    pub fn turn(&mut self, ready: Ready, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        let ready = self.latched.and(ready);
        self.latched = ready.without(Ready::READABLE);
        if self.held.is_some() || self.state != State::Echoing || shared.echo != Echo::Stream {
            return self.turn_at_large(ready, shared, observer);
        }
        if !ready.has(Ready::READABLE) {
            return Next::Rest;
        }
        match shared.budget.room() {
            0 => self.echo_unheld(shared, observer),
            room => either(self.echo_stream(room, shared, observer)),
        }
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

    /// If it idles, it does so from now on.
    pub fn restart_idling(&mut self, now_ms: u32) {
        if self.held.is_none() && self.state != State::Draining {
            self.since_ms = now_ms;
        }
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
            (State::AwaitingHeader | State::AwaitingEither, Some(_)) => (Some(limits.header_ms), Reason::HeaderTimeout),
            (_, Some(held)) if !held.owed().is_empty() => (Some(limits.stall_ms), Reason::StallTimeout),
            _ => (limits.idle_ms.zip(limits.period_ms()).map(|(idle, period)| idle + period), Reason::IdleTimeout),
        }
    }

    /// All that most connections do most of the time: what one read brings goes back in one send.
    #[inline(always)]
    fn echo_stream(
        &mut self,
        room: usize,
        shared: &mut Shared,
        observer: &mut impl Observer,
    ) -> ControlFlow<Next, Next> {
        let start = Shared::HEADROOM;
        let (end, next) = self.read(start, room, shared)?;
        if end == start {
            return Break(Next::Closed(Reason::ByPeer));
        }
        self.since_ms = shared.clock.now_ms() as u32;
        observer.received(end - start);
        observer.payload(&shared.buffer[start..end]);
        self.deliver(start, end, end, shared, observer)?;
        Continue(next)
    }

    /// The same where the budget is used up by others: what the socket does not take now stays unread in the kernel, where
    /// the peer's window bounds it, for the price of a third system call.
    #[cold]
    fn echo_unheld(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        let seen = match uninterrupted(|| self.stream.peek(&mut shared.buffer)) {
            Ok(0) => return Next::Closed(Reason::ByPeer),
            Ok(count) => count,
            Err(error) => return self.read_failed(&error),
        };
        let sent = match uninterrupted(|| self.stream.write(&shared.buffer[..seen])) {
            Ok(count) => count,
            Err(error) => {
                self.latched = self.latched.and(Ready::READABLE);
                return next_after(&error);
            }
        };
        self.since_ms = shared.clock.now_ms() as u32;
        observer.received(sent);
        observer.payload(&shared.buffer[..sent]);
        observer.sent(sent);
        let mut taken = 0;
        while taken < sent {
            match uninterrupted(|| self.stream.read(&mut shared.buffer[taken..sent])) {
                Ok(count) => taken += count,
                Err(error) => return self.read_failed(&error),
            }
        }
        if sent < seen {
            self.latched = self.latched.and(Ready::READABLE);
            return Next::Rest;
        }
        self.next_after_read(seen < shared.buffer.len())
    }

    /// A turn with a header, with lines, or with something held.
    #[inline(never)]
    fn turn_at_large(&mut self, ready: Ready, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        if self.held.is_none() && !ready.has(Ready::READABLE) {
            return Next::Rest;
        }
        match either(self.work(shared, observer)) {
            Next::Rest => Next::Wait,
            next => next,
        }
    }

    fn work(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> ControlFlow<Next, Next> {
        self.send_held(shared, observer)?;
        match self.state {
            State::Finishing => return Break(Next::Closed(Reason::ByPeer)),
            State::Condemned => self.send_fin(shared)?,
            _ => {}
        }
        // What is unfinished is put in front of what is read, so that both are parsed in one piece.
        let unfinished = self.held.as_ref().map_or(&[][..], |held| held.unfinished());
        let new = Shared::HEADROOM + unfinished.len();
        shared.buffer[Shared::HEADROOM..new].copy_from_slice(unfinished);
        let room = match self.state {
            State::AwaitingHeader | State::AwaitingEither => shared.budget.room_for_header(),
            _ => shared.budget.room(),
        };
        if room == 0 {
            return Break(Next::Starved);
        }
        let (end, next) = self.read(new, room, shared)?;
        if end == new {
            return Break(self.end(shared, observer));
        }
        self.digest(new, end, shared, observer)?;
        Continue(next)
    }

    /// Reads at most `room` bytes behind `buffer[..new]`. Returns where the new bytes end (at `new` if the peer sent FIN),
    /// and when to go on if they make no difference.
    #[inline(always)]
    fn read(&mut self, new: usize, room: usize, shared: &mut Shared) -> ControlFlow<Next, (usize, Next)> {
        let limit = shared.buffer.len().min(new + room);
        match uninterrupted(|| self.stream.read(&mut shared.buffer[new..limit])) {
            Ok(count) => Continue((new + count, self.next_after_read(new + count < limit))),
            Err(error) => Break(self.read_failed(&error)),
        }
    }

    /// Whether a read that was, or was not, shorter than its buffer has left anything.
    #[inline(always)]
    fn next_after_read(&self, short: bool) -> Next {
        let drained = short && !self.latched.has(Ready::READ_CLOSED.and(Ready::PRIORITY));
        if drained { Next::Rest } else { Next::Again }
    }

    #[cold]
    fn read_failed(&mut self, error: &io::Error) -> Next {
        if error.kind() == ErrorKind::WouldBlock {
            // What was in front of the urgent byte and behind it is read.
            self.latched = self.latched.without(Ready::PRIORITY);
        }
        next_after(error)
    }

    /// `buffer[new..end]` has come; what was unfinished stands before it.
    fn digest(&mut self, new: usize, end: usize, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        let start = Shared::HEADROOM;
        match self.state {
            State::Echoing => {
                self.since_ms = shared.clock.now_ms() as u32;
                observer.received(end - new);
                self.echo(Chunk { start, payload: start, new, end }, shared, observer)
            }
            State::AwaitingHeader | State::AwaitingEither => self.parse_header(new, end, shared, observer),
            State::Finishing | State::Condemned | State::Draining => Continue(()),
        }
    }

    fn parse_header(&mut self, new: usize, end: usize, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        let start = Shared::HEADROOM;
        let header = match proxy::parse(&shared.buffer[start..end]) {
            Ok(Status::Complete(header)) => header,
            Ok(Status::Partial) => {
                if self.held.is_none() {
                    self.since_ms = shared.clock.read() as u32;
                }
                self.keep(new, end, shared);
                return Continue(());
            }
            Err(proxy::Error::Signature) if self.state == State::AwaitingEither => {
                observer.plain();
                self.begin_echo(shared);
                observer.received(end - start);
                return self.echo(Chunk { start, payload: start, new: start, end }, shared, observer);
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
        self.echo(Chunk { start: reflected, payload, new: payload, end }, shared, observer)
    }

    fn begin_echo(&mut self, shared: &mut Shared) {
        self.release(shared);
        self.state = State::Echoing;
        self.since_ms = shared.clock.now_ms() as u32;
    }

    /// Sends of the chunk what the rule of the echo allows, and holds the rest.
    fn echo(&mut self, chunk: Chunk, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        match shared.echo {
            Echo::Stream => {
                observer.payload(&shared.buffer[chunk.payload..chunk.end]);
                self.deliver(chunk.start, chunk.end, chunk.end, shared, observer)
            }
            Echo::Lines { max } => self.echo_lines(chunk, max, shared, observer),
        }
    }

    fn echo_lines(&mut self, chunk: Chunk, max: usize, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        let Chunk { start, payload, new, end } = chunk;
        let (length, too_long) = lines::whole(&shared.buffer[payload..end], new - payload, max);
        let whole = payload + length;
        observer.payload(&shared.buffer[payload..whole]);
        if too_long {
            self.state = State::Condemned;
            self.release(shared);
            self.deliver(start, whole, whole, shared, observer)?;
            return self.send_fin(shared);
        }
        if start == whole {
            self.keep(new, end, shared);
            return Continue(());
        }
        self.release(shared);
        self.deliver(start, whole, end, shared, observer)
    }

    /// Sends `buffer[start..owed]`, and holds what the socket did not take and what stands behind it, up to `end`.
    #[inline(always)]
    fn deliver(
        &mut self,
        start: usize,
        owed: usize,
        end: usize,
        shared: &mut Shared,
        observer: &mut impl Observer,
    ) -> Flow {
        if start == end {
            return Continue(());
        }
        let sent = match uninterrupted(|| self.stream.write(&shared.buffer[start..owed])) {
            Ok(count) => count,
            Err(error) => return self.deliver_later(&error, start, owed, end, shared),
        };
        observer.sent(sent);
        if start + sent == end {
            return Continue(());
        }
        self.hold(start + sent, owed, end, shared);
        // A short write means that the socket is full, and that it will report when it no longer is.
        if start + sent < owed { Break(Next::Wait) } else { Continue(()) }
    }

    /// Keeps `buffer[start..owed]` for the peer, and `buffer[owed..end]` to be finished.
    #[inline(never)]
    fn hold(&mut self, start: usize, owed: usize, end: usize, shared: &mut Shared) {
        self.held = Some(Box::new(Held::new(&shared.buffer[start..end], owed - start, &mut shared.budget)));
        self.since_ms = shared.clock.read() as u32;
    }

    /// The socket took nothing.
    #[cold]
    fn deliver_later(&mut self, error: &io::Error, start: usize, owed: usize, end: usize, shared: &mut Shared) -> Flow {
        let next = next_after(error);
        if !matches!(next, Next::Closed(_)) {
            self.hold(start, owed, end, shared);
        }
        Break(next)
    }

    /// Sends what is owed.
    fn send_held(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Flow {
        let Some(held) = self.held.as_mut().filter(|held| !held.owed().is_empty()) else {
            return Continue(());
        };
        match uninterrupted(|| self.stream.write(held.owed())) {
            Ok(count) => {
                held.took(count);
                observer.sent(count);
                self.since_ms = shared.clock.read() as u32;
            }
            Err(error) => return Break(next_after(&error)),
        }
        if !held.owed().is_empty() {
            return Break(Next::Wait);
        }
        self.held = self.held.take().and_then(|held| held.settle(&mut shared.budget)).map(Box::new);
        Continue(())
    }

    /// The peer sent FIN.
    fn end(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        let Some(held) = &mut self.held else {
            return Next::Closed(if self.state == State::Draining { Reason::LineTooLong } else { Reason::ByPeer });
        };
        match self.state {
            State::AwaitingHeader => {
                observer.refused(Refusal::Cut, held.unfinished());
                return Next::Closed(Reason::HeaderCut);
            }
            // The beginning of a header that never came is payload, where none is required.
            State::AwaitingEither => {
                observer.plain();
                observer.received(held.unfinished().len());
            }
            _ => {}
        }
        observer.payload(held.unfinished());
        held.owe_all();
        self.state = State::Finishing;
        self.since_ms = shared.clock.read() as u32;
        match self.send_held(shared, observer) {
            Break(next) => next,
            Continue(()) => Next::Closed(Reason::ByPeer),
        }
    }

    /// All is sent that came before the line that is too long.
    fn send_fin(&mut self, shared: &mut Shared) -> Flow {
        self.state = State::Draining;
        self.since_ms = shared.clock.read() as u32;
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
            None => self.held = Some(Box::new(Held::new(bytes, 0, &mut shared.budget))),
        }
    }

    fn release(&mut self, shared: &mut Shared) {
        if let Some(held) = self.held.take() {
            held.release(&mut shared.budget);
        }
    }
}

/// Where in the shared buffer lies what is to be echoed.
#[derive(Clone, Copy)]
struct Chunk {
    /// What is sent begins here: a reflected header, or the payload.
    start: usize,
    /// The payload begins here.
    payload: usize,
    /// From here on the payload is new; before, there is no end of a line.
    new: usize,
    end: usize,
}

/// The value, whichever way it came.
fn either(flow: ControlFlow<Next, Next>) -> Next {
    match flow {
        Break(next) | Continue(next) => next,
    }
}

/// Runs a system call again for as long as a signal interrupts it.
#[inline(always)]
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
