//! What there is to say, in words. The same as JSON is in `json`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::connection::{Reason, Refusal};
use proxy::escape::{Escaped, Hex};
use proxy::tlv::{Ssl, Value};
use proxy::{Addresses, Command, Header, Tlv, Tlvs, Transport, Version};

/// A line of the log.
pub(crate) struct Entry<'a> {
    pub(crate) time: SystemTime,
    /// The number of the connection that it is about.
    pub(crate) connection: Option<u64>,
    pub(crate) event: Event<'a>,
}

pub(crate) enum Event<'a> {
    Listening(SocketAddr),
    AdminListening(SocketAddr),
    /// Headers are optional; `trusted` says whether any peer's is taken.
    Guessing {
        trusted: bool,
    },
    Accepted {
        peer: SocketAddr,
    },
    Header(&'a Header<'a>),
    /// No header, where none is required.
    Plain,
    Refused {
        refusal: Refusal,
        received: &'a [u8],
    },
    Input(&'a [u8]),
    Gone(Farewell),
    /// Accepting pauses: no descriptors, no memory.
    AcceptFailed(&'a io::Error),
    /// As many connections as are allowed.
    Full(usize),
    /// Accepting goes on, though a signal came.
    Leaving {
        delay: Duration,
    },
    Stopping {
        open: usize,
        timeout: Duration,
    },
    /// Connections that are still open when the time to finish is over, or a second signal came.
    Cut(usize),
    /// SIGHUP came.
    NothingReloaded,
    LinesDropped(u64),
    Terminated,
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
            Event::Listening(address) => write!(f, "server is on {address}"),
            Event::AdminListening(address) => write!(f, "admin is on {address}"),
            Event::Guessing { trusted: true } => {
                f.write_str("PROXY headers are optional: guessed from the first bytes of trusted peers")
            }
            Event::Guessing { trusted: false } => f.write_str(
                "PROXY headers are optional: any client can claim any address (name the balancers with --trust)",
            ),
            Event::Accepted { peer } => write!(f, "is accepted, peer {peer}"),
            Event::Header(header) => write_header(f, header),
            Event::Plain => f.write_str("no PROXY header"),
            Event::Refused { refusal, received } => write_refused(f, *refusal, received),
            Event::Input(bytes) => write!(f, "IN> {}", Escaped(bytes)),
            Event::Gone(farewell) => farewell.fmt(f),
            Event::AcceptFailed(error) => write!(f, "cannot accept: {error}; trying again"),
            Event::Full(limit) => write!(f, "as many connections as are allowed are open, {limit}: further ones wait"),
            Event::Leaving { delay } => {
                write!(f, "server is leaving: it accepts for {} more", humantime::format_duration(*delay))
            }
            Event::Stopping { open, timeout } => {
                write!(
                    f,
                    "server is stopping: open connections {open}, time limit {}",
                    humantime::format_duration(*timeout)
                )
            }
            Event::Cut(open) => write!(f, "connections that are still open are cut: {open}"),
            Event::NothingReloaded => f.write_str(
                "SIGHUP: nothing is reloaded, all settings are arguments (a restart need not lose a connection)",
            ),
            Event::LinesDropped(count) => write!(f, "{count} log lines were dropped: their reader is too slow"),
            Event::Terminated => f.write_str("server was terminated."),
        }
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
            Reason::StallTimeout => "stall timeout",
            Reason::Stopped => "server stopped",
            Reason::Failed(kind) => return write!(f, "socket failed: {kind}"),
        })
    }
}

fn write_refused(f: &mut fmt::Formatter<'_>, refusal: Refusal, received: &[u8]) -> fmt::Result {
    let offset = offset(received);
    write!(f, "header refused: {refusal} at byte {offset}, in \"{}\"", Escaped(shown(received)))
}

/// Where in what came the header ceased to be one.
pub(crate) fn offset(received: &[u8]) -> usize {
    proxy::error_offset(received).unwrap_or(received.len())
}

/// The first bytes of what came instead of a header.
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

fn write_header(f: &mut fmt::Formatter<'_>, header: &Header<'_>) -> fmt::Result {
    write!(f, "PROXY {} {}", version(header.version), family(header))?;
    match header.addresses {
        Addresses::Unspecified => {}
        Addresses::Inet { source, destination, .. } => write!(f, " {source} -> {destination}")?,
        Addresses::Inet6 { source, destination, .. } => write!(f, " {source} -> {destination}")?,
        Addresses::Unix { source, destination, .. } => {
            write!(f, " \"{}\" -> \"{}\"", Escaped(path(source)), Escaped(path(destination)))?;
        }
    }
    write_tlvs(f, header.tlvs)
}

fn version(version: Version) -> &'static str {
    match version {
        Version::V1 => "v1",
        Version::V2 => "v2",
    }
}

/// The family by the name that the specification's section 2.2 gives it.
pub(crate) fn family(header: &Header<'_>) -> &'static str {
    match (header.command, header.version, header.addresses) {
        (Command::Local, ..) => "LOCAL",
        (_, Version::V1, Addresses::Unspecified) => "UNKNOWN",
        (_, Version::V2, Addresses::Unspecified) => "UNSPEC",
        (.., Addresses::Inet { transport: Transport::Stream, .. }) => "TCP4",
        (.., Addresses::Inet { transport: Transport::Datagram, .. }) => "UDP4",
        (.., Addresses::Inet6 { transport: Transport::Stream, .. }) => "TCP6",
        (.., Addresses::Inet6 { transport: Transport::Datagram, .. }) => "UDP6",
        (.., Addresses::Unix { transport: Transport::Stream, .. }) => "UNIX_STREAM",
        (.., Addresses::Unix { transport: Transport::Datagram, .. }) => "UNIX_DGRAM",
    }
}

/// A path without its padding. An abstract name begins with a zero byte, which is its own.
pub(crate) fn path(padded: &[u8; 108]) -> &[u8] {
    let length = padded.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &padded[..length]
}

/// Vectors shown, so that a line of the log has a limit.
pub(crate) const VECTORS: usize = 32;

fn write_tlvs(f: &mut fmt::Formatter<'_>, tlvs: Tlvs<'_>) -> fmt::Result {
    for tlv in tlvs.iter().take(VECTORS) {
        f.write_str(", ")?;
        write_tlv(f, tlv)?;
    }
    match tlvs.iter().skip(VECTORS).count() {
        0 => Ok(()),
        more => write!(f, ", and {more} more"),
    }
}

pub(crate) fn write_tlv(f: &mut fmt::Formatter<'_>, tlv: Tlv<'_>) -> fmt::Result {
    match tlv.name() {
        Some(name) => f.write_str(name)?,
        None => write!(f, "0x{:02x}", tlv.kind)?,
    }
    match tlv.decode() {
        Value::Text(text) => write!(f, " \"{}\"", Escaped(text)),
        Value::Checksum(checksum) => write!(f, " 0x{checksum:08x}"),
        Value::Padding(length) => write!(f, " of {length} bytes"),
        Value::Id(id) => write!(f, " {id}"),
        Value::Bytes(bytes) => write!(f, " {}", Hex(bytes)),
        Value::Ssl(Ssl { client, verify, tlvs }) => {
            write!(f, " (client 0x{client:02x}, verify {verify}")?;
            write_tlvs(f, tlvs)?;
            f.write_str(")")
        }
    }
}
