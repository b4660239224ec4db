//! The reactor: one thread, one poll, one slab of connections.
//!
//! `Server::tick` reads top to bottom what the server does. Two rules keep it right under edge-triggered readiness:
//!
//! - What is not finished in a tick is in a queue, or an edge will come for it; a connection's turn says which.
//! - Connections are closed while a batch of events is handled, and accepted only after it: so a key never gets a new
//!   owner while the batch still has events for the old one. The kernel reports none of a closed socket after that.

mod accept;
mod ending;
mod queue;
pub(crate) mod service;
mod time;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use mio::event::Event as Readiness;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use slab::Slab;

use self::ending::Phase;
use crate::admin::{Admin, View};
use crate::config::Config;
use crate::connection::Budget;
use crate::connection::{Connection, Next, Ready, Reason, Shared, TimeLimits};
use crate::net::alarm::Alarm;
use crate::net::listener::{self, BindError, Listener, Place};
use crate::net::socket::Socket;
use crate::observe::events::Event;
use crate::observe::journal::Journal;
use crate::observe::log::{Log, LogLevel};
use crate::observe::metrics::Turns;
use crate::policy::{Policy, ProxyProtocol};
use crate::server::queue::Queue;
use crate::server::service::{News, Watchdog};

/// Events taken from the kernel at a time.
const EVENTS: usize = 1024;
/// The most bytes of one read. It is one buffer for all, so it costs an idle connection nothing, and a large message fewer
/// system calls.
const READ_SIZE: usize = 512 * 1024;
/// Pause after the kernel had no descriptor or memory left, in ms: a descriptor that is freed gives no event.
const PAUSE_MS: u64 = 100;
/// Never.
const NEVER: u64 = u64::MAX;

/// Tokens from here down are not slab keys. (mio keeps `usize::MAX` for itself.)
const SIGNALS: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX - 2);
const ADMIN: Token = Token(usize::MAX - 2 - Admin::TOKENS);
const LAST_LISTENER: usize = ADMIN.0 - 1;

/// A server that is bound, and serves when it is run.
pub struct Server {
    poll: Poll,
    signals: Signals,
    listeners: Vec<Listener>,
    connections: Slab<Connection<Socket>>,
    /// Connections whose turn was cut short.
    running: Queue,
    /// Connections that wait for the budget.
    starved: Queue,
    /// Connections that try again when `pause_ends_ms` has come.
    paused: Queue,
    shared: Shared,
    journal: Journal,
    admin: Option<Admin>,
    watchdog: Watchdog,
    turns: Turns,
    /// Turns until one is timed, if there is an admin port.
    untimed: u32,
    timed_since: Option<Instant>,
    started: SystemTime,
    listening: Vec<SocketAddr>,
    policy: Policy,
    spin: Duration,
    /// Whether `spin` is over 0, at hand for each tick.
    spins: bool,
    spin_began: Instant,
    time_limits: TimeLimits,
    max_connections: usize,
    drain_delay_ms: u32,
    drain_ms: u32,
    alarm: Alarm,
    /// Whether something was queued, accepted, closed or held since the chores were done last, or it spins.
    has_chores: bool,
    has_signals: bool,
    phase: Phase,
    /// No time limit of a connection ends before.
    sweep_ms: u64,
    /// Batches of events that a sweep which is due has waited for.
    sweep_waits: usize,
    accept_pause_ends_ms: u64,
    pause_ends_ms: u64,
    /// Keys of connections to be closed; kept so as not to be allocated again.
    expired: Vec<usize>,
}

impl Server {
    /// Binds what `config` asks for. Signals are taken from here on.
    ///
    /// # Errors
    ///
    /// An address that cannot be listened on, or a system without what a reactor needs.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        let poll = Poll::new()?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let bind = |address| {
            Admin::bind(address, poll.registry(), ADMIN)
                .map_err(|error| BindError { place: Place::Address(address), error })
        };
        // Before the listeners: clients who come in to a port that others share would be lost with a start that fails.
        let admin = config.admin.map(bind).transpose()?;
        let mut listeners = listener::listen_all(config)?;
        let mut listening = Vec::new();
        for (index, Listener { socket, .. }) in listeners.iter_mut().enumerate() {
            poll.registry().register(socket, Token(LAST_LISTENER - index), Interest::READABLE)?;
            listening.push(socket.local_addr()?);
        }
        let capacity = config.max_connections;
        let budget = Budget::new(config.max_held);
        let log = Log::new(config.log_format, config.log > LogLevel::Quiet)?;
        let mut journal = Journal::new(log, config.log, admin.is_some(), capacity);
        for &address in &listening {
            journal.server(Event::Listening(address));
        }
        if let Some(admin) = &admin {
            journal.server(Event::AdminListening(admin.address()));
        }
        if config.policy.proxy_protocol == ProxyProtocol::Optional {
            journal.server(Event::Guessing { trusted: !config.policy.trusted.is_empty() });
        }
        journal.flush();
        Ok(Server {
            poll,
            signals,
            listeners,
            // Pages that are not touched cost nothing, and a slab that never grows never moves.
            connections: Slab::with_capacity(capacity),
            running: Queue::new(capacity),
            starved: Queue::new(capacity),
            paused: Queue::new(capacity),
            shared: Shared::new(config.echo, config.reflect_header, READ_SIZE, budget),
            journal,
            admin,
            watchdog: Watchdog::new(),
            turns: Turns::default(),
            untimed: 1,
            timed_since: None,
            started: SystemTime::now(),
            listening,
            policy: config.policy.clone(),
            spin: config.spin,
            spins: !config.spin.is_zero(),
            spin_began: Instant::now(),
            time_limits: config.time_limits,
            max_connections: capacity,
            drain_delay_ms: config.drain_delay_ms,
            drain_ms: config.drain_ms,
            alarm,
            has_chores: true,
            has_signals: false,
            phase: Phase::Serving,
            sweep_ms: NEVER,
            sweep_waits: 0,
            accept_pause_ends_ms: 0,
            pause_ends_ms: NEVER,
            expired: Vec::new(),
        })
    }

    /// The addresses that are listened on.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Serves until a signal ends it, and says so in the log.
    ///
    /// # Errors
    ///
    /// The poll failed: there is nothing left to wait on.
    pub fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(EVENTS);
        service::tell(News::Ready, "serving");
        while self.phase != Phase::Stopped {
            self.tick(&mut events)?;
        }
        if !self.connections.is_empty() {
            self.journal.server(Event::Cut(self.connections.len()));
        }
        self.expired.extend(self.connections.iter().map(|(key, _)| key));
        while let Some(key) = self.expired.pop() {
            self.close(key, Reason::Stopped);
        }
        self.journal.server(Event::Terminated);
        self.journal.finish();
        Ok(())
    }

    fn tick(&mut self, events: &mut Events) -> Result<(), Error> {
        self.wait(events)?;
        self.untimed -= 1;
        if self.untimed == 0 {
            self.begin_timing();
        }
        self.has_chores |= self.spins | self.alarm.take_over();
        self.handle(events);
        if self.has_chores {
            self.do_chores(events)?;
        }
        self.journal.flush();
        if self.untimed == Turns::SAMPLING {
            self.end_timing();
        }
        Ok(())
    }

    #[cold]
    fn begin_timing(&mut self) {
        self.untimed = Turns::SAMPLING;
        self.timed_since = self.admin.is_some().then(Instant::now);
    }

    #[cold]
    fn end_timing(&mut self) {
        if let Some(since) = self.timed_since.take() {
            self.turns.record(since.elapsed());
        }
    }

    fn wait(&mut self, events: &mut Events) -> Result<(), Error> {
        loop {
            let timeout = if self.has_chores { Some(Duration::ZERO) } else { self.alarm.timeout() };
            match self.poll.poll(events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Ok(result?),
            }
        }
    }

    /// What there is to do besides events: signals, further turns, new connections, time limits, the admin port.
    #[inline(never)]
    fn do_chores(&mut self, events: &Events) -> Result<(), Error> {
        let now_ms = self.shared.clock.read();
        if std::mem::take(&mut self.has_signals) {
            self.take_signals();
        }
        self.run_queued();
        self.accept();
        self.sweep(events);
        self.end_phase();
        self.serve_admin();
        self.watchdog.feed(now_ms, format_args!("{} connections", self.connections.len()));
        self.has_chores = !self.running.is_empty()
            || self.sweep_waits > 0
            || self.admin.as_ref().is_some_and(Admin::has_more)
            || (!self.starved.is_empty() && self.shared.budget.room() > 0)
            || (self.may_accept() && self.listeners.iter().any(|listener| listener.has_more))
            || (self.spins && self.is_spinning(events));
        let alarm_ms = self.next_time_ms();
        if alarm_ms < NEVER {
            self.alarm.set(alarm_ms, now_ms)?;
        }
        Ok(())
    }

    /// Whether to look for events again before it sleeps: to be woken takes longer than most clients of a busy server take to
    /// speak again.
    fn is_spinning(&mut self, events: &Events) -> bool {
        let now = Instant::now();
        if !events.is_empty() {
            self.spin_began = now;
        }
        now - self.spin_began < self.spin
    }

    fn serve_admin(&mut self) {
        let Some(admin) = &mut self.admin else {
            return;
        };
        let now_ms = self.shared.clock.now_ms();
        let view = View {
            started: self.started,
            now_ms,
            listening: &self.listening,
            connections: &self.connections,
            max_connections: self.max_connections,
            waiting: self.starved.len() + self.paused.len(),
            journal: &self.journal,
            budget: &self.shared.budget,
            turns: &self.turns,
            is_draining: self.phase != Phase::Serving,
            is_exhausted: self.accept_pause_ends_ms > now_ms || self.shared.budget.room() == 0,
        };
        admin.serve(self.poll.registry(), ADMIN, &view);
    }

    fn handle(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                // Nothing more can be sent to it, and what it said before is for the log alone.
                Token(key) if event.is_error() && self.journal.is_off() && self.connections.contains(key) => {
                    self.has_chores = true;
                    self.close(key, Reason::Reset);
                }
                // First, because most are.
                Token(key) if self.connections.contains(key) => self.turn(key, ready(event)),
                token => self.note(token),
            }
        }
    }

    /// Notes that there is a chore. A token that is none is of a connection that was closed in this batch.
    #[inline(never)]
    fn note(&mut self, token: Token) {
        self.has_chores = true;
        match token {
            ALARM => {}
            SIGNALS => self.has_signals = true,
            Token(token) if token >= ADMIN.0 => {
                if let Some(admin) = &mut self.admin {
                    admin.note(token - ADMIN.0);
                }
            }
            Token(token) => {
                if let Some(listener) = self.listeners.get_mut(LAST_LISTENER - token) {
                    listener.has_more = true;
                }
            }
        }
    }

    /// Gives a turn to those that are queued now; what queues up meanwhile waits for the next tick.
    fn run_queued(&mut self) {
        for _ in 0..self.running.len() {
            if let Some(key) = self.running.pop() {
                self.turn(key, Ready::READABLE);
            }
        }
        for _ in 0..self.starved.len() {
            if self.shared.budget.room() > 0
                && let Some(key) = self.starved.pop()
            {
                self.turn(key, Ready::READABLE);
            }
        }
        if self.pause_ends_ms <= self.now_ms() {
            self.pause_ends_ms = NEVER;
            while let Some(key) = self.paused.pop() {
                self.running.push(key);
            }
        }
    }

    #[inline(always)]
    fn turn(&mut self, key: usize, ready: Ready) {
        // One that waited in a queue may be closed by now.
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let next = give_turn(connection, ready, &mut self.shared, &mut self.journal, key);
        if next != Next::Unchanged {
            self.settle(key, next);
        }
    }

    /// Does what a turn asked for.
    #[inline(never)]
    fn settle(&mut self, key: usize, next: Next) {
        self.has_chores = true;
        match next {
            Next::Unchanged | Next::Changed => {}
            Next::Again => self.running.push(key),
            Next::Starved => self.starved.push(key),
            Next::Pause => {
                self.paused.push(key);
                self.pause_ends_ms = self.pause_ends_ms.min(self.now_ms() + PAUSE_MS);
            }
            Next::Closed(reason) => return self.close(key, reason),
        }
        self.watch_time(key);
    }

    fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    #[inline(never)]
    fn close(&mut self, key: usize, reason: Reason) {
        let connection = self.connections.remove(key);
        if !self.journal.is_off() {
            self.shared.clock.read();
        }
        let unsent = connection.unsent();
        self.journal.gone(key, reason, [unsent, connection.held() - unsent], self.now_ms());
        connection.close(&mut self.shared.budget);
        // There is a descriptor now, if there was none.
        self.accept_pause_ends_ms = 0;
    }
}

/// A connection's turn, compiled once with a listener and once without, so that nobody pays for what is not logged.
#[inline(always)]
fn give_turn(
    connection: &mut Connection<Socket>,
    ready: Ready,
    shared: &mut Shared,
    journal: &mut Journal,
    key: usize,
) -> Next {
    if journal.is_off() {
        connection.turn(ready, shared, &mut ())
    } else {
        connection.turn(ready, shared, &mut journal.of(key))
    }
}

#[inline]
fn ready(event: &Readiness) -> Ready {
    let mut ready = Ready::WRITABLE;
    if event.is_readable() {
        ready = ready.union(Ready::READABLE);
    }
    if event.is_read_closed() || event.is_error() {
        ready = ready.union(Ready::READABLE).union(Ready::READ_CLOSED);
    }
    if event.is_priority() {
        ready = ready.union(Ready::PRIORITY);
    }
    ready
}

/// Why the server cannot start or go on.
#[derive(Debug)]
pub enum Error {
    /// An address cannot be listened on.
    Bind(BindError),
    /// The system lacks what a reactor needs.
    System(io::Error),
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        Error::Bind(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::System(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Bind(error) => error.fmt(f),
            Error::System(error) => write!(f, "the system refuses what the server needs: {error}"),
        }
    }
}

impl std::error::Error for Error {}
