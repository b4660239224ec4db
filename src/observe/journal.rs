//! Records facts about connections and logs their events: numbers, counts and origins, which connections are health
//! checks, and which events the log level leaves out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use memchr::memchr_iter;

use crate::connection::{Observer, Reason, Refusal};
use crate::observe::balancers::Balancers;
use crate::observe::events::{Event, Farewell, offset, shown};
use crate::observe::log::{Log, LogLevel};
use crate::observe::metrics::{Metrics, Refused};
use crate::observe::origin::Origin;
use proxy::policy::Mode;
use proxy::{Addresses, Header, Version};

/// Keeps a record for each connection, in a table beside the slab. The echo itself needs no records: at
/// [`LogLevel::Quiet`] without an admin port none are kept.
pub(crate) struct Journal {
    log: Log,
    level: LogLevel,
    is_off: bool,
    metrics: Metrics,
    next_trouble_ms: u64,
    records: Vec<Record>,
    /// Additional data for the admin port.
    watched: Option<Watched>,
    /// At [`LogLevel::Clients`], the withheld lines of connections that may be health checks.
    withheld: HashMap<usize, Withheld>,
}

/// Counts of one connection.
#[derive(Clone, Copy, Default)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) accepted_ms: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// Data kept only for the admin port.
struct Watched {
    /// The origin of each connection.
    origins: Vec<Origin>,
    balancers: Balancers,
}

impl Watched {
    /// The origin of the connection at `key`, and the balancers.
    fn at(&mut self, key: usize) -> Option<(&mut Origin, &mut Balancers)> {
        Some((self.origins.get_mut(key)?, &mut self.balancers))
    }
}

struct Withheld {
    peer: IpAddr,
    text: Vec<u8>,
    lines: u64,
}

impl Withheld {
    /// Most bytes of withheld lines of one connection. Health checks are short, and withheld lines are not part of the
    /// memory budget.
    const MAX_BYTES: usize = 1024;
}

impl Journal {
    /// A journal for up to `capacity` connections. `is_watched` says whether there is an admin port.
    pub(crate) fn new(log: Log, level: LogLevel, is_watched: bool, capacity: usize) -> Self {
        let is_off = level == LogLevel::Quiet && !is_watched;
        let records = Vec::with_capacity(if is_off { 0 } else { capacity });
        let watched =
            is_watched.then(|| Watched { origins: Vec::with_capacity(capacity), balancers: Balancers::default() });
        let (metrics, withheld) = (Metrics::default(), HashMap::new());
        Journal { log, level, is_off, metrics, next_trouble_ms: 0, records, watched, withheld }
    }

    /// Logs an event of the server's start or stop, at every level.
    pub(crate) fn server(&mut self, event: Event<'_>) {
        self.log.write(None, event);
    }

    /// Writes the log in the background from now on, so that its reader cannot hold up the caller.
    pub(crate) fn detach(&mut self) {
        self.log.detach();
    }

    /// Logs an event that keeps clients waiting, at most once in ten seconds, because such events come in storms.
    pub(crate) fn trouble(&mut self, event: Event<'_>, now_ms: u64) {
        const MIN_DISTANCE_MS: u64 = 10_000;
        self.metrics.accept_errors += u64::from(matches!(event, Event::AcceptFailed(_) | Event::WatchFailed(_)));
        if self.level > LogLevel::Quiet && now_ms >= self.next_trouble_ms {
            self.next_trouble_ms = now_ms + MIN_DISTANCE_MS;
            self.log.write(None, event);
        }
    }

    pub(crate) fn accepted(&mut self, key: usize, peer: SocketAddr, mode: Mode, now_ms: u64) {
        if self.is_off {
            return;
        }
        self.metrics.opened();
        let number = self.metrics.accepted;
        put(&mut self.records, key, Record { number, accepted_ms: now_ms, ..Record::default() });
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if let Some(watched) = &mut self.watched {
            put(&mut watched.origins, key, Origin::new(peer, mode));
            watched.balancers.accepted(peer.ip(), number, now_ms);
        }
        if self.level == LogLevel::Clients {
            self.withheld.insert(key, Withheld { peer: peer.ip(), text: Vec::new(), lines: 0 });
        }
        self.say(key, number, Event::Accepted { peer });
    }

    /// Whether neither the log nor the admin port needs records of connections.
    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.is_off
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The record and origin of a connection, if there is an admin port.
    pub(crate) fn known(&self, key: usize) -> Option<(&Record, &Origin)> {
        self.records.get(key).zip(self.watched.as_ref()?.origins.get(key))
    }

    /// The counts of the peers, if there is an admin port.
    pub(crate) fn balancers(&self) -> Option<&Balancers> {
        self.watched.as_ref().map(|watched| &watched.balancers)
    }

    /// Lines of the log that were dropped since the start.
    pub(crate) fn dropped_lines(&self) -> u64 {
        self.log.dropped()
    }

    /// The observer of a connection's turn.
    #[inline]
    pub(crate) fn of(&mut self, key: usize) -> Voice<'_> {
        Voice { journal: self, key }
    }

    /// Records that a connection was closed with `unsent` bytes of output and `unfinished` bytes of input.
    pub(crate) fn gone(&mut self, key: usize, reason: Reason, [unsent, unfinished]: [usize; 2], now_ms: u64) {
        let Some(&Record { number, accepted_ms, received, sent }) = self.records.get(key) else {
            return;
        };
        self.metrics.closed(reason);
        if let Some((origin, balancers)) = self.watched.as_mut().and_then(|watched| watched.at(key)) {
            balancers.gone(origin.peer().ip(), number, now_ms);
            let may_be_probe = match origin.header() {
                Some(header) => may_be_health_check(&header, origin.peer().ip()),
                None => unfinished == 0 && matches!(reason, Reason::ByPeer | Reason::Reset),
            };
            self.metrics.probes += u64::from(received == 0 && may_be_probe);
            origin.forget();
        }
        if reason == Reason::NotTrusted || unfinished > 0 {
            self.reveal(key);
        }
        if self.withheld.remove(&key).is_some() {
            return;
        }
        let lasted = Duration::from_millis(now_ms - accepted_ms);
        self.say(key, number, Event::Gone(Farewell { reason, received, sent, unsent, lasted }));
    }

    /// Hands the lines of this reactor turn to the writer.
    #[inline]
    pub(crate) fn flush(&mut self) {
        self.log.flush();
    }

    pub(crate) fn finish(self) {
        self.log.finish();
    }

    fn say(&mut self, key: usize, number: u64, event: Event<'_>) {
        match self.withheld.get_mut(&key) {
            _ if self.level == LogLevel::Quiet => {}
            Some(withheld) => {
                self.log.render(&mut withheld.text, Some(number), event);
                withheld.lines += 1;
            }
            None => self.log.write(Some(number), event),
        }
    }

    /// Logs the withheld lines, because the connection proved to be a client's.
    #[cold]
    fn reveal(&mut self, key: usize) {
        if let Some(Withheld { text, lines, .. }) = self.withheld.remove(&key) {
            self.log.write_rendered(&text, lines);
        }
    }
}

/// The observer of one connection: records and logs its events.
pub(crate) struct Voice<'a> {
    journal: &'a mut Journal,
    key: usize,
}

impl Voice<'_> {
    #[inline]
    fn record(&mut self) -> Option<&mut Record> {
        self.journal.records.get_mut(self.key)
    }

    #[cold]
    fn say_lines(&mut self, bytes: &[u8]) {
        /// Most lines logged for one read. Logging more would hold up other connections for over a millisecond. The
        /// rest is dropped, as if the queue were full.
        const MAX_LINES: usize = 1024;
        let mut said = 0;
        for line in lines(bytes).take(MAX_LINES) {
            said += line.len();
            self.say(Event::Input(line));
        }
        let left = &bytes[said..];
        let unfinished = !left.is_empty() && !left.ends_with(b"\n");
        self.journal.log.drop_lines(memchr_iter(b'\n', left).count() as u64 + u64::from(unfinished));
    }

    fn say(&mut self, event: Event<'_>) {
        if let Some(&mut Record { number, .. }) = self.record() {
            self.journal.say(self.key, number, event);
        }
    }

    /// The connection's number, and its data for the admin port.
    fn watched(&mut self) -> Option<(u64, &mut Origin, &mut Balancers)> {
        let number = self.record()?.number;
        let (origin, balancers) = self.journal.watched.as_mut()?.at(self.key)?;
        Some((number, origin, balancers))
    }
}

impl Observer for Voice<'_> {
    fn header(&mut self, header: &Header<'_>) {
        self.journal.metrics.headers.count(header);
        if let Some((number, origin, balancers)) = self.watched() {
            origin.learn(header);
            balancers.header(origin.peer().ip(), number, header);
        }
        self.say(Event::Header(header));
        if self.journal.level == LogLevel::Lines && header.version == Version::V1 {
            self.say(Event::Input(header.raw));
        }
        if let Some(withheld) = self.journal.withheld.get(&self.key)
            && (withheld.text.len() > Withheld::MAX_BYTES || !may_be_health_check(header, withheld.peer))
        {
            self.journal.reveal(self.key);
        }
    }

    fn plain(&mut self) {
        self.journal.metrics.headers.absent += 1;
        if let Some((number, origin, balancers)) = self.watched() {
            balancers.plain(origin.peer().ip(), number);
        }
        self.say(Event::Plain);
    }

    fn refused(&mut self, refusal: Refusal, received: &[u8]) {
        if let Some((number, origin, balancers)) = self.watched() {
            let (time, peer) = (SystemTime::now(), origin.peer());
            balancers.refused(peer.ip(), number);
            let (offset, received) = (offset(received), shown(received).into());
            self.journal.metrics.refused(Refused { time, peer, refusal, offset, received });
        }
        self.say(Event::Refused { refusal, received });
        self.journal.reveal(self.key);
    }

    #[inline]
    fn received(&mut self, count: usize) {
        if let Some(record) = self.record() {
            record.received += count as u64;
            self.journal.metrics.received += count as u64;
            if count > 0 && !self.journal.withheld.is_empty() {
                self.journal.reveal(self.key);
            }
        }
    }

    #[inline]
    fn payload(&mut self, bytes: &[u8]) {
        if self.journal.level == LogLevel::Lines {
            self.say_lines(bytes);
        }
    }

    #[inline]
    fn sent(&mut self, count: usize) {
        if let Some(record) = self.record() {
            record.sent += count as u64;
            self.journal.metrics.sent += count as u64;
        }
    }
}

/// Slab keys are dense: a new one is at most one past the last.
fn put<T>(table: &mut Vec<T>, key: usize, value: T) {
    match table.get_mut(key) {
        Some(slot) => *slot = value,
        None => table.push(value),
    }
}

/// Whether the header looks like a balancer's health check: it names no client, the balancer itself, or one address for
/// both ends. If payload follows, the connection is a client's after all.
fn may_be_health_check(header: &Header<'_>, peer: IpAddr) -> bool {
    let ip = |address: Option<SocketAddr>| address.map(|address| address.ip().to_canonical());
    match (ip(header.source()), ip(header.destination())) {
        (Some(source), destination) => source == peer || Some(source) == destination,
        (None, _) => header.addresses == Addresses::Unspecified,
    }
}

/// Splits into lines with their LF; bytes after the last LF are the last item.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(b'\n', bytes).map(|at| at + 1);
    let mut start = 0;
    ends.chain((!bytes.is_empty() && !bytes.ends_with(b"\n")).then_some(bytes.len())).map(move |end| {
        let line = &bytes[start..end];
        start = end;
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::LogFormat;
    use proxy::Status;

    /// The balancer's address is 10.0.0.1.
    #[test]
    fn both_versions_follow_one_rule_for_health_checks() {
        let inet = |source: &str, destination: &str| Addresses::Inet {
            transport: proxy::Transport::Stream,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        };
        for (addresses, may_be) in [
            (Addresses::Unspecified, true),
            (inet("10.0.0.1:5000", "10.0.0.2:80"), true),
            // The header of a node's check of itself through kube-proxy.
            (inet("10.0.0.9:28225", "10.0.0.9:32004"), true),
            (inet("10.0.0.9:28225", "10.0.0.2:32004"), false),
            (Addresses::Unix { transport: proxy::Transport::Stream, source: &[0; 108], destination: &[0; 108] }, false),
        ] {
            for version in [Version::V1, Version::V2] {
                let (command, tlvs) = (proxy::Command::Proxy, proxy::Tlvs::default());
                let header = Header { raw: b"", version, command, addresses, tlvs };
                assert_eq!(may_be_health_check(&header, "10.0.0.1".parse().unwrap()), may_be, "{header}");
            }
        }
    }

    #[test]
    fn what_a_connection_said_of_its_client_goes_with_it() {
        let log = Log::new(LogFormat::Text, false).unwrap();
        let mut journal = Journal::new(log, LogLevel::Quiet, true, 1);
        journal.accepted(0, "[2001:db8::1]:1".parse().unwrap(), Mode::Required, 0);
        let Ok(Status::Complete(header)) = proxy::parse(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n") else {
            panic!("a header");
        };
        journal.of(0).header(&header);
        assert!(journal.known(0).unwrap().1.header().is_some());
        journal.gone(0, Reason::ByPeer, [0, 0], 1);
        assert!(journal.known(0).unwrap().1.header().is_none());
    }
}
