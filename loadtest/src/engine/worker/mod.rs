//! A worker: one thread, one poll, its connections in a slab, and no allocation per message.
//!
//! Connections are registered once, edge-triggered. A turn of a connection may therefore end only when an edge will come:
//! after a read or a write that was shorter than asked for. After a reported FIN, the connection is read to the end.

mod addresses;
mod dialer;
mod dialing;
mod flights;
mod gauge;
mod handshake;
mod live;
mod phase;
mod timetable;
mod traffic;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use self::addresses::Addresses;
use self::dialer::Dialer;
use self::flights::Flights;
pub(super) use self::gauge::Gauge;
use self::live::Live;
use self::timetable::{NEVER, Phase, Timetable};
use super::alarm::Alarm;
use super::connection::Connection;
use super::control::Control;
use super::schedule::Schedule;
use super::second::Part;
use super::tally::Tally;
use crate::pattern::{MAX_PIECE, Pattern};
use crate::plan::{Kind, Plan, part};
use crate::system;
use crate::tls::Client;

/// Most events taken from the kernel at a time.
const EVENTS: usize = 1024;
/// Events per reading of the clock.
const BATCH: usize = 16;
/// Longest time between two readings of the clock while the load runs, so that longer pauses are noticed.
const BEAT_NS: u64 = 5_000_000;
/// Most pauses that are kept until the messages due in them are sent.
const MAX_PAUSES: usize = 256;
/// Failed connects without a success after which the target counts as unreachable.
const HOPELESS: u64 = 64;

const ALARM: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// A report of a worker.
#[derive(Debug)]
pub(super) enum Word {
    /// All its connections are open or have failed.
    Ready,
    /// A second of this worker's measured time is over.
    Second(usize, Box<Part>),
    /// It is done.
    Done(Box<Outcome>),
    /// It cannot go on.
    Failed(io::Error),
}

/// The result of a worker.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The worker's index among those of this process.
    pub(super) index: usize,
    pub(super) tally: Tally,
    /// Its share of a core while it measured.
    pub(super) cpu_share: f64,
    pub(super) gauge: Gauge,
    pub(super) cpu: Duration,
    pub(super) measured: Duration,
    pub(super) setup: Duration,
    pub(super) cut_short: Option<String>,
}

pub(super) struct Worker {
    plan: Arc<Plan>,
    pattern: Arc<Pattern>,
    control: Arc<Control>,
    words: Sender<Word>,
    /// Its index among the workers of this process.
    index: usize,
    poll: Poll,
    alarm: Alarm,
    connections: Slab<Connection>,
    /// Connections with unread input after their turn, and whether an end was reported.
    unread: VecDeque<(usize, bool)>,
    /// Connections that can send another message, in open loop.
    free: VecDeque<usize>,
    schedule: Option<Schedule>,
    times: Timetable,
    dialer: Dialer,
    addresses: Addresses,
    /// The number of the address list that the worker uses.
    resolved: u64,
    flights: Flights,
    gauge: Gauge,
    tally: Tally,
    live: Live,
    /// State of TLS that connections share.
    tls: Option<Box<Client>>,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
    now_ns: u64,
    /// Since when the present events may have waited: since the worker woke, or since the pause before began.
    ready_ns: u64,
    /// Pauses (begin and end) in which messages were due that are not sent yet. These messages are late because of the
    /// pause.
    pauses: VecDeque<(u64, u64)>,
    /// The time at which the alarm wakes the worker; and the latest time at which it must read the clock to notice
    /// pauses.
    wake_at_ns: u64,
    beat_ns: u64,
    max_pause_ns: u64,
    /// The begin and the end of opening the connections.
    setup_ns: (u64, u64),
    /// crr: since when another connection may be opened.
    room_since_ns: u64,
    /// The times at which connections were lost that will be replaced.
    lost_ns: VecDeque<u64>,
    /// Whether the measured time is over and messages due just before its end are not sent yet.
    is_closing: bool,
    cut_short: Option<String>,
}

impl Worker {
    /// Worker `index` of this process. The waker wakes it to look at `control`.
    pub(super) fn new(
        plan: Arc<Plan>,
        pattern: Arc<Pattern>,
        control: Arc<Control>,
        words: Sender<Word>,
        index: usize,
        intervals: usize,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let (first, workers) = plan.workers();
        let number = first + index as u64;
        let own = part(plan.connections, number, workers);
        let now_ns = control.now_ns();
        let mut dialer = Dialer::new(own, number, workers, plan.connect_rate, plan.kind == Kind::Crr || plan.reconnect);
        if plan.kind != Kind::Crr {
            dialer.want(own);
        }
        let room = if plan.size > 4096 { MAX_PIECE } else { MAX_PIECE / 4 };
        let worker = Worker {
            index,
            poll,
            alarm,
            connections: Slab::with_capacity(own as usize),
            unread: VecDeque::new(),
            free: VecDeque::with_capacity(own as usize),
            schedule: plan.profile().map(|profile| {
                Schedule::new(profile.delayed(plan.warmup.as_secs_f64()), plan.arrival, number, workers)
            }),
            times: Timetable::new(&plan, intervals),
            addresses: Addresses::new(&plan, number, workers, own),
            resolved: 0,
            dialer,
            flights: Flights::new(own, if plan.kind == Kind::Crr { 1 } else { plan.depth }),
            gauge: Gauge::default(),
            tally: Tally::new(&plan.targets, intervals),
            live: Live::new(),
            tls: plan.tls.as_ref().map(|tls| Box::new(tls.client(own, room))),
            buffer: vec![0; room].into_boxed_slice(),
            scratch: Vec::with_capacity(MAX_PIECE),
            now_ns,
            ready_ns: now_ns,
            pauses: VecDeque::with_capacity(MAX_PAUSES),
            wake_at_ns: NEVER,
            beat_ns: 0,
            max_pause_ns: plan.max_lag.as_nanos() as u64,
            setup_ns: (now_ns, now_ns),
            room_since_ns: 0,
            lost_ns: VecDeque::new(),
            is_closing: false,
            cut_short: None,
            plan,
            pattern,
            control,
            words,
        };
        Ok((worker, waker))
    }

    /// Works until it is done, and reports that.
    pub(super) fn run(mut self) {
        if let Some(&core) = self.plan.cores.get(self.index) {
            // If pinning fails, the environment in the result shows it.
            let _ = system::pin(core);
        }
        let result = self.work();
        let words = self.words.clone();
        // The channel is closed only if the whole run was given up.
        let _ = words.send(match result {
            Ok(()) => Word::Done(Box::new(self.finish())),
            Err(error) => Word::Failed(error),
        });
    }

    fn work(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        self.now_ns = self.control.now_ns();
        self.setup_ns = (self.now_ns, self.now_ns);
        self.tick()?;
        while self.times.phase != Phase::Done {
            let timeout = if self.plan.spin || !self.unread.is_empty() {
                Some(Duration::ZERO)
            } else {
                self.alarm.timeout(self.now_ns)
            };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => result?,
            }
            let woken_ns = self.now_ns;
            // If the worker slept, it was due to run when its alarm went off; otherwise it was due all the time.
            let is_asleep = timeout != Some(Duration::ZERO);
            self.ready_ns = NEVER;
            self.go_past(if is_asleep { woken_ns.max(self.wake_at_ns) } else { woken_ns });
            self.ready_ns = self.ready_ns.min(self.now_ns);
            let before = (self.tally.totals.bytes_sent, self.now_ns);
            for (count, event) in events.iter().enumerate() {
                if count % BATCH == BATCH - 1 {
                    self.read_clock();
                }
                match event.token() {
                    ALARM => {}
                    WAKER => self.obey(),
                    Token(key) => self.turn(key, event),
                }
            }
            self.read_on();
            self.tick()?;
            let is_busy = !events.is_empty() || self.tally.totals.bytes_sent > before.0;
            if self.plan.spin && self.times.is_measuring && is_busy {
                self.gauge.was_busy(self.control.now_ns() - before.1.max(woken_ns));
            }
        }
        Ok(())
    }

    #[inline]
    fn read_clock(&mut self) {
        self.go_past(self.now_ns);
    }

    /// Reads the clock, and notes a pause if the worker was due to run from `due_ns` on and did not.
    #[inline]
    fn go_past(&mut self, due_ns: u64) {
        self.now_ns = self.control.now_ns();
        if self.now_ns > due_ns.saturating_add(self.max_pause_ns) {
            self.note_pause(due_ns);
        }
        if self.now_ns >= self.times.next_mark_ns {
            self.pass_marks();
        }
    }

    /// The work that is done once per batch of events.
    fn tick(&mut self) -> io::Result<()> {
        while self.dialer.take(self.now_ns, || self.addresses.ready_ns()) {
            self.dial(self.now_ns)?;
        }
        if self.schedule.is_some() && (self.times.phase == Phase::Running || self.is_closing) {
            self.send_due()?;
            if self.is_closing {
                self.count_unsent();
            }
        }
        if self.dialer.sweeps(self.now_ns) {
            self.sweep();
        }
        match self.times.phase {
            Phase::Dialing if self.dialer.is_done() => self.become_ready(),
            Phase::Running if self.is_abandoned() => self.stop_sending("no connection is left"),
            _ => {}
        }
        // Also when draining has just begun, because no event may come any more.
        if self.times.phase == Phase::Draining && self.flights.count == 0 && !self.is_closing {
            self.times.phase = Phase::Done;
        }
        if self.now_ns >= self.live.next_ns {
            self.report_second(self.now_ns);
        }
        self.control.publish(self.index, self.tally.totals.requests_completed);
        if self.plan.spin {
            return Ok(());
        }
        self.wake_at_ns = self.wake_ns();
        self.alarm.set(self.wake_at_ns, self.now_ns)
    }

    /// Notes a pause since `due_ns`. The next events may have waited all that time.
    #[cold]
    fn note_pause(&mut self, due_ns: u64) {
        self.ready_ns = self.ready_ns.min(due_ns);
        if self.schedule.is_some() {
            // A schedule this far behind is invalid anyway.
            if self.pauses.len() == MAX_PAUSES {
                self.pauses.pop_front();
            }
            self.pauses.push_back((due_ns, self.now_ns));
        }
        let (from_ns, to_ns) = (due_ns.max(self.times.measure_ns), self.now_ns.min(self.times.end_ns));
        if to_ns > from_ns {
            self.gauge.was_paused(to_ns - from_ns);
        }
    }

    /// The next time at which there is work without an event.
    #[inline]
    fn wake_ns(&mut self) -> u64 {
        let mut wake_ns = self.times.next_mark_ns.min(self.dialer.wake_ns(|| self.addresses.ready_ns()));
        if self.times.phase == Phase::Running {
            // Postpone the beat early, so that a busy loop is not woken for it.
            if self.now_ns + BEAT_NS / 2 >= self.beat_ns {
                self.beat_ns = self.now_ns + BEAT_NS;
            }
            wake_ns = wake_ns.min(self.beat_ns);
        }
        match &self.schedule {
            Some(schedule) if self.times.phase == Phase::Running && self.can_send() => {
                wake_ns.min(self.times.start_ns + schedule.next_ns())
            }
            _ => wake_ns,
        }
    }

    fn can_send(&self) -> bool {
        match self.plan.kind {
            Kind::Crr => (self.connections.len() as u64) < self.dialer.own,
            _ => !self.free.is_empty(),
        }
    }

    fn finish(mut self) -> Outcome {
        let (flights, tally, measure_ns) = (&self.flights, &mut self.tally, self.times.measure_ns);
        tally.totals.requests_unanswered += flights.count;
        for (key, connection) in &self.connections {
            let address = connection.address;
            tally.addresses[address].counts.requests_unanswered += u64::from(connection.in_flight);
            flights.due_of(key, connection).for_each(|due_ns| tally.missing(address, measure_ns, due_ns, self.now_ns));
            tally.socket(&connection.stream);
        }
        if self.plan.kind != Kind::Crr {
            for (_, connection) in self.connections.iter().filter(|(_, other)| other.state.is_open()) {
                self.tally.totals.connections_alive += 1;
                self.tally.addresses[connection.address].counts.connections_alive += 1;
            }
        }
        for (index, place) in self.tally.addresses.iter_mut().enumerate() {
            place.counts.is_gone = self.addresses.is_gone(index);
        }
        let measured = Duration::from_nanos(self.times.measured_ns());
        let cpu = self.gauge.used(self.plan.spin);
        Outcome {
            index: self.index,
            cpu_share: cpu.as_secs_f64() / measured.as_secs_f64().max(1e-9),
            cpu,
            gauge: self.gauge,
            measured,
            setup: Duration::from_nanos(self.setup_ns.1 - self.setup_ns.0),
            cut_short: self.cut_short,
            tally: self.tally,
        }
    }
}
