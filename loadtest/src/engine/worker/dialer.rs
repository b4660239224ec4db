//! Which connections a worker opens, and when.

use super::timetable::NEVER;

/// Connects in flight: a listen queue must not overflow because of us.
const MAX_CONNECTING: usize = 256;
/// How often connects are looked at that take too long, in ns.
const SWEEP_NS: u64 = 100_000_000;

/// Counts and times of a worker's connects.
#[derive(Debug)]
pub(super) struct Dialer {
    /// The worker's connections (`crr`: at a time).
    pub(super) own: u64,
    /// Still to be dialled.
    to_dial: u64,
    /// Being established.
    connecting: usize,
    dialled: u64,
    /// Of the worker among those of all shards, and how many those are.
    first: u64,
    step: u64,
    gap_ns: u64,
    next_ns: u64,
    next_sweep_ns: u64,
    /// Whether connections are looked at that are established, too.
    sweeps_always: bool,
}

impl Dialer {
    /// Worker `first` of `step` opens connections `first`, `first + step` and so on, `own` of them. `per_second` are all
    /// workers' together.
    pub(super) fn new(own: u64, first: u64, step: u64, per_second: Option<f64>, sweeps_always: bool) -> Self {
        Dialer {
            own,
            to_dial: 0,
            connecting: 0,
            dialled: 0,
            first,
            step,
            gap_ns: per_second.map_or(0, |rate| (1e9 * step as f64 / rate) as u64),
            next_ns: 0,
            next_sweep_ns: if sweeps_always { 0 } else { NEVER },
            sweeps_always,
        }
    }

    /// So many more are to be opened.
    #[inline]
    pub(super) fn want(&mut self, count: u64) {
        self.to_dial += count;
    }

    /// None is to be opened any more.
    pub(super) fn give_up(&mut self) {
        self.to_dial = 0;
    }

    /// Whether all are opened that were wanted, or known not to open.
    pub(super) fn is_done(&self) -> bool {
        self.to_dial == 0 && self.connecting == 0
    }

    /// Whether one is to be opened now; if so it counts as begun. Some address can take one from `ready_ns` on.
    #[inline]
    pub(super) fn take(&mut self, now_ns: u64, ready_ns: impl FnOnce() -> u64) -> bool {
        if self.to_dial == 0 || self.connecting >= MAX_CONNECTING || now_ns < self.next_ns || now_ns < ready_ns() {
            return false;
        }
        self.to_dial -= 1;
        let base_ns = if self.next_ns == 0 { now_ns } else { self.next_ns };
        self.next_ns = base_ns + self.gap_ns;
        true
    }

    /// The number of the connection that is dialled next.
    pub(super) fn number(&mut self) -> u64 {
        self.dialled += 1;
        self.first + (self.dialled - 1) * self.step
    }

    /// A connect is under way.
    pub(super) fn begun(&mut self, now_ns: u64) {
        if self.connecting == 0 && !self.sweeps_always {
            self.next_sweep_ns = now_ns + SWEEP_NS;
        }
        self.connecting += 1;
    }

    /// A connect is over.
    pub(super) fn ended(&mut self) {
        self.connecting -= 1;
        if self.connecting == 0 && !self.sweeps_always {
            self.next_sweep_ns = NEVER;
        }
    }

    /// Whether it is time to look for connects that take too long; if so the next time is set.
    #[inline]
    pub(super) fn sweeps(&mut self, now_ns: u64) -> bool {
        let is_due = now_ns >= self.next_sweep_ns;
        if is_due {
            self.next_sweep_ns = now_ns + SWEEP_NS;
        }
        is_due
    }

    /// After a failure that is not tried again: others should not wait for it, but as the rate has it.
    pub(super) fn go_on(&mut self, now_ns: u64) {
        self.next_ns = now_ns + self.gap_ns;
    }

    /// When something is to be done though nothing happens. Some address can take a connection from `ready_ns` on.
    #[inline]
    pub(super) fn wake_ns(&self, ready_ns: impl FnOnce() -> u64) -> u64 {
        let dials = self.to_dial > 0 && self.connecting < MAX_CONNECTING;
        self.next_sweep_ns.min(if dials { self.next_ns.max(ready_ns()) } else { NEVER })
    }
}
