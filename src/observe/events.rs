//! The events of the log in words. `json` has the same events as JSON.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::connection::{Reason, Refusal};
use crate::observe::hint::mixed_families;
use crate::policy;
use proxy::Header;
use proxy::escape::Escaped;
use proxy::policy::Mode;
use proxy_echo_limits::memory::Source;
use signal_hook::low_level::signal_name;

/// A line of the log.
pub(crate) struct Entry<'a> {
    pub(crate) time: SystemTime,
    /// The number of the connection that the event concerns.
    pub(crate) connection: Option<u64>,
    pub(crate) event: Event<'a>,
}

pub(crate) enum Event<'a> {
    Listening(Listening),
    AdminListening(SocketAddr),
    /// Headers are optional. `trusted` says whether only trusted peers may send one.
    Guessing {
        trusted: bool,
    },
    Accepted {
        peer: SocketAddr,
    },
    Header(&'a Header<'a>),
    /// The connection has no header, and none is required.
    Plain,
    Refused {
        refusal: Refusal,
        received: &'a [u8],
    },
    Input(&'a [u8]),
    Gone(Farewell),
    /// Accepting pauses because the system has no descriptors or memory left.
    AcceptFailed(&'a io::Error),
    /// The limit on connections is reached.
    Full(usize),
    /// A signal came, and the server still accepts for a while.
    Leaving {
        delay: Duration,
    },
    Stopping {
        open: usize,
        timeout: Duration,
        /// Whether the log is written to a terminal.
        interactive: bool,
    },
    /// The number of connections still open when the drain timeout is over or a second signal came.
    Cut(usize),
    /// The number of connections that are still to be closed.
    Closing(usize),
    /// SIGHUP came, which reloads nothing.
    NothingReloaded,
    /// The signal with this number came, and the server ignores it.
    SignalIgnored(i32),
    /// The log file has reached the limit of `ulimit -f`.
    LogFull,
    /// A new connection cannot be registered with epoll: no memory, or too many watches.
    WatchFailed(&'a io::Error),
    /// The default of `--max-held` is this number of bytes, because there is little memory.
    MaxHeldLowered(usize, Source),
    /// The system has less memory than `--max-held`. The limit is now this number of bytes.
    MemoryShort(usize),
    LinesDropped(u64),
    Terminated,
}

/// A listener of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    /// Whether its connections begin with a header.
    pub(crate) mode: Mode,
}

/// How a connection ended.
#[derive(Clone, Copy)]
pub(crate) struct Farewell {
    pub(crate) reason: Reason,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) unsent: usize,
    pub(crate) lasted: Duration,
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", humantime::format_rfc3339_millis(self.time))?;
        if let Some(number) = self.connection {
            write!(f, "#{number} ")?;
        }
        self.event.fmt(f)
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Listening(on) => on.fmt(f),
            Event::AdminListening(address) => write!(f, "admin is on {address}"),
            Event::Guessing { trusted: true } => {
                f.write_str("PROXY headers are optional: guessed from the first bytes of trusted peers")
            }
            Event::Guessing { trusted: false } => f.write_str(
                "PROXY headers are optional: any client can claim any address (name the balancers with --trust)",
            ),
            Event::Accepted { peer } => write!(f, "is accepted, peer {peer}"),
            Event::Header(header) => header.fmt(f),
            Event::Plain => f.write_str("no PROXY header"),
            Event::Refused { refusal, received } => write_refused(f, *refusal, received),
            Event::Input(bytes) => write!(f, "IN> {}", Escaped(bytes)),
            Event::Gone(farewell) => farewell.fmt(f),
            Event::AcceptFailed(error) => write!(f, "cannot accept: {error}; trying again"),
            Event::Full(limit) => write!(f, "connection limit {limit} reached; new connections wait in the backlog"),
            Event::Leaving { delay } => {
                write!(f, "server is leaving: it accepts for {} more", humantime::format_duration(*delay))
            }
            Event::Stopping { open, timeout, interactive: false } => {
                let limit = humantime::format_duration(*timeout);
                write!(f, "server is stopping: open connections {open}, time limit {limit}")
            }
            Event::Stopping { open, timeout, interactive: true } => {
                let (plural, limit) = (if *open == 1 { "" } else { "s" }, humantime::format_duration(*timeout));
                write!(f, "{open} connection{plural} open; press Ctrl-C again to end at once, or wait {limit} at most")
            }
            Event::Cut(open) => write!(f, "connections that are still open are cut: {open}"),
            Event::Closing(open) => write!(f, "connections still to be closed: {open}"),
            Event::NothingReloaded => f.write_str(
                "SIGHUP: nothing is reloaded, all settings are arguments (a restart need not lose a connection)",
            ),
            Event::SignalIgnored(number) => match signal_name(*number) {
                Some(name) => write!(f, "{name} means nothing to the server: ignored"),
                None => write!(f, "signal {number} means nothing to the server: ignored"),
            },
            Event::LogFull => {
                f.write_str("the log's file is as large as it may be (SIGXFSZ; ulimit -f): lines are dropped")
            }
            Event::WatchFailed(error) => {
                write!(f, "cannot watch a new connection ({}): {error}; trying again", watch_limit(error))
            }
            Event::MaxHeldLowered(bytes, source) => {
                write!(f, "--max-held is {bytes} bytes here by default, a quarter of what {source} leaves")
            }
            Event::MemoryShort(limit) => {
                write!(f, "the system has less memory than --max-held: no more than {limit} bytes are held")
            }
            Event::LinesDropped(count) => write!(f, "{count} log lines were dropped: their reader is too slow"),
            Event::Terminated => f.write_str("server was terminated."),
        }
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server is on {}", self.address)?;
        match self.mode {
            // The mode that the specification demands needs no mention.
            Mode::Required => Ok(()),
            mode => write!(f, " (--proxy-protocol {})", policy::name(mode)),
        }
    }
}

/// The limit that `epoll_ctl(2)` reached.
fn watch_limit(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "fs.epoll.max_user_watches",
        _ => "memory",
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Farewell { reason, received, sent, unsent, lasted } = self;
        write!(f, "is gone: {reason}, {received} bytes in, {sent} bytes out, ")?;
        if *unsent > 0 {
            write!(f, "{unsent} bytes unsent, ")?;
        }
        write!(f, "{:.3} s", lasted.as_secs_f64())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::ByPeer => "closed by peer",
            Reason::Reset => "reset by peer",
            Reason::HeaderRefused => "header refused",
            Reason::HeaderTimeout => "header timeout",
            Reason::HeaderCut => "closed by peer inside the header",
            Reason::NotTrusted => "peer is not trusted to send a header",
            Reason::LineTooLong => "line too long",
            Reason::IdleTimeout => "idle timeout",
            Reason::Drained => "silent while the server stops",
            Reason::Displaced => "silent longest when a newcomer needed its place",
            Reason::Evicted => "held the most when memory for unfinished headers and lines was used up",
            Reason::FirstByteTimeout => "first byte timeout",
            Reason::StallTimeout => "stall timeout",
            Reason::Stopped => "server stopped",
            Reason::Failed(kind) => return write!(f, "socket failed: {kind}"),
        })
    }
}

fn write_refused(f: &mut fmt::Formatter<'_>, refusal: Refusal, received: &[u8]) -> fmt::Result {
    let offset = offset(received);
    write!(f, "header refused: {refusal} at byte {offset}, in \"{}\"", Escaped(shown(received)))?;
    match mixed(refusal, received) {
        Some(hint) => write!(f, " ({hint})"),
        None => Ok(()),
    }
}

/// The likely cause of a refused line with addresses of two families.
pub(crate) fn mixed(refusal: Refusal, received: &[u8]) -> Option<&'static str> {
    match refusal {
        Refusal::Invalid(error) => mixed_families(received, error),
        _ => None,
    }
}

/// The offset of the first byte that is wrong.
pub(crate) fn offset(received: &[u8]) -> usize {
    proxy::error_offset(received).unwrap_or(received.len())
}

/// The first bytes of a refused header.
pub(crate) fn shown(received: &[u8]) -> &[u8] {
    /// Enough for a version 1 line.
    const SHOWN: usize = proxy::MAX_V1_LEN;
    &received[..received.len().min(SHOWN)]
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
