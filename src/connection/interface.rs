//! What a connection and its reactor have to say to each other.

use std::io::{self, ErrorKind, Read, Write};

use crate::connection::clock::Clock;
use crate::connection::held::Budget;
use proxy::{Header, MAX_V1_LEN};

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
    pub(super) read_size: usize,
    pub(super) buffer: Box<[u8]>,
}

impl Shared {
    /// Free space in front of what is read, in which a version 1 line can be put before the payload of a version 2 header:
    /// one send for both.
    pub(super) const HEADROOM: usize = MAX_V1_LEN;

    /// `read_size` is the most bytes that one read takes. What is unfinished has room in front of them.
    #[must_use]
    pub fn new(echo: Echo, reflect_header: bool, read_size: usize, budget: Budget) -> Self {
        let unfinished = match echo {
            Echo::Stream => proxy::MAX_V2_LEN,
            Echo::Lines { max } => max.max(proxy::MAX_V2_LEN),
        };
        let buffer = vec![0; Self::HEADROOM + unfinished + read_size].into_boxed_slice();
        Shared { echo, reflect_header, clock: Clock::start(), budget, read_size, buffer }
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
    /// The longest period of the clock, where somebody looks at how long connections are idle.
    pub most_period_ms: Option<u32>,
}

impl TimeLimits {
    /// How often the clock must be read while there are connections, or `None` if it need not.
    #[must_use]
    pub fn period_ms(&self) -> Option<u32> {
        let period_ms = self.idle_ms.map(|idle_ms| (idle_ms / 8).max(1));
        period_ms.into_iter().chain(self.most_period_ms).min()
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
    /// The connection's own: there is input that was looked at, and waits in the kernel for space to be sent.
    pub(super) const BLOCKED: Ready = Ready(8);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }

    pub(super) const fn has(self, other: Ready) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn without(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

/// When to call [`Connection::turn`](super::Connection::turn) again.
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
    /// After a pause: the kernel, or the budget for headers, has no memory, and nothing reports when it has.
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

impl Reason {
    /// One of each name.
    pub(crate) const ALL: [Reason; 11] = [
        Reason::ByPeer,
        Reason::Reset,
        Reason::HeaderRefused,
        Reason::HeaderTimeout,
        Reason::HeaderCut,
        Reason::NotTrusted,
        Reason::LineTooLong,
        Reason::IdleTimeout,
        Reason::StallTimeout,
        Reason::Stopped,
        Reason::Failed(ErrorKind::Other),
    ];

    /// The reason in a word, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::ByPeer => "closed_by_peer",
            Reason::Reset => "reset_by_peer",
            Reason::HeaderRefused => "header_refused",
            Reason::HeaderTimeout => "header_timeout",
            Reason::HeaderCut => "header_cut",
            Reason::NotTrusted => "not_trusted",
            Reason::LineTooLong => "line_too_long",
            Reason::IdleTimeout => "idle_timeout",
            Reason::StallTimeout => "stall_timeout",
            Reason::Stopped => "server_stopped",
            Reason::Failed(_) => "failed",
        }
    }
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

impl Refusal {
    /// The refusal in a sentence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Invalid(error) => error.as_str(),
            Refusal::Cut => "it ends too early",
            Refusal::Late => "the rest did not come in time",
        }
    }
}
