//! How a worker goes from phase to phase: by the clock, by what is ordered, or because nobody is left to talk to.

use super::{HOPELESS, NEVER, Word, Worker};
use crate::plan::Kind;
use crate::result::INTERRUPTED;
use crate::system;

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connections are opened.
    Dialing,
    /// For the others, and for the time to begin.
    Waiting,
    /// Warm-up and measured time.
    Running,
    /// Nothing more is sent; answers are awaited.
    Draining,
    Done,
}

impl Worker {
    pub(super) fn is_abandoned(&self) -> bool {
        match self.plan.kind {
            Kind::Crr => {
                let totals = &self.tally.totals;
                totals.connections_opened == 0 && totals.connections_failed >= HOPELESS.min(self.own)
                    || self.now_ns.saturating_sub(self.last_success_ns) > self.plan.timeout.as_nanos() as u64
            }
            _ => self.connections.is_empty(),
        }
    }

    pub(super) fn become_ready(&mut self) {
        self.dial_end_ns = self.now_ns;
        self.phase = Phase::Waiting;
        let _ = self.words.send(Word::Ready);
        self.obey();
    }

    /// Looks at what is ordered.
    pub(super) fn obey(&mut self) {
        if self.control.is_stopped() {
            match self.phase {
                Phase::Dialing | Phase::Waiting => {
                    self.cut_short = Some(INTERRUPTED.to_owned());
                    self.phase = Phase::Done;
                }
                Phase::Running => {
                    self.stop_sending(INTERRUPTED);
                    self.drain_end_ns = self.drain_end_ns.min(self.now_ns + 1_000_000_000);
                    self.next_mark_ns = self.drain_end_ns;
                }
                Phase::Draining | Phase::Done => {}
            }
        } else if let (Phase::Waiting, Some(start_ns)) = (self.phase, self.control.start_ns()) {
            self.start_ns = start_ns;
            self.measure_ns = start_ns + self.plan.warmup.as_nanos() as u64;
            self.end_ns = self.measure_ns + self.plan.duration.as_nanos() as u64;
            self.next_mark_ns = start_ns;
        }
    }

    /// Time has come for another phase or interval.
    #[cold]
    pub(super) fn pass_mark(&mut self) {
        match self.phase {
            Phase::Waiting => {
                self.phase = Phase::Running;
                self.next_mark_ns = self.measure_ns;
                self.last_success_ns = self.now_ns;
                self.room_since_ns = self.start_ns;
                self.begin();
            }
            Phase::Running if !self.is_measuring && self.now_ns < self.end_ns => {
                self.is_measuring = true;
                self.cpu_start = system::thread_cpu().unwrap_or_default();
                self.pass_mark();
            }
            Phase::Running if self.now_ns < self.end_ns => {
                let index = (self.now_ns - self.measure_ns) / self.interval_ns;
                self.tally.current = (index as usize).min(self.tally.intervals.len() - 1);
                self.next_mark_ns = (self.measure_ns + (index + 1) * self.interval_ns).min(self.end_ns);
            }
            Phase::Running => self.end(),
            Phase::Draining => self.phase = Phase::Done,
            Phase::Dialing | Phase::Done => self.next_mark_ns = NEVER,
        }
    }

    /// All connections are open: in closed loop, each gets what it keeps in flight.
    fn begin(&mut self) {
        let keys: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        match (self.plan.kind, &self.schedule) {
            (Kind::Crr, None) => self.to_dial = self.own,
            (Kind::Crr | Kind::Idle, _) => {}
            (_, Some(_)) => {
                self.free.extend(keys);
                self.connections.iter_mut().for_each(|(_, connection)| connection.since_ns = self.start_ns);
            }
            (_, None) => {
                for key in keys {
                    for _ in 0..self.depth {
                        self.queue(key, self.now_ns);
                    }
                    if let Err(error) = self.flush(key) {
                        self.lose(key, &error);
                    }
                }
            }
        }
    }

    pub(super) fn stop_sending(&mut self, why: &str) {
        self.cut_short = Some(why.to_owned());
        self.end_ns = self.now_ns;
        self.end();
    }

    /// The measured time is over.
    fn end(&mut self) {
        if self.is_measuring {
            self.cpu_end = system::thread_cpu().unwrap_or_default();
        }
        self.is_measuring = false;
        self.phase = Phase::Draining;
        self.to_dial = 0;
        self.drain_end_ns = self.end_ns + self.plan.timeout.as_nanos() as u64;
        self.next_mark_ns = self.drain_end_ns;
        self.is_closing = self.schedule.is_some();
    }

    /// Open loop: what was due before the end and is not sent by now never will be.
    pub(super) fn count_unsent(&mut self) {
        self.is_closing = false;
        let could_send = self.can_send();
        if let Some(schedule) = &mut self.schedule {
            let (from_ns, end_ns) = (self.measure_ns.saturating_sub(self.start_ns), self.end_ns - self.start_ns);
            let unsent = schedule.left(from_ns, end_ns);
            self.tally.totals.requests_unsent += unsent;
            self.tally.withheld += if could_send { unsent } else { 0 };
        }
    }
}
