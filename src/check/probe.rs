//! One connection through the balancer: what comes before the check sends anything, what comes after, and how soon.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memchr::memmem;

use super::tls::{Client, Fault, Session, Stream};
use crate::cli::SendVersion;
use proxy::{Addresses, Command, MAX_V2_LEN, Transport, V2};

/// How long to wait for a header that is sent before the client speaks; enough for a back end on another continent.
const QUIET: Duration = Duration::from_secs(1);

/// Most bytes read before the check's own words come back: two headers of the greatest length.
const MOST: usize = 2 * MAX_V2_LEN;

const PING: &[u8] = b"round trip\n";
const ROUND_TRIPS: usize = 5;

/// The bytes that the check sends first.
#[derive(Clone, Copy)]
pub(super) enum Opening {
    Nothing,
    /// This many headers without a client.
    Unknown(usize),
    /// The header that a balancer would send for this connection; before the TLS handshake, if there is one.
    Header(SendVersion),
    /// A header without a client, before the handshake.
    UnknownFirst,
}

/// How to make connections.
pub(super) struct How {
    /// Longest time to open a connection, for a handshake, and for each answer.
    pub(super) timeout: Duration,
    pub(super) tls: Option<Client>,
}

/// The observations. The connection stays open as long as this value lives, so that the admin port can be asked about
/// it.
pub(super) struct Seen {
    pub(super) local: SocketAddr,
    pub(super) connect: Duration,
    /// The bytes received before the check's own words.
    pub(super) received: Vec<u8>,
    /// Whether they began to arrive before the check sent anything.
    pub(super) is_early: bool,
    pub(super) end: End,
    /// The median of a few round trips.
    pub(super) round_trip: Option<Duration>,
    /// The number of bytes that the check sent after the opening.
    pub(super) said: u64,
    /// The TLS session, if TLS is used.
    pub(super) session: Option<Session>,
    /// Why TLS ended the connection, if it did.
    pub(super) fault: Option<Fault>,
    _stream: TcpStream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The check's words came back.
    Echoed,
    /// It was closed before the check sent anything.
    ClosedAtOnce,
    /// It was closed after the check sent its words.
    Closed,
    /// Nothing came.
    Silent,
    /// Something else came.
    NoEcho,
    /// TLS ended the connection.
    NoTls,
}

/// Connects, waits for a header, sends words, and waits for them to come back.
pub(super) fn probe(address: SocketAddr, opening: Opening, how: &How) -> io::Result<Seen> {
    let start = Instant::now();
    let stream = TcpStream::connect_timeout(&address, how.timeout)?;
    let connect = start.elapsed();
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(how.timeout))?;
    let local = stream.local_addr()?;
    let mut seen = Seen {
        local,
        connect,
        received: Vec::new(),
        is_early: false,
        end: End::NoTls,
        round_trip: None,
        said: 0,
        session: None,
        fault: None,
        _stream: stream.try_clone()?,
    };
    let mut opening_bytes = opening.bytes(local, address);
    let socket = stream.try_clone()?;
    let stream: Box<dyn Stream> = match &how.tls {
        None => Box::new(stream),
        Some(tls) => {
            let clear = if opening.is_in_clear() { mem::take(&mut opening_bytes) } else { Vec::new() };
            match tls.shake(stream, &clear, how.timeout) {
                Ok((stream, session)) => {
                    seen.session = Some(session);
                    stream
                }
                Err(fault) => return Ok(Seen { fault: Some(fault), ..seen }),
            }
        }
    };
    let mut line = Line { socket, stream, received: Vec::new(), timeout: how.timeout };
    talk(&mut line, &opening_bytes, !matches!(opening, Opening::Header(_)), &mut seen);
    if matches!(seen.end, End::Closed | End::ClosedAtOnce) {
        seen.fault = line.stream.fault();
    }
    if seen.fault.is_some() {
        seen.end = End::NoTls;
    }
    Ok(seen)
}

/// Waits for a header if `opening` is not one, sends words, and waits for them to come back.
fn talk(line: &mut Line, opening: &[u8], may_come_early: bool, seen: &mut Seen) {
    let is_awaited = opening.is_empty() && may_come_early;
    let awaited = if is_awaited { line.more(line.timeout.min(QUIET)) } else { More::Nothing };
    seen.end = End::ClosedAtOnce;
    if awaited != More::Closed {
        let words = words();
        seen.end = line.say(opening, &words);
        seen.said += words.len() as u64;
    }
    if seen.end == End::Echoed {
        seen.received = mem::take(&mut line.received);
        let mut times: Vec<_> = (0..ROUND_TRIPS).map_while(|_| line.round_trip()).collect();
        seen.said += (times.len() * PING.len()) as u64;
        times.sort_unstable();
        seen.round_trip = times.get(times.len() / 2).copied();
    } else {
        seen.received = mem::take(&mut line.received);
        if !seen.received.is_empty() {
            seen.end = End::NoEcho;
        }
    }
    seen.is_early = awaited == More::Some;
}

struct Line {
    /// The stream's socket, for its timeouts.
    socket: TcpStream,
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Some,
    Nothing,
    Closed,
}

impl Line {
    /// Waits for bytes. A failed connection counts as closed.
    fn more(&mut self, timeout: Duration) -> More {
        let mut bytes = [0; 16 * 1024];
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let read = self.socket.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut bytes));
            return match read {
                Ok(0) => More::Closed,
                Ok(count) => {
                    self.received.extend_from_slice(&bytes[..count]);
                    More::Some
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted if Instant::now() < end => continue,
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => More::Nothing,
                    _ => More::Closed,
                },
            };
        }
    }

    /// Sends `words` after `opening`, and leaves the bytes that come before their echo in `received`.
    fn say(&mut self, opening: &[u8], words: &[u8]) -> End {
        let end = Instant::now() + self.timeout;
        if self.stream.write_all(&[opening, words].concat()).is_err() {
            // The peer's last words, such as a TLS alert, may still be there to read.
            self.more(Duration::from_millis(1));
            return End::Closed;
        }
        while self.received.len() <= MOST + words.len() {
            if let Some(at) = memmem::find(&self.received, words) {
                self.received.truncate(at);
                return End::Echoed;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.more(left.max(Duration::from_millis(1))) {
                More::Some if left.is_zero() => return End::NoEcho,
                More::Some => {}
                More::Closed => return End::Closed,
                More::Nothing => return End::Silent,
            }
        }
        End::NoEcho
    }

    fn round_trip(&mut self) -> Option<Duration> {
        let start = Instant::now();
        (self.say(&[], PING) == End::Echoed).then(|| start.elapsed())
    }
}

impl Opening {
    /// Whether it is sent before the handshake.
    fn is_in_clear(self) -> bool {
        matches!(self, Opening::Header(_) | Opening::UnknownFirst)
    }

    fn bytes(self, local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
        let version = match self {
            Opening::Nothing => return Vec::new(),
            Opening::Unknown(count) => return proxy::encode_v1(&Addresses::Unspecified).repeat(count),
            Opening::UnknownFirst => return proxy::encode_v1(&Addresses::Unspecified).to_vec(),
            Opening::Header(version) => version,
        };
        let transport = Transport::Stream;
        let addresses = match (local, peer) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => Addresses::Inet { transport, source, destination },
            (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
                Addresses::Inet6 { transport, source, destination }
            }
            // Both ends of a connection have the same family.
            _ => Addresses::Unspecified,
        };
        match version {
            SendVersion::V1 => proxy::encode_v1(&addresses).to_vec(),
            SendVersion::V2 => {
                let mut bytes = Vec::new();
                let header = V2 { command: Command::Proxy, addresses, tlvs: &[], crc32c: true };
                // Cannot fail: without TLVs no field is too long.
                let _ = header.encode(&mut bytes);
                bytes
            }
        }
    }
}

/// The start of the check's words.
pub(super) const GREETING: &str = "proxy-echo check ";

/// A line with unique text and length, which does not begin like a header.
fn words() -> Vec<u8> {
    let random = RandomState::new().hash_one(Instant::now());
    let length = 20 + random as usize % 100;
    format!("{GREETING}{random:0length$}\n").into_bytes()
}
