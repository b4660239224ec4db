//! What a turn of a connection comes to, and why a connection ends.

use std::io::ErrorKind;

/// What a turn came to: when to call [`Connection::turn`](super::Connection::turn) again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At the socket's next event. Neither what is held nor the active deadline has changed.
    Unchanged,
    /// At the socket's next event. What is held or the active deadline may have changed.
    Changed,
    /// Soon: there is more to do, but others should have their turn.
    Again,
    /// When the budget has room.
    Starved,
    /// When there is room for unfinished headers.
    Crowded,
    /// After a pause: the kernel has no memory, and nothing reports when it has.
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
    /// Nothing happened for some seconds while the server was stopping.
    Drained,
    /// It was silent longest when a newcomer needed its place.
    Displaced,
    /// It held the most when memory for unfinished headers and lines was used up.
    Evicted,
    /// No byte came in the time for the first one.
    FirstByteTimeout,
    /// The peer took none of what it was owed for too long.
    StallTimeout,
    /// The server stopped.
    Stopped,
    /// The socket failed otherwise.
    Failed(ErrorKind),
}

impl Reason {
    /// One of each name.
    pub(crate) const ALL: [Reason; 15] = [
        Reason::ByPeer,
        Reason::Reset,
        Reason::HeaderRefused,
        Reason::HeaderTimeout,
        Reason::HeaderCut,
        Reason::NotTrusted,
        Reason::LineTooLong,
        Reason::IdleTimeout,
        Reason::Drained,
        Reason::Displaced,
        Reason::Evicted,
        Reason::FirstByteTimeout,
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
            Reason::Drained => "drained",
            Reason::Displaced => "displaced",
            Reason::Evicted => "evicted",
            Reason::FirstByteTimeout => "first_byte_timeout",
            Reason::StallTimeout => "stall_timeout",
            Reason::Stopped => "server_stopped",
            Reason::Failed(_) => "failed",
        }
    }
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
    /// It is longer than `--max-header` allows.
    TooLong,
    /// It is of the version that `--proxy-version` leaves out.
    OtherVersion,
}

impl Refusal {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Refusal> {
        let others = [Refusal::Cut, Refusal::Late, Refusal::TooLong, Refusal::OtherVersion];
        proxy::Error::ALL.iter().copied().map(Refusal::Invalid).chain(others)
    }

    /// The refusal in a word, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Invalid(error) => error.name(),
            Refusal::Cut => "cut",
            Refusal::Late => "late",
            Refusal::TooLong => "too_long",
            Refusal::OtherVersion => "other_version",
        }
    }

    /// The refusal in a sentence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Invalid(error) => error.as_str(),
            Refusal::Cut => "it ends too early",
            Refusal::Late => "the rest did not come in time",
            Refusal::TooLong => "it is longer than --max-header allows",
            Refusal::OtherVersion => "its version is not the one that --proxy-version takes",
        }
    }
}
