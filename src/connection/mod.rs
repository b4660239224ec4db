//! One connection's state machine, over any stream that reads and writes without blocking. It does not know the
//! reactor.
//!
//! ```text
//! AwaitingHeader ──header──▶ Echoing ──FIN──▶ Finishing ──all sent──▶ closed
//!                               └──line too long──▶ Condemned ──all sent──▶ Draining ──FIN──▶ closed
//! ```
//!
//! Readiness is edge-triggered. A turn may therefore end with work left only if the socket reported that it is empty or
//! full, because then an edge will come, or if the caller is told to call again ([`Next`]). A read shorter than its
//! buffer also means "empty", which saves a second read. There are two exceptions, latched until they are over: a FIN
//! gives no further edge, and an urgent byte cuts a read short although more data is there.

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
    /// The connection begins with a header or with payload.
    AwaitingEither,
    Echoing,
    /// The peer's FIN was read; output for it is left.
    Finishing,
    /// A line was too long; output from before it is left.
    Condemned,
    /// Our FIN is sent. The connection reads on until the peer's FIN, because closing with unread input resets the
    /// connection, and a reset can destroy output that the peer has not read yet.
    Draining,
}

/// One connection. It allocates memory only for output that its peer has not taken and for an unfinished header or
/// line.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    /// When the time limit of the present state began, in ms.
    since_ms: u32,
    state: State,
    /// Conditions that are reported only once and last: the peer's FIN, an unread urgent byte, blocked input.
    latched: Ready,
    held: Option<HeldBox>,
}

/// The result of a part of a turn: its value, or the end of the turn.
type Step<T = ()> = ControlFlow<Next, T>;

impl<S: Stream> Connection<S> {
    /// A connection accepted at `now_ms`.
    pub fn new(stream: S, expect: Expect, now_ms: u32) -> Self {
        let state = match expect {
            Expect::Header => State::AwaitingHeader,
            Expect::Either => State::AwaitingEither,
            Expect::Payload => State::Echoing,
        };
        Connection { stream, since_ms: now_ms, state, latched: Ready::WRITABLE, held: None }
    }

    /// One turn: sends the output owed, reads once, and handles the bytes read.
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

    /// Remembers reported readiness for a later turn.
    pub fn note(&mut self, ready: Ready) {
        self.latched = self.latched.union(ready);
    }

    /// Whether readable input was noted and has not had a turn yet.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        self.latched.intersects(Ready::READABLE)
    }

    /// The stream, for registering it with the poll.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The pool and size in bytes of the unfinished header or line that it holds, if any.
    #[must_use]
    pub fn unfinished(&self) -> Option<(Pool, usize)> {
        let size = self.held.as_ref().map(|held| held.unfinished().len()).filter(|&size| size > 0)?;
        match self.state {
            State::AwaitingHeader | State::AwaitingEither => Some((Pool::Headers, size)),
            State::Echoing => Some((Pool::Payload, size)),
            State::Finishing | State::Condemned | State::Draining => None,
        }
    }

    /// How many of the bytes sent the peer's kernel has acknowledged.
    ///
    /// # Errors
    ///
    /// The system does not report it.
    pub fn delivery(&self) -> io::Result<Delivery> {
        self.stream.delivery()
    }

    /// Bytes of output that the peer was not sent.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.owed().len())
    }

    /// The name of its state, for programs.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.state {
            State::AwaitingHeader | State::AwaitingEither => "awaiting_header",
            State::Echoing => "echoing",
            State::Finishing => "finishing",
            State::Condemned | State::Draining => "closing",
        }
    }

    /// Bytes held in memory: unsent output and unfinished input.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.owed().len() + held.unfinished().len())
    }

    /// Bytes of the budget that it uses.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.memory())
    }

    /// The clock's reading at the last progress in either direction, in ms.
    #[must_use]
    pub fn since_ms(&self) -> u32 {
        self.since_ms
    }

    /// Returns its held bytes to the budget and closes.
    pub fn close(self, budget: &mut Budget) {
        if let Some(held) = self.held {
            held.release(budget);
        }
    }

    /// The usual turn of most connections: one read, and one send of the same bytes.
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

    /// Echoes while other connections use up the budget: peek, send, then consume only the bytes that were sent. The
    /// rest stays unread in the kernel, where the peer's window bounds it. Costs a third system call.
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
                // The peeked bytes are there: a signal came while the first of them is an urgent byte.
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

    /// A turn with a header, lines or held bytes.
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

    /// Converts the result of a turn's last part into the turn's result.
    #[inline(always)]
    fn end_turn(&self, step: Step<Took>) -> Next {
        match step {
            Continue(took) => self.next_after_read(took),
            Break(next) => next,
        }
    }

    fn work(&mut self, shared: &mut Shared, observer: &mut impl Observer) -> Step<Took> {
        // Most headers come whole: nothing is held, and a call only to find that out costs 20 instructions.
        if self.held.is_some() {
            self.send_held(shared, observer)?;
        }
        match self.state {
            State::Finishing => return Break(Next::Closed(Reason::ByPeer)),
            State::Condemned => self.send_fin(shared)?,
            _ => {}
        }
        // Put the unfinished input before the bytes read, so that both are parsed in one piece.
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

    /// Reads at most `room` bytes into the buffer from `new` on. Returns the end of the new bytes; it equals `new` if
    /// the peer sent FIN.
    #[inline(always)]
    fn read(&mut self, new: usize, room: usize, shared: &mut Shared) -> Step<(usize, Took)> {
        let room = room.min(shared.read_size);
        match uninterrupted(|| self.stream.read(&mut shared.buffer[new..new + room])) {
            // A read this short was shorter than its buffer.
            Ok(count) if count < Budget::MIN_READ => Continue((new + count, Took::Little)),
            Ok(count) => Continue((new + count, shared.took(count, room))),
            Err(error) => Break(self.read_failed(&error)),
        }
    }

    /// Whether the socket may have more input after a read.
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
            // All input before and after the urgent byte was read.
            self.latched = self.latched.difference(Ready::PRIORITY);
        }
        next_after(error)
    }

    /// Handles the new input `buffer[new..end]`; the unfinished input is before it.
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

    /// Sends as much of the chunk as the echo unit allows, and holds the rest.
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

    /// Sends `buffer[start..owed]`, and holds what the socket did not take and the bytes after it, up to `end`.
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
        // A short write means that the socket is full. It reports an edge when it has space again.
        if start + sent < owed { Break(Next::Changed) } else { Continue(()) }
    }

    /// Keeps `buffer[start..owed]` as output for the peer, and `buffer[owed..end]` as unfinished input.
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

    /// Sends the held output.
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
            // Without a required header, an unfinished one is payload.
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

    /// Sends FIN after all bytes before the line that is too long were sent.
    fn send_fin(&mut self, shared: &mut Shared) -> Step {
        self.state = State::Draining;
        self.since_ms = shared.clock.read() as u32;
        match self.stream.shutdown_write() {
            Ok(()) => Continue(()),
            Err(_) => Break(Next::Closed(Reason::LineTooLong)),
        }
    }

    /// Holds `buffer[new..end]` after the unfinished input.
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
    /// Classifies and counts a read of `count` bytes into a buffer of `room`.
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

/// The size of a read. A read shorter than its buffer has drained the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Took {
    /// Few bytes; the socket is drained.
    Little,
    /// Many bytes; the socket is drained.
    Much,
    /// The whole buffer; the socket may have more.
    Full,
}

/// From this size on, a read makes the reactor check whether its turn has moved enough bytes.
pub(crate) const LARGE_READ: usize = if cfg!(test) { 4096 } else { 8 * 1024 };

/// The part of the shared buffer that is to be echoed.
#[derive(Clone, Copy)]
struct Chunk {
    /// Start of the output: a reflected header, or the payload.
    start: usize,
    /// Start of the payload.
    payload: usize,
    /// Start of the new payload; before it there is no end of a line.
    new: usize,
    end: usize,
}

/// The input is not a header, or one that the settings refuse.
#[cold]
fn refuse(refusal: Refusal, received: &[u8], observer: &mut impl Observer) -> Step {
    observer.refused(refusal, received);
    Break(Next::Closed(Reason::HeaderRefused))
}

/// The input cannot be kept for want of memory. The connection ends rather than lose bytes.
#[cold]
fn no_memory(_: OutOfMemory) -> Step {
    Break(Next::Closed(Reason::Failed(ErrorKind::OutOfMemory)))
}

/// Repeats a system call while signals interrupt it.
#[inline(always)]
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The turn's result after an error of `recv(2)` or `send(2)`.
#[cold]
fn next_after(error: &io::Error) -> Next {
    match error.kind() {
        ErrorKind::WouldBlock => Next::Changed,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Next::Closed(Reason::Reset),
        _ if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) => Next::Pause,
        kind => Next::Closed(Reason::Failed(kind)),
    }
}
