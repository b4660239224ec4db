//! The event loop. [`Reactor::turn`] shows the work of the server from top to bottom. Two rules make it correct under
//! edge-triggered readiness:
//!
//! - Work that is not finished in a turn is in a queue, or an edge will come for it. The result of a connection's turn
//!   says which.
//! - Connections are closed while a batch of events is handled, but accepted only after it. A key therefore never gets a
//!   new owner while the batch has events for the old one. The kernel reports no later events of a closed socket.
//!
//! The work of a turn has limits. The rest is done in the next turn, which does not wait. (The limits are small in the
//! unit tests, so that the simulation reaches all of them.)

mod accept;
mod deadlines;
mod displace;
mod ending;
mod holders;
mod notices;
mod pace;
mod queue;
#[cfg(test)]
mod simulation;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use slab::Slab;

use self::accept::Entrance;
use self::deadlines::Deadlines;
use self::displace::Displacing;
use self::ending::{Ending, Phase};
use self::holders::Holders;
use self::notices::Notices;
use self::pace::{Spin, Timing};
use self::queue::Queues;
use crate::admin::{Admin, View};
use crate::config::Config;
use crate::connection::{Budget, Connection, Delivery, Next, Pool, Ready, Reason, Shared, Stream};
use crate::net::manager::News;
use crate::net::system::{Batch, Event as _, System};
use crate::observe::events::{Event, Listening};
use crate::observe::journal::Journal;
use crate::observe::log::Log;
use proxy::MAX_V2_LEN;
use proxy::policy::Mode;

/// The most bytes of one read. All connections share one buffer, so that its size costs an idle connection nothing. A
/// large buffer saves system calls for large messages.
const READ_SIZE: usize = 512 * 1024;

/// Most bytes read by events between two rounds of chores, and by queued connections in one round. Only large reads are
/// counted, and the one that exceeds the limit is the last; small reads are bounded by their number.
const MAX_TURN_BYTES: usize = if cfg!(test) { 4500 } else { 1024 * 1024 };

/// Most queued connections that have a turn in one turn of the reactor.
const MAX_QUEUED_TURNS: usize = if cfg!(test) { 2 } else { 256 };

/// Pause after the kernel had no descriptor or memory left, in ms. Freeing a descriptor gives no event.
const PAUSE_MS: u64 = 100;

/// Never, in ms.
const NEVER_MS: u64 = u64::MAX;

/// Tokens from here down are not slab keys. (mio keeps `usize::MAX` for itself.)
pub(super) const SIGNALS: usize = usize::MAX - 1;
pub(super) const ALARM: usize = usize::MAX - 2;
const ADMIN: usize = usize::MAX - 2 - crate::admin::TOKENS;
const LAST_LISTENER: usize = ADMIN - 1;

/// The parts that a reactor is made of.
pub(super) struct Parts<S: System> {
    pub(super) system: S,
    pub(super) listeners: Vec<(S::Listener, Listening)>,
    pub(super) admin: Option<(S::Listener, SocketAddr)>,
    pub(super) log: Log,
    pub(super) watchdog_ms: Option<u64>,
}

/// Whether the reactor's turn may go on, or has moved its most bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Going {
    On,
    Enough,
}

pub(super) struct Reactor<S: System> {
    system: S,
    connections: Slab<Connection<S::Stream>>,
    /// One more than the largest key that a connection has had.
    keys_end: usize,
    entrance: Entrance<S>,
    queues: Queues,
    shared: Shared,
    journal: Journal,
    deadlines: Deadlines,
    displacing: Displacing,
    holders: Holders,
    ending: Ending,
    notices: Notices,
    admin: Option<Admin<S>>,
    timing: Timing,
    spin: Spin,
    started: SystemTime,
    /// Whether anything was queued, accepted, closed or held since the last chores, or the reactor spins.
    has_chores: bool,
    has_signals: bool,
}

impl<S: System> Reactor<S> {
    pub(super) fn new(config: &Config, parts: Parts<S>) -> io::Result<Self> {
        let Parts { mut system, mut listeners, admin, log, watchdog_ms } = parts;
        let watch_admin = |admin| Admin::new(&mut system, admin, &config.admin_hosts, ADMIN);
        let admin = admin.map(watch_admin).transpose()?;
        for (index, (listener, _)) in listeners.iter_mut().enumerate() {
            system.watch_listener(listener, LAST_LISTENER - index)?;
        }
        let capacity = config.max_connections;
        let mut journal = Journal::new(log, config.log, admin.is_some(), capacity);
        for &(_, on) in &listeners {
            journal.server(Event::Listening(on));
        }
        if let Some(admin) = &admin {
            journal.server(Event::AdminListening(admin.address()));
        }
        if listeners.iter().any(|(_, on)| on.mode == Mode::Optional) {
            journal.server(Event::Guessing { trusted: !config.trusted.is_empty() });
        }
        if let Some(source) = config.max_held_lowered {
            journal.server(Event::MaxHeldLowered(config.max_held, source));
        }
        journal.flush();
        let mut shared = Shared::new(config.echo, config.reflect_header, READ_SIZE, budget(config));
        shared.restrict_headers(config.max_header, config.only_version);
        Ok(Reactor {
            system,
            // Allocate the whole slab: untouched pages cost nothing, and it never has to be moved in order to grow.
            connections: Slab::with_capacity(capacity),
            keys_end: 0,
            entrance: Entrance::new(listeners, &config.trusted, capacity),
            queues: Queues::new(capacity),
            shared,
            journal,
            deadlines: Deadlines::new(config.time_limits),
            displacing: Displacing::default(),
            holders: Holders::new(capacity),
            ending: Ending::new(config.drain_delay_ms, config.drain_ms),
            notices: Notices::new(watchdog_ms),
            timing: Timing::new(admin.is_some()),
            admin,
            spin: Spin::new(config.spin),
            started: SystemTime::now(),
            has_chores: true,
            has_signals: false,
        })
    }

    pub(super) fn listening(&self) -> &[Listening] {
        self.entrance.listening()
    }

    /// Serves until it is stopped.
    pub(super) fn run(mut self, batch: &mut S::Batch) -> io::Result<()> {
        self.begin();
        while self.ending.phase != Phase::Stopped {
            self.turn(batch)?;
        }
        self.finish();
        Ok(())
    }

    fn begin(&mut self) {
        self.notices.tell(&mut self.system, News::Ready, "serving", 0);
    }

    fn finish(mut self) {
        self.journal.server(Event::Terminated);
        self.journal.finish();
    }

    fn turn(&mut self, batch: &mut S::Batch) -> io::Result<()> {
        self.system.wait(batch, self.has_chores.then_some(Duration::ZERO))?;
        self.timing.begin();
        self.has_chores |= self.spin.is_on() | self.system.take_alarm();
        self.handle(batch);
        if self.has_chores {
            self.do_chores(batch)?;
        }
        self.journal.flush();
        self.timing.end();
        debug_assert!(self.is_sound());
        Ok(())
    }

    /// The work besides events: signals, queued turns, new connections, time limits, the admin port.
    #[inline(never)]
    fn do_chores(&mut self, batch: &S::Batch) -> io::Result<()> {
        let now_ms = self.shared.clock.read();
        if std::mem::take(&mut self.has_signals) {
            self.take_signals();
        }
        self.run_queued();
        if self.shared.budget.is_lowered() {
            self.journal.trouble(Event::MemoryShort(self.shared.budget.limit()), now_ms);
        }
        self.accept();
        self.sweep(batch.is_full());
        self.end_phase();
        self.serve_admin();
        self.notices.feed(&mut self.system, self.connections.len(), now_ms);
        self.has_chores = !self.queues.running.is_empty()
            || self.queues.pause_ends_ms() <= now_ms
            || self.deadlines.has_more()
            || self.ending.has_more()
            || self.admin.as_ref().is_some_and(Admin::has_more)
            || (!self.queues.starved.is_empty() && self.shared.budget.room() > 0)
            || (self.entrance.has_more() && self.may_accept())
            || (self.entrance.has_more() && self.is_full() && self.displacing.has_candidates())
            || (self.spin.is_on() && self.spin.goes_on(!batch.is_empty(), self.shared.clock.elapsed()));
        let alarm_ms = self.next_time_ms();
        if alarm_ms < NEVER_MS {
            self.system.set_alarm(alarm_ms, now_ms)?;
        }
        Ok(())
    }

    /// The next time at which there is work even without events.
    fn next_time_ms(&self) -> u64 {
        let admin_ms = self.admin.as_ref().and_then(Admin::ends_ms).unwrap_or(NEVER_MS);
        let accept_ms = Some(self.entrance.pause_ends_ms()).filter(|&ms| ms > self.now_ms()).unwrap_or(NEVER_MS);
        let pause_ms = self.queues.pause_ends_ms();
        let is_awaited = self.is_full() && self.entrance.has_more();
        let search_ms = if is_awaited { self.displacing.next_search_ms().max(self.now_ms() + 1) } else { NEVER_MS };
        [
            search_ms,
            self.deadlines.due_ms(),
            accept_ms,
            pause_ms,
            self.ending.ends_ms(),
            admin_ms,
            self.notices.next_ms(),
        ]
        .into_iter()
        .min()
        .unwrap_or(NEVER_MS)
    }

    fn serve_admin(&mut self) {
        let Some(admin) = &mut self.admin else {
            return;
        };
        let now_ms = self.shared.clock.now_ms();
        let view = View {
            started: self.started,
            now_ms,
            listening: self.entrance.listening(),
            connections: &self.connections,
            keys_end: self.keys_end,
            max_connections: self.entrance.max_connections(),
            listeners: self.entrance.listeners(),
            waiting: self.queues.short_of_memory(),
            journal: &self.journal,
            budget: &self.shared.budget,
            turns: &self.timing.turns,
            is_draining: self.ending.phase != Phase::Serving,
            is_exhausted: self.entrance.is_paused(now_ms) || self.shared.budget.room() == 0,
        };
        admin.serve(&mut self.system, ADMIN, &view);
    }

    fn handle(&mut self, batch: &S::Batch) {
        let mut events = batch.iter();
        while let Some(event) = events.next() {
            let (key, ready) = (event.token(), event.ready());
            // Check for a connection first, because most tokens are connections.
            let going = match self.connections.get_mut(key) {
                Some(_) if event.is_error() => self.handle_error(key, ready),
                Some(connection) => match turn_of(connection, ready, &mut self.shared, &mut self.journal, key) {
                    Next::Unchanged => Going::On,
                    next => self.settle(key, next),
                },
                None => self.note(key),
            };
            if going == Going::Enough {
                return self.put_off(events);
            }
        }
    }

    /// Handles an error event. Nothing more can be sent to the connection; its unread input is only for the log.
    #[cold]
    #[inline(never)]
    fn handle_error(&mut self, key: usize, ready: Ready) -> Going {
        if !self.journal.is_off() {
            return self.give_turn(key, ready);
        }
        self.has_chores = true;
        self.close(key, Reason::Reset);
        Going::On
    }

    /// Queues the connections of the remaining events, because this turn has moved its most bytes. They have their
    /// turns with the chores.
    #[cold]
    fn put_off<'e>(&mut self, events: impl Iterator<Item = &'e <S::Batch as Batch>::Event>)
    where
        S::Batch: 'e,
    {
        for event in events {
            match self.connections.get_mut(event.token()) {
                Some(connection) => {
                    connection.note(event.ready());
                    self.queues.running.push(event.token());
                }
                None => _ = self.note(event.token()),
            }
        }
    }

    /// Notes that there is a chore. An unknown token belongs to a connection closed earlier in this batch.
    #[inline(never)]
    fn note(&mut self, token: usize) -> Going {
        self.has_chores = true;
        match token {
            ALARM => {}
            SIGNALS => self.has_signals = true,
            token if token >= ADMIN => {
                if let Some(admin) = &mut self.admin {
                    admin.note(token - ADMIN);
                }
            }
            token => self.entrance.note(LAST_LISTENER - token),
        }
        Going::On
    }

    /// Gives the queued connections a turn, within the limits of a reactor turn. The others wait for the next one.
    fn run_queued(&mut self) {
        self.shared.moved = 0;
        let running = self.queues.running.len().min(MAX_QUEUED_TURNS);
        for _ in 0..running {
            if let Some(key) = self.queues.running.pop()
                && self.give_turn(key, Ready::READABLE) == Going::Enough
            {
                break;
            }
        }
        let starved = self.queues.starved.len().min(MAX_QUEUED_TURNS);
        for _ in 0..starved {
            if self.shared.budget.room() > 0
                && self.shared.moved < MAX_TURN_BYTES
                && let Some(key) = self.queues.starved.pop()
            {
                self.give_turn(key, Ready::READABLE);
            }
        }
        self.shared.moved = 0;
        self.queues.end_pause(self.now_ms(), MAX_QUEUED_TURNS);
    }

    fn give_turn(&mut self, key: usize, ready: Ready) -> Going {
        // A queued connection may have been closed meanwhile.
        let Some(connection) = self.connections.get_mut(key) else {
            return Going::On;
        };
        match turn_of(connection, ready, &mut self.shared, &mut self.journal, key) {
            Next::Unchanged => Going::On,
            next => self.settle(key, next),
        }
    }

    /// Acts on the result of a connection's turn.
    #[inline(never)]
    fn settle(&mut self, key: usize, next: Next) -> Going {
        self.has_chores = true;
        self.note_holder(key);
        match next {
            Next::Unchanged | Next::Changed => {}
            Next::Again => self.queues.running.push(key),
            Next::Starved => {
                self.queues.starved.push(key);
                self.evict(Pool::Payload);
            }
            Next::Crowded if self.evict(Pool::Headers) => self.queues.running.push(key),
            Next::Crowded | Next::Pause => self.queues.pause(key, self.now_ms() + PAUSE_MS),
            Next::Closed(reason) => self.close(key, reason),
        }
        if self.connections.contains(key) {
            self.watch_time(key);
        }
        if self.shared.moved < MAX_TURN_BYTES { Going::On } else { Going::Enough }
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
        self.deadlines.forget(key);
        self.holders.remove(key);
        let (mut unsent, held) = (connection.unsent(), connection.held());
        let unfinished = held - unsent;
        // The peer will not take the bytes in the kernel's buffer either: count them as unsent.
        if reason == Reason::StallTimeout
            && let Ok(Delivery { waiting, .. }) = connection.delivery()
        {
            unsent += waiting as usize;
        }
        self.journal.gone(key, reason, [unsent, unfinished], self.now_ms());
        connection.close(&mut self.shared.budget);
        // Closing has freed a descriptor.
        self.entrance.end_pause();
    }

    /// Whether the invariants between two turns hold. Checked only with few connections: the walk would take longer
    /// than the turn.
    fn is_sound(&self) -> bool {
        const MAX_WALK: usize = 64;
        self.keys_end > MAX_WALK
            || (self.queues.is_sound(self.keys_end)
                && self.connections.iter().all(|(key, _)| key < self.keys_end)
                && self.holders.count()
                    == self.connections.iter().filter(|(_, connection)| connection.unfinished().is_some()).count()
                && self.connections.iter().map(|(_, connection)| connection.memory()).sum::<usize>()
                    == self.shared.budget.held())
    }
}

/// An eighth of the memory is for unfinished headers, but at least room for one of the longest.
fn budget(config: &Config) -> Budget {
    let headers = (config.max_held / 8).max(MAX_V2_LEN + Budget::MIN_READ);
    Budget::new(config.max_held - headers, headers)
}

/// A connection's turn. It is compiled once with an observer and once without, so that traffic that is not logged costs
/// nothing extra.
#[inline(always)]
fn turn_of<T: Stream>(
    connection: &mut Connection<T>,
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
