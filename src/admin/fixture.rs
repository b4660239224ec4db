//! For tests: a server to query, and clients without sockets.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::View;
use super::view::{Connections, Facts};
use crate::connection::{Budget, Observer, Ready, Stream};
use crate::net::manager::News;
use crate::net::system::{Batch, Event, Signal, System};
use crate::observe::journal::Journal;
use crate::observe::log::{Log, LogFormat, LogLevel};
use crate::observe::metrics::Turns;
use proxy::Status;
use proxy::policy::Mode;

/// A server with connections whose keys begin at 0.
pub(super) struct Fixture {
    journal: Journal,
    budget: Budget,
    turns: Turns,
    connections: Fake,
}

#[derive(Default)]
struct Fake {
    facts: Vec<Option<Facts>>,
    looks: Cell<usize>,
}

impl Connections for Fake {
    fn len(&self) -> usize {
        self.facts.iter().flatten().count()
    }

    fn get(&self, key: usize) -> Option<Facts> {
        self.looks.set(self.looks.get() + 1);
        *self.facts.get(key)?
    }
}

impl Fixture {
    /// `count` connections. The first is from `10.0.0.0:1` and holds nothing; each one holds a byte more than the one
    /// before.
    pub(super) fn new(count: usize, header: &[u8]) -> Self {
        let log = Log::new(LogFormat::Text, false).unwrap();
        let journal = Journal::new(log, LogLevel::Quiet, true, 16);
        let (budget, turns, connections) = (Budget::new(7 << 17, 1 << 17), Turns::default(), Fake::default());
        let mut fixture = Fixture { journal, budget, turns, connections };
        (0..count).for_each(|key| fixture.open(key, header));
        fixture
    }

    /// Adds a connection at the free `key`.
    pub(super) fn open(&mut self, key: usize, header: &[u8]) {
        self.journal.accepted(key, SocketAddr::from(([10, 0, (key >> 8) as u8, key as u8], 1)), Mode::Required, 0);
        if let Ok(Status::Complete(header)) = proxy::parse(header) {
            self.journal.of(key).header(&header);
        }
        let facts = &mut self.connections.facts;
        facts.resize(facts.len().max(key + 1), None);
        facts[key] = Some(Facts { state: "echoing", held: key, since_ms: 0 });
    }

    /// Removes the connection at `key`.
    pub(super) fn close(&mut self, key: usize) {
        self.connections.facts[key] = None;
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            started: SystemTime::UNIX_EPOCH,
            now_ms: 0,
            listening: &[],
            connections: &self.connections,
            keys_end: self.connections.facts.len(),
            max_connections: usize::MAX,
            listeners: 1,
            waiting: 0,
            journal: &self.journal,
            budget: &self.budget,
            turns: &self.turns,
            is_draining: false,
            is_exhausted: false,
        }
    }

    /// How many connections were looked at since the last call.
    pub(super) fn looks(&self) -> usize {
        self.connections.looks.take()
    }
}

/// A client's stream. Each read returns one piece, at most; an empty piece is `WouldBlock`. After the last one the
/// stream ends.
#[derive(Default)]
pub(super) struct Pieces {
    pub(super) input: VecDeque<Vec<u8>>,
    /// Whether the input stays open after its pieces.
    pub(super) is_open: bool,
    pub(super) output: Vec<u8>,
    /// Most bytes that a write takes; 0 is `WouldBlock`.
    pub(super) most: usize,
    pub(super) is_shut: Cell<bool>,
    /// Bytes that all streams have taken.
    pub(super) taken: Rc<Cell<usize>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.pop_front() {
            None if !self.is_open => Ok(0),
            Some(piece) if !piece.is_empty() => {
                buffer[..piece.len()].copy_from_slice(&piece);
                Ok(piece.len())
            }
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.most);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.output.extend_from_slice(&buffer[..count]);
        self.taken.set(self.taken.get() + count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Pieces {
    fn shutdown_write(&self) -> io::Result<()> {
        self.is_shut.set(true);
        Ok(())
    }

    fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// A system in which clients connect, and nothing else happens.
#[derive(Default)]
pub(super) struct World {
    pub(super) backlog: VecDeque<(Pieces, SocketAddr)>,
}

impl System for World {
    type Stream = Pieces;
    type Listener = ();
    type Batch = ();

    fn wait(&mut self, (): &mut (), _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn watch(&mut self, _: &mut Pieces, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn watch_listener(&mut self, (): &mut (), _: usize) -> io::Result<()> {
        Ok(())
    }

    fn accept(&mut self, (): &()) -> io::Result<(Pieces, SocketAddr)> {
        self.backlog.pop_front().ok_or(ErrorKind::WouldBlock.into())
    }

    fn has_waiting(&self, (): &()) -> bool {
        true
    }

    fn keep_out(&self, (): &()) {}

    fn set_alarm(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn take_alarm(&mut self) -> bool {
        false
    }

    fn signals(&mut self) -> Vec<Signal> {
        Vec::new()
    }

    fn tell(&mut self, _: News, _: &str) -> io::Result<()> {
        Ok(())
    }
}

impl Batch for () {
    type Event = NoEvent;

    fn iter(&self) -> impl Iterator<Item = &NoEvent> {
        std::iter::empty()
    }

    fn is_full(&self) -> bool {
        false
    }

    fn is_empty(&self) -> bool {
        true
    }
}

pub(crate) enum NoEvent {}

impl Event for NoEvent {
    fn token(&self) -> usize {
        match *self {}
    }

    fn is_error(&self) -> bool {
        match *self {}
    }

    fn ready(&self) -> Ready {
        match *self {}
    }
}
