//! A worker: one thread, one poll, its connections in a slab, and nothing allocated for a message.
//!
//! Connections are registered once, edge-triggered. So every turn of one ends with what is safe to forget: a read that was
//! shorter than its buffer, or a write that was, which say that an edge will come; where a FIN was reported it is read to.

mod dialing;
mod phase;
mod traffic;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use self::dialing::MAX_CONNECTING;
use self::phase::Phase;
use super::alarm::Alarm;
use super::connection::{Connection, State};
use super::control::Control;
use super::schedule::Schedule;
use super::tally::Tally;
use crate::pattern::{MAX_PIECE, Pattern};
use crate::plan::{Kind, Plan, part};
use crate::system;

/// Events taken from the kernel at a time.
const EVENTS: usize = 1024;
/// The clock is read once for so many events.
const BATCH: usize = 16;
/// With so many connects failed and none made, there is no target.
const HOPELESS: u64 = 64;
/// Pause after a connect failed while others are to be made, in ns.
const PAUSE_NS: u64 = 10_000_000;
/// Never.
const NEVER: u64 = u64::MAX;

const ALARM: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// What a worker says while it works.
#[derive(Debug)]
pub(super) enum Word {
    /// Its connections are open, as far as they open.
    Ready,
    /// It is done.
    Done(Box<Outcome>),
    /// It cannot go on.
    Failed(io::Error),
}

/// What a worker found out.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// The part of a core that it used while it measured.
    pub(super) cpu_share: f64,
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
    /// Among those of this process, and among all.
    index: usize,
    number: u64,
    workers: u64,
    poll: Poll,
    alarm: Alarm,
    phase: Phase,
    connections: Slab<Connection>,
    /// Scheduled and actual send, in ns, of the messages in flight: `depth` of each connection.
    stamps: Box<[(u64, u64)]>,
    depth: u32,
    size: usize,
    /// Connections that were not read to the end in their turn, and whether an end was reported.
    unread: VecDeque<(usize, bool)>,
    /// Connections that could send a message more, in open loop.
    free: VecDeque<usize>,
    schedule: Option<Schedule>,
    tally: Tally,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
    /// Connections of this worker, those still to be dialled, and those that are being established.
    own: u64,
    to_dial: u64,
    connecting: usize,
    dialled: u64,
    dial_gap_ns: u64,
    next_dial_ns: u64,
    next_sweep_ns: u64,
    last_success_ns: u64,
    /// crr: since when a connection more may be opened.
    room_since_ns: u64,
    in_flight: u64,
    now_ns: u64,
    /// Times of this run, and the next of them at which something changes.
    dial_start_ns: u64,
    dial_end_ns: u64,
    start_ns: u64,
    measure_ns: u64,
    end_ns: u64,
    drain_end_ns: u64,
    interval_ns: u64,
    next_mark_ns: u64,
    is_measuring: bool,
    /// The measured time is over, and what was due just before is not sent yet.
    is_closing: bool,
    cpu_start: Duration,
    cpu_end: Duration,
    busy_ns: u64,
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
        let depth = if plan.kind == Kind::Crr { 1 } else { plan.depth };
        let per_second = |rate: f64| (1e9 * workers as f64 / rate) as u64;
        let now_ns = control.now_ns();
        let worker = Worker {
            index,
            number,
            workers,
            poll,
            alarm,
            phase: Phase::Dialing,
            connections: Slab::with_capacity(own as usize),
            stamps: vec![(0, 0); own as usize * depth as usize].into_boxed_slice(),
            depth,
            size: plan.size,
            unread: VecDeque::new(),
            free: VecDeque::with_capacity(own as usize),
            schedule: plan.rate.map(|rate| Schedule::new(rate, plan.arrival, number, workers)),
            tally: Tally::new(intervals),
            buffer: vec![0; if plan.size > 4096 { MAX_PIECE } else { MAX_PIECE / 4 }].into_boxed_slice(),
            scratch: Vec::with_capacity(MAX_PIECE),
            own,
            to_dial: if plan.kind == Kind::Crr { 0 } else { own },
            connecting: 0,
            dialled: 0,
            dial_gap_ns: plan.connect_rate.map_or(0, per_second),
            next_dial_ns: 0,
            next_sweep_ns: 0,
            last_success_ns: 0,
            room_since_ns: 0,
            in_flight: 0,
            now_ns,
            dial_start_ns: now_ns,
            dial_end_ns: now_ns,
            start_ns: NEVER,
            measure_ns: NEVER,
            end_ns: NEVER,
            drain_end_ns: NEVER,
            interval_ns: (plan.duration.as_nanos() as u64).div_ceil(intervals as u64),
            next_mark_ns: NEVER,
            is_measuring: false,
            is_closing: false,
            cpu_start: Duration::ZERO,
            cpu_end: Duration::ZERO,
            busy_ns: 0,
            cut_short: None,
            plan,
            pattern,
            control,
            words,
        };
        Ok((worker, waker))
    }

    /// Works until it is done, and says so.
    pub(super) fn run(mut self) {
        if let Some(&core) = self.plan.cores.get(self.index) {
            // Where it does not work, the environment shows it.
            let _ = system::pin(core);
        }
        let result = self.work();
        let words = self.words.clone();
        // Nobody listens any more only if the whole run was given up.
        let _ = words.send(match result {
            Ok(()) => Word::Done(Box::new(self.finish())),
            Err(error) => Word::Failed(error),
        });
    }

    fn work(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        self.now_ns = self.control.now_ns();
        (self.dial_start_ns, self.dial_end_ns) = (self.now_ns, self.now_ns);
        self.tick()?;
        while self.phase != Phase::Done {
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
            self.read_clock();
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
            if self.plan.spin && self.is_measuring && (!events.is_empty() || self.tally.totals.bytes_sent > before.0) {
                self.busy_ns += self.control.now_ns() - before.1.max(woken_ns);
            }
        }
        Ok(())
    }

    #[inline]
    fn read_clock(&mut self) {
        self.now_ns = self.control.now_ns();
        if self.now_ns >= self.next_mark_ns {
            self.pass_mark();
        }
    }

    /// What is done once for a batch of events.
    fn tick(&mut self) -> io::Result<()> {
        if self.to_dial > 0 {
            self.dial_more()?;
        }
        if self.schedule.is_some() && (self.phase == Phase::Running || self.is_closing) {
            self.send_due()?;
            if self.is_closing {
                self.count_unsent();
            }
        }
        if self.connecting > 0 && self.now_ns >= self.next_sweep_ns {
            self.sweep();
        }
        match self.phase {
            Phase::Dialing if self.to_dial == 0 && self.connecting == 0 => self.become_ready(),
            Phase::Running if self.is_abandoned() => self.stop_sending("no connection is left"),
            _ => {}
        }
        // Also when that has just begun: no event may come any more.
        if self.phase == Phase::Draining && self.in_flight == 0 && !self.is_closing {
            self.phase = Phase::Done;
        }
        self.control.publish(self.index, self.tally.totals.requests_completed);
        if self.plan.spin { Ok(()) } else { self.alarm.set(self.wake_ns(), self.now_ns) }
    }

    /// When something is to be done though nothing happens.
    #[inline]
    fn wake_ns(&self) -> u64 {
        let mut wake_ns = self.next_mark_ns;
        if let (Phase::Running, Some(schedule)) = (self.phase, &self.schedule)
            && self.can_send()
        {
            wake_ns = wake_ns.min(self.start_ns + schedule.next_ns());
        }
        if self.to_dial > 0 && self.connecting < MAX_CONNECTING {
            wake_ns = wake_ns.min(self.next_dial_ns);
        }
        if self.connecting > 0 {
            wake_ns = wake_ns.min(self.next_sweep_ns);
        }
        wake_ns
    }

    fn can_send(&self) -> bool {
        match self.plan.kind {
            Kind::Crr => (self.connections.len() as u64) < self.own,
            _ => !self.free.is_empty(),
        }
    }

    fn finish(mut self) -> Outcome {
        self.tally.totals.requests_unanswered += self.in_flight;
        if self.plan.kind != Kind::Crr {
            let alive = self.connections.iter().filter(|(_, connection)| connection.state != State::Connecting);
            self.tally.totals.connections_alive = alive.count() as u64;
        }
        let measured_ns = self.end_ns.saturating_sub(self.measure_ns);
        let measured = Duration::from_nanos(if self.end_ns == NEVER { 0 } else { measured_ns });
        let cpu = self.cpu_end.saturating_sub(self.cpu_start);
        let busy = if self.plan.spin { Duration::from_nanos(self.busy_ns) } else { cpu };
        Outcome {
            cpu_share: busy.as_secs_f64() / measured.as_secs_f64().max(1e-9),
            cpu: busy,
            measured,
            setup: Duration::from_nanos(self.dial_end_ns - self.dial_start_ns),
            cut_short: self.cut_short,
            tally: self.tally,
        }
    }
}
