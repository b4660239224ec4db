//! One connection's state machine, over anything that reads and writes without blocking; it knows no reactor.
//!
//! ```text
//! AwaitingHeader ──header──▶ Echoing ──FIN──▶ Finishing ──all sent──▶ closed
//!                               └──line too long──▶ Condemned ──all sent──▶ Draining ──FIN──▶ closed
//! ```
//!
//! Readiness is edge-triggered, so no turn may end with something left to do that nobody remembers: either the socket said
//! that it is empty or full, and an edge will come, or the caller is told to call again ([`Next`]). A read shorter than its
//! buffer says "empty" too, which saves the second read, but for two cases that are latched until they are over: a FIN
//! gives no further edge, and an urgent byte cuts a read short in front of data that is already there.

mod clock;
mod held;
mod limits;
mod lines;
mod observer;
mod outcome;
mod readiness;
mod shared;
mod stream;
mod time;

use std::io::{self, ErrorKind};
use std::ops::ControlFlow::{self, Break, Continue};

pub use self::clock::Clock;
pub use self::held::{Budget, Pool};
use self::held::{Held, HeldBox, OutOfMemory};
pub use self::limits::TimeLimits;
pub use self::observer::Observer;
pub use self::outcome::{Next, Reason, Refusal};
pub use self::readiness::Ready;
pub use self::shared::{Echo, Expect, Shared};
pub use self::stream::{Delivery, Stream};
use proxy::{Status, Version, encode_v1};

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
    /// What was reported once and holds on: that the peer sent FIN, that an urgent byte is not read yet, that it is blocked.
    latched: Ready,
    held: Option<HeldBox>,
}

/// A part of a turn: its value, or the end of the turn.
type Step<T = ()> = ControlFlow<Next, T>;

impl<S: Stream> Connection<S> {
    /// A connection that was accepted at `now_ms`.
    pub fn new(stream: S, expect: Expect, now_ms: u32) -> Self {
        let state = match expect {
            Expect::Header => State::AwaitingHeader,
            Expect::Either => State::AwaitingEither,
            Expect::Payload => State::Echoing,
        };
        Connection { stream, since_ms: now_ms, state, latched: Ready::WRITABLE, held: None }
    }

    /// One turn: sends what is owed, reads once, and does what follows from it.
    #[inline(always)]
    pub fn turn(&mut self, ready: Ready, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        let ready = self.latched.union(ready);
        self.latched = ready.difference(Ready::READABLE.union(Ready::BLOCKED));
        if self.held.is_some() || self.state != State::Echoing || shared.echo != Echo::Stream {
            return self.turn_at_large(ready, shared, observer);
        }
        if !ready.intersects(Ready::READABLE.union(Ready::BLOCKED)) {
            return Next::Unchanged;
        }
        match shared.budget.room() {
            0 => self.echo_unheld(ready.intersects(Ready::BLOCKED), shared, observer),
            room => {
                let step = self.echo_stream(room, shared, observer);
                self.end_turn(step)
            }
        }
    }

    /// Notes what was reported, for a turn to come.
    pub fn note(&mut self, ready: Ready) {
        self.latched = self.latched.union(ready);
    }

    /// Whether something to read was noted that had no turn.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        self.latched.intersects(Ready::READABLE)
    }

    /// The stream, to be registered.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The pool and the number of the bytes that it holds of an unfinished header or line, if it does.
    #[must_use]
    pub fn unfinished(&self) -> Option<(Pool, usize)> {
        let size = self.held.as_ref().map(|held| held.unfinished().len()).filter(|&size| size > 0)?;
        match self.state {
            State::AwaitingHeader | State::AwaitingEither => Some((Pool::Headers, size)),
            State::Echoing => Some((Pool::Payload, size)),
            State::Finishing | State::Condemned | State::Draining => None,
        }
    }

    /// What became of the bytes that were sent.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn delivery(&self) -> io::Result<Delivery> {
        self.stream.delivery()
    }

    /// Bytes that the peer was not sent.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.owed().len())
    }

    /// Its state in a word, for programs.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.state {
            State::AwaitingHeader | State::AwaitingEither => "awaiting_header",
            State::Echoing => "echoing",
            State::Finishing => "finishing",
            State::Condemned | State::Draining => "closing",
        }
    }

    /// Bytes in memory: what the peer was not sent, and what is unfinished.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.owed().len() + held.unfinished().len())
    }

    /// Bytes of the budget that it uses.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.memory())
    }

    /// The clock's reading when something was said or taken last, in ms.
    #[must_use]
    pub fn since_ms(&self) -> u32 {
        self.since_ms
    }

    /// Gives back what it holds and closes.
    pub fn close(self, budget: &mut Budget) {
        if let Some(held) = self.held {
            held.release(budget);
        }
    }

    /// All that most connections do most of the time: what one read brings goes back in one send.
    #[inline(always)]
    fn echo_stream(&mut self, room: usize, shared: &mut Shared, observer: &mut impl Observer) -> Step<Took> {
        let start = Shared::HEADROOM;
        let (end, took) = self.read(start, room, shared)?;
        if end == start {
            return Break(Next::Closed(Reason::ByPeer));
        }
        self.since_ms = shared.clock.now_ms() as u32;
        observer.received(end - start);
        observer.payload(&shared.buffer[start..end]);
        self.deliver(start, end, end, shared, observer)?;
        Continue(took)
    }

    /// The same where the budget is used up by others: what the socket does not take now stays unread in the kernel, where
    /// the peer's window bounds it, for the price of a third system call.
    #[cold]
    fn echo_unheld(&mut self, was_blocked: bool, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        let seen = match uninterrupted(|| self.stream.peek(&mut shared.buffer[..shared.read_size])) {
            Ok(0) => return Next::Closed(Reason::ByPeer),
            Ok(count) => count,
            Err(error) => return self.read_failed(&error),
        };
        let (sent, next) = match uninterrupted(|| self.stream.write(&shared.buffer[..seen])) {
            Ok(count) => (count, Next::Changed),
            Err(error) => (0, next_after(&error)),
        };
        if sent > 0 || !was_blocked {
            self.since_ms = shared.clock.read() as u32;
        }
        observer.received(sent);
        observer.payload(&shared.buffer[..sent]);
        observer.sent(sent);
        let mut taken = 0;
        while taken < sent {
            match uninterrupted(|| self.stream.read(&mut shared.buffer[taken..sent])) {
                Ok(0) => return Next::Closed(Reason::Reset),
                Ok(count) => taken += count,
                // What was looked at is there: a signal came while the first of it is an urgent byte.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return self.read_failed(&error),
            }
        }
        if sent < seen {
            self.latched = self.latched.union(Ready::BLOCKED);
            return next;
        }
        let took = shared.took(seen, shared.read_size);
        self.next_after_read(took)
    }

    /// A turn with a header, with lines, or with something held.
    #[inline(never)]
    fn turn_at_large(&mut self, ready: Ready, shared: &mut Shared, observer: &mut impl Observer) -> Next {
        if self.held.is_none() && !ready.intersects(Ready::READABLE) {
            return Next::Unchanged;
        }
        let step = self.work(shared, observer);
        match self.end_turn(step) {
            Next::Unchanged => Next::Changed,
            next => next,
        }
    }

    /// The turn's result, from that of its last part.
    #[inline(always)]
    fn end_turn(&self, step: Step<Took>) -> Next {
        match step {
            Continue(took) => self.next_after_read(took),
            Break(next) => next,
        }
    }

    fn work(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Step<Took> {
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
            return Break(match self.state {
                State::Echoing if shared.echo == Echo::Stream => self.echo_unheld(false, shared, observer),
                State::AwaitingHeader | State::AwaitingEither => Next::Crowded,
                _ => Next::Starved,
            });
        }
        let (end, took) = self.read(new, room, shared)?;
        if end == new {
            return Break(self.end(shared, observer));
        }
        self.digest(new, end, shared, observer)?;
        Continue(took)
    }

    /// Reads at most `room` bytes behind `buffer[..new]`. Returns where the new bytes end, which is at `new` if the peer sent
    /// FIN.
    #[inline(always)]
    fn read(&mut self, new: usize, room: usize, shared: &mut Shared) -> Step<(usize, Took)> {
        let room = room.min(shared.read_size);
        match uninterrupted(|| self.stream.read(&mut shared.buffer[new..new + room])) {
            // There was more room, whatever it was.
            Ok(count) if count < Budget::MIN_READ => Continue((new + count, Took::Little)),
            Ok(count) => Continue((new + count, shared.took(count, room))),
            Err(error) => Break(self.read_failed(&error)),
        }
    }

    /// Whether a read has left anything.
    #[inline(always)]
    fn next_after_read(&self, took: Took) -> Next {
        match took {
            _ if self.latched.intersects(Ready::READ_CLOSED.union(Ready::PRIORITY)) => Next::Again,
            Took::Little => Next::Unchanged,
            Took::Much => Next::Changed,
            Took::Full => Next::Again,
        }
    }

    #[cold]
    fn read_failed(&mut self, error: &io::Error) -> Next {
        if error.kind() == ErrorKind::WouldBlock && self.latched.intersects(Ready::PRIORITY) {
            if self.stream.has_input() {
                return Next::Again;
            }
            // Everything before and after the urgent byte is read.
            self.latched = self.latched.difference(Ready::PRIORITY);
        }
        next_after(error)
    }

    /// `buffer[new..end]` has come; what was unfinished stands before it.
    fn digest(&mut self, new: usize, end: usize, shared: &mut Shared, observer: &mut impl Observer) -> Step {
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

    fn parse_header(&mut self, new: usize, end: usize, shared: &mut Shared, observer: &mut impl Observer) -> Step {
        let start = Shared::HEADROOM;
        let header = match proxy::parse(&shared.buffer[start..end]) {
            Ok(Status::Complete(header)) => header,
            Ok(Status::Partial) if end - start <= shared.max_len() => {
                if self.held.is_none() {
                    self.since_ms = shared.clock.read() as u32;
                }
                return self.keep(new, end, Pool::Headers, shared);
            }
            Ok(Status::Partial) => return refuse(Refusal::TooLong, &shared.buffer[start..end], observer),
            Err(proxy::Error::Signature) if self.state == State::AwaitingEither => {
                observer.plain();
                self.begin_echo(shared);
                observer.received(end - start);
                return self.echo(Chunk { start, payload: start, new: start, end }, shared, observer);
            }
            Err(error) => return refuse(Refusal::Invalid(error), &shared.buffer[start..end], observer),
        };
        if header.len() > shared.max_lens[header.version as usize] {
            return refuse(shared.refusal(header.version), &shared.buffer[start..end], observer);
        }
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
    fn echo(&mut self, chunk: Chunk, shared: &mut Shared, observer: &mut impl Observer) -> Step {
        match shared.echo {
            Echo::Stream => {
                observer.payload(&shared.buffer[chunk.payload..chunk.end]);
                self.deliver(chunk.start, chunk.end, chunk.end, shared, observer)
            }
            Echo::Lines { max } => self.echo_lines(chunk, max, shared, observer),
        }
    }

    fn echo_lines(&mut self, chunk: Chunk, max: usize, shared: &mut Shared, observer: &mut impl Observer) -> Step {
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
            return self.keep(new, end, Pool::Payload, shared);
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
    ) -> Step {
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
        self.hold(start + sent, owed, end, shared)?;
        // A short write means that the socket is full, and that it will report when it no longer is.
        if start + sent < owed { Break(Next::Changed) } else { Continue(()) }
    }

    /// Keeps `buffer[start..owed]` for the peer, and `buffer[owed..end]` to be finished.
    #[inline(never)]
    fn hold(&mut self, start: usize, owed: usize, end: usize, shared: &mut Shared) -> Step {
        let bytes = &shared.buffer[start..end];
        match Held::keep(bytes, owed - start, Pool::Payload, &mut shared.budget) {
            Ok(held) => self.held = Some(held),
            Err(error) => return no_memory(error),
        }
        self.since_ms = shared.clock.read() as u32;
        Continue(())
    }

    /// The socket took nothing.
    #[cold]
    fn deliver_later(&mut self, error: &io::Error, start: usize, owed: usize, end: usize, shared: &mut Shared) -> Step {
        let next = next_after(error);
        if !matches!(next, Next::Closed(_)) {
            self.hold(start, owed, end, shared)?;
        }
        Break(next)
    }

    /// Sends what is owed.
    fn send_held(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Step {
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
            return Break(Next::Changed);
        }
        if !held.settle(&mut shared.budget) {
            self.release(shared);
        }
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
        held.owe_all(&mut shared.budget);
        self.state = State::Finishing;
        self.since_ms = shared.clock.read() as u32;
        match self.send_held(shared, observer) {
            Break(next) => next,
            Continue(()) => Next::Closed(Reason::ByPeer),
        }
    }

    /// All is sent that came before the line that is too long.
    fn send_fin(&mut self, shared: &mut Shared) -> Step {
        self.state = State::Draining;
        self.since_ms = shared.clock.read() as u32;
        match self.stream.shutdown_write() {
            Ok(()) => Continue(()),
            Err(_) => Break(Next::Closed(Reason::LineTooLong)),
        }
    }

    /// Holds `buffer[new..end]` behind what is unfinished.
    fn keep(&mut self, new: usize, end: usize, pool: Pool, shared: &mut Shared) -> Step {
        let bytes = &shared.buffer[new..end];
        let kept = match &mut self.held {
            _ if bytes.is_empty() => Ok(()),
            Some(held) => held.append(bytes, &mut shared.budget),
            None => Held::keep(bytes, 0, pool, &mut shared.budget).map(|held| self.held = Some(held)),
        };
        kept.map_or_else(no_memory, Continue)
    }

    fn release(&mut self, shared: &mut Shared) {
        if let Some(held) = self.held.take() {
            held.release(&mut shared.budget);
        }
    }
}

impl Shared {
    /// What a read of `count` bytes came to, where there was room for `room`. Counts it.
    #[cold]
    fn took(&mut self, count: usize, room: usize) -> Took {
        self.moved += count;
        match count {
            _ if count >= room => Took::Full,
            ..LARGE_READ => Took::Little,
            _ => Took::Much,
        }
    }
}

/// What a read came to. One that is shorter than its buffer has drained the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Took {
    /// A few bytes, and all that there was.
    Little,
    /// Many, and all that there was.
    Much,
    /// As many as there was room for.
    Full,
}

/// A read of fewer bytes does not make the reactor look whether its turn has moved enough.
const LARGE_READ: usize = 32 * 1024;

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

/// What came is not a header, or none that is taken.
#[cold]
fn refuse(refusal: Refusal, received: &[u8], observer: &mut impl Observer) -> Step {
    observer.refused(refusal, received);
    Break(Next::Closed(Reason::HeaderRefused))
}

/// What came cannot be kept: it would be lost, so the connection ends here.
#[cold]
fn no_memory(_: OutOfMemory) -> Step {
    Break(Next::Closed(Reason::Failed(ErrorKind::OutOfMemory)))
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
        ErrorKind::WouldBlock => Next::Changed,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Next::Closed(Reason::Reset),
        _ if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) => Next::Pause,
        kind => Next::Closed(Reason::Failed(kind)),
    }
}
