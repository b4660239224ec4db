//! The counts of a worker.

use std::io::{self, ErrorKind};

use std::net::SocketAddr;

use mio::net::TcpStream;

use crate::hints::MAX_QUOTED;
use crate::result::{AddressResult, MAX_DETAILS, Samples, TcpUse, TlsUse, Totals};
use crate::system;
use crate::tls::Agreed;

/// Counts and times of one worker. All memory is reserved before the measurement; unused pages are not touched.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) totals: Totals,
    /// The intervals of the first address, then those of the second, and so on.
    pub(super) pieces: Vec<Piece>,
    /// The number of intervals.
    pub(super) intervals: usize,
    /// The addresses, by the index that connections have.
    pub(super) addresses: Vec<Place>,
    /// The interval to which messages answered now belong; the last one also takes those answered after the end.
    pub(super) current: usize,
    /// Lower bounds of the delays of messages that were never sent.
    pub(super) unsent: Samples,
    /// Service times; only in open loop, because in closed loop they are the latencies.
    pub(super) service: Samples,
    pub(super) lag: Samples,
    /// Open loop: the waits of messages for a free connection.
    pub(super) waited: Samples,
    /// Times from the loss of a connection until traffic flowed on its replacement.
    pub(super) reconnect: Samples,
    /// Messages that were due and not sent although a connection was free.
    pub(super) withheld: u64,
    pub(super) failures: Vec<String>,
    /// The beginning of the first answer on a connection that differs from the bytes sent.
    pub(super) unexpected: Option<Vec<u8>>,
    pub(super) tcp: TcpUse,
    /// Counts of TLS, without the times, which addresses have.
    pub(super) tls: TlsUse,
}

/// The counts of an address.
#[derive(Debug)]
pub(super) struct Place {
    /// All counts except those of the intervals.
    pub(super) counts: AddressResult,
    /// Latencies of messages answered after the end, and lower bounds for those not answered.
    pub(super) tail: Samples,
}

/// The answers from an address in an interval.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) completed: u64,
    pub(super) bytes: u64,
    pub(super) latency: Samples,
}

impl Tally {
    pub(super) fn new(targets: &[SocketAddr], intervals: usize) -> Self {
        let mut tally = Tally {
            totals: Totals::default(),
            pieces: Vec::new(),
            intervals,
            addresses: Vec::new(),
            current: 0,
            unsent: Samples::new(),
            service: Samples::new(),
            lag: Samples::new(),
            waited: Samples::new(),
            reconnect: Samples::new(),
            withheld: 0,
            failures: Vec::new(),
            unexpected: None,
            tcp: TcpUse::default(),
            tls: TlsUse::default(),
        };
        tally.extend(targets);
        tally
    }

    /// Adds addresses.
    pub(super) fn extend(&mut self, targets: &[SocketAddr]) {
        let place =
            |target: &SocketAddr| Place { counts: AddressResult::new(target.to_string()), tail: Samples::new() };
        self.addresses.extend(targets.iter().map(place));
        self.pieces.resize_with(self.addresses.len() * self.intervals, Piece::default);
    }

    /// Counts a TLS handshake with an address, which took `ns`.
    pub(super) fn handshake(&mut self, address: usize, agreed: Agreed, ns: u64) {
        let tls = &mut self.tls;
        *(if agreed.is_resumed { &mut tls.resumed } else { &mut tls.full }) += 1;
        *tls.agreed.entry(agreed.words).or_default() += 1;
        self.addresses[address].counts.handshake_time.record(ns);
    }

    /// Counts a failed `connect` or `TLS handshake`, or a lost `connection`, by its reason.
    #[cold]
    pub(super) fn error(&mut self, address: usize, what: &str, error: &io::Error) {
        // The system has few reasons, and a target cannot make up others.
        let why = format!("{what}: {}", words(error));
        *self.addresses[address].counts.errors.entry(why.clone()).or_default() += 1;
        *self.totals.errors.entry(why).or_default() += 1;
    }

    /// Counts a message due at `due_ns`, in the measured time from `measure_ns` on, that is given up at `now_ns`.
    #[cold]
    pub(super) fn missing(&mut self, address: usize, measure_ns: u64, due_ns: u64, now_ns: u64) {
        if due_ns >= measure_ns {
            self.addresses[address].tail.record_missing(now_ns.saturating_sub(due_ns), 1);
        }
    }

    /// Adds the kernel's counts of a connection that ends.
    pub(super) fn socket(&mut self, stream: &TcpStream) {
        let Some(info) = system::tcp_info(stream) else { return };
        self.tcp.connections += 1;
        self.tcp.retransmits += u64::from(info.retransmits);
        if info.rtt_us > 0 {
            self.tcp.rtt.record(u64::from(info.rtt_us) * 1000);
        }
    }

    /// Keeps the first `bytes` of a connection that differ from the bytes sent.
    #[cold]
    pub(super) fn unexpected(&mut self, bytes: &[u8]) {
        self.unexpected.get_or_insert_with(|| bytes[..bytes.len().min(MAX_QUOTED)].to_vec());
    }

    /// Notes a verification failure in words.
    #[cold]
    pub(super) fn failure(&mut self, words: impl FnOnce() -> String) {
        if self.failures.len() < MAX_DETAILS {
            self.failures.push(words());
        }
    }
}

/// The system's words for an error, without its number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "closed by the target".to_owned(),
        ErrorKind::TimedOut => "timed out".to_owned(),
        _ => {
            let text = error.to_string();
            text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
        }
    }
}
