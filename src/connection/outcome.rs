//! The results of a connection's turn, and the reasons why a connection ends.

use std::io::ErrorKind;

/// The result of a turn: when to call [`Connection::turn`](super::Connection::turn) again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At the socket's next event. Neither the held bytes nor the active deadline have changed.
    Unchanged,
    /// At the socket's next event. The held bytes or the active deadline may have changed.
    Changed,
    /// Soon: there is more to do, but other connections should have their turn first.
    Again,
    /// When the budget has room.
    Starved,
    /// When the budget has room for unfinished headers.
    Crowded,
    /// After a pause: the kernel has no memory, and no event tells when it has.
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
    /// The input is not a header.
    HeaderRefused,
    /// The header was not complete in time.
    HeaderTimeout,
    /// The peer sent FIN inside the header.
    HeaderCut,
    /// The peer may not send a header.
    NotTrusted,
    /// A line was longer than allowed.
    LineTooLong,
    /// The connection was idle for too long.
    IdleTimeout,
    /// The connection was idle for some seconds while the server was stopping.
    Drained,
    /// At the connection limit, it was the longest silent one when a new connection needed its place.
    Displaced,
    /// It held the most bytes when the memory for unfinished headers and lines was used up.
    Evicted,
    /// The first byte did not come in time.
    FirstByteTimeout,
    /// The peer took none of its output for too long.
    StallTimeout,
    /// The server stopped.
    Stopped,
    /// The socket failed with another error.
    Failed(ErrorKind),
}

impl Reason {
    /// One reason of each name.
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

    /// The name of the reason, for programs.
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

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes cannot become a header.
    Invalid(proxy::Error),
    /// The input ended before the header did.
    Cut,
    /// The header was not complete in time.
    Late,
    /// The header is longer than `--max-header` allows.
    TooLong,
    /// It has the version that `--proxy-version` excludes.
    OtherVersion,
}

impl Refusal {
    /// All refusals.
    pub(crate) fn all() -> impl Iterator<Item = Refusal> {
        let others = [Refusal::Cut, Refusal::Late, Refusal::TooLong, Refusal::OtherVersion];
        proxy::Error::ALL.iter().copied().map(Refusal::Invalid).chain(others)
    }

    /// The name of the refusal, for programs.
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
