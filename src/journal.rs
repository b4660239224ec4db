//! What is said about connections: their numbers and counts, which of them are health checks, and what the level leaves out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use memchr::memchr_iter;

use crate::cli::LogLevel;
use crate::connection::{Observer, Reason, Refusal};
use crate::events::{Event, Farewell};
use crate::log::Log;
use crate::proxy::{Addresses, Command, Header, Version};

/// Keeps a record for each connection, beside the slab: the echo itself needs none, and at [`LogLevel::Quiet`] there is none.
pub(crate) struct Journal {
    log: Log,
    level: LogLevel,
    accepted: u64,
    next_trouble_ms: u64,
    records: Vec<Record>,
    /// At [`LogLevel::Clients`], what would be said of connections that may be health checks.
    withheld: HashMap<usize, Withheld>,
}

#[derive(Clone, Copy, Default)]
struct Record {
    number: u64,
    accepted_ms: u64,
    received: u64,
    sent: u64,
}

struct Withheld {
    peer: IpAddr,
    text: Vec<u8>,
    lines: u64,
}

impl Withheld {
    /// Bytes of text: what a balancer says in a check is short, and what is withheld counts in no budget.
    const MOST: usize = 1024;
}

impl Journal {
    pub(crate) fn new(log: Log, level: LogLevel, capacity: usize) -> Self {
        let capacity = if level == LogLevel::Quiet { 0 } else { capacity };
        let (records, withheld) = (Vec::with_capacity(capacity), HashMap::new());
        Journal { log, level, accepted: 0, next_trouble_ms: 0, records, withheld }
    }

    /// Something about the server's start or stop, said at every level.
    pub(crate) fn server(&mut self, event: Event<'_>) {
        self.log.write(None, event);
    }

    /// Something that keeps clients waiting: said once in ten seconds, because it comes in storms.
    pub(crate) fn trouble(&mut self, event: Event<'_>, now_ms: u64) {
        const DISTANCE_MS: u64 = 10_000;
        if self.level > LogLevel::Quiet && now_ms >= self.next_trouble_ms {
            self.next_trouble_ms = now_ms + DISTANCE_MS;
            self.log.write(None, event);
        }
    }

    pub(crate) fn accepted(&mut self, key: usize, peer: SocketAddr, now_ms: u64) {
        if self.is_quiet() {
            return;
        }
        self.accepted += 1;
        let number = self.accepted;
        let record = Record { number, accepted_ms: now_ms, ..Record::default() };
        // Slab keys are dense: a new one is at most one past the last.
        match self.records.get_mut(key) {
            Some(slot) => *slot = record,
            None => self.records.push(record),
        }
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if self.level == LogLevel::Clients {
            self.withheld.insert(key, Withheld { peer: peer.ip(), text: Vec::new(), lines: 0 });
        }
        self.say(key, number, Event::Accepted { peer });
    }

    /// Whether nothing is said about connections.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.level == LogLevel::Quiet
    }

    /// The observer of a connection's turn.
    #[inline]
    pub(crate) fn of(&mut self, key: usize) -> Voice<'_> {
        Voice { journal: self, key }
    }

    pub(crate) fn gone(&mut self, key: usize, reason: Reason, unsent: usize, now_ms: u64) {
        let Some(&Record { number, accepted_ms, received, sent }) = self.records.get(key) else {
            return;
        };
        if reason == Reason::NotTrusted {
            self.reveal(key);
        }
        if self.withheld.remove(&key).is_some() {
            return;
        }
        let lasted = Duration::from_millis(now_ms - accepted_ms);
        self.say(key, number, Event::Gone(Farewell { reason, received, sent, unsent, lasted }));
    }

    /// Hands on what was said in this turn of the reactor.
    #[inline]
    pub(crate) fn flush(&mut self) {
        self.log.flush();
    }

    pub(crate) fn finish(self) {
        self.log.finish();
    }

    fn say(&mut self, key: usize, number: u64, event: Event<'_>) {
        match self.withheld.get_mut(&key) {
            Some(withheld) => {
                self.log.render(&mut withheld.text, Some(number), event);
                withheld.lines += 1;
            }
            None => self.log.write(Some(number), event),
        }
    }

    /// The connection is a client's: says what was withheld.
    #[cold]
    fn reveal(&mut self, key: usize) {
        if let Some(Withheld { text, lines, .. }) = self.withheld.remove(&key) {
            self.log.write_rendered(&text, lines);
        }
    }
}

/// Says what one connection does.
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
        /// Lines of one read, which others wait for: more than a millisecond's worth is dropped, as by a full queue.
        const MOST: usize = 1024;
        let mut said = 0;
        for line in lines(bytes).take(MOST) {
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
}

impl Observer for Voice<'_> {
    fn header(&mut self, header: &Header<'_>) {
        self.say(Event::Header(header));
        if self.journal.level == LogLevel::Lines && header.version == Version::V1 {
            self.say(Event::Input(header.raw));
        }
        if let Some(withheld) = self.journal.withheld.get(&self.key)
            && (withheld.text.len() > Withheld::MOST || !may_be_health_check(header, withheld.peer))
        {
            self.journal.reveal(self.key);
        }
    }

    fn plain(&mut self) {
        self.say(Event::Plain);
    }

    fn refused(&mut self, refusal: Refusal, received: &[u8]) {
        self.say(Event::Refused { refusal, received });
        self.journal.reveal(self.key);
    }

    #[inline]
    fn received(&mut self, count: usize) {
        if let Some(record) = self.record() {
            record.received += count as u64;
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
        }
    }
}

/// Balancers check a back end with a header that names no client, or themselves; a client's payload shows that it is none.
fn may_be_health_check(header: &Header<'_>, peer: IpAddr) -> bool {
    let names_peer = |source: IpAddr| header.version == Version::V1 && source.to_canonical() == peer;
    header.command == Command::Local
        || match header.addresses {
            Addresses::Unspecified => true,
            Addresses::Inet { source, .. } => names_peer((*source.ip()).into()),
            Addresses::Inet6 { source, .. } => names_peer((*source.ip()).into()),
            Addresses::Unix { .. } => false,
        }
}

/// Lines with their LF; what stands behind the last LF comes as it is.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(b'\n', bytes).map(|at| at + 1);
    let mut start = 0;
    ends.chain((!bytes.is_empty() && !bytes.ends_with(b"\n")).then_some(bytes.len())).map(move |end| {
        let line = &bytes[start..end];
        start = end;
        line
    })
}
