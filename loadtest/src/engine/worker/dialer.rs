//! Decides which connections a worker opens, and when.

use super::timetable::NEVER;

/// Most connects in flight, so that the load generator does not overflow a listen queue.
const MAX_CONNECTING: usize = 256;
/// Time between two checks for connects that take too long, in ns.
const SWEEP_NS: u64 = 100_000_000;

/// Counts and times of a worker's connects.
#[derive(Debug)]
pub(super) struct Dialer {
    /// The worker's connections (`crr`: at a time).
    pub(super) own: u64,
    /// Connections still to be opened.
    to_dial: u64,
    /// Connections being established.
    connecting: usize,
    dialled: u64,
    /// The worker's number among those of all shards, and the number of those workers.
    first: u64,
    step: u64,
    gap_ns: u64,
    next_ns: u64,
    next_sweep_ns: u64,
    /// Whether the checks include established connections.
    sweeps_always: bool,
}

impl Dialer {
    /// The dialer of worker `first` of `step`, which opens `own` connections: numbers `first`, `first + step` and so
    /// on. `per_second` is the rate of all workers together.
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

    /// Adds connections to be opened.
    #[inline]
    pub(super) fn want(&mut self, count: u64) {
        self.to_dial += count;
    }

    /// Opens no more connections.
    pub(super) fn give_up(&mut self) {
        self.to_dial = 0;
    }

    /// Whether all wanted connections are open or have failed.
    pub(super) fn is_done(&self) -> bool {
        self.to_dial == 0 && self.connecting == 0
    }

    /// Whether to open a connection now; if so, it counts as begun. An address can take one from `ready_ns` on.
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

    /// The number of the next connection to open.
    pub(super) fn number(&mut self) -> u64 {
        self.dialled += 1;
        self.first + (self.dialled - 1) * self.step
    }

    /// Notes that a connect has begun.
    pub(super) fn begun(&mut self, now_ns: u64) {
        if self.connecting == 0 && !self.sweeps_always {
            self.next_sweep_ns = now_ns + SWEEP_NS;
        }
        self.connecting += 1;
    }

    /// Notes that a connect has ended.
    pub(super) fn ended(&mut self) {
        self.connecting -= 1;
        if self.connecting == 0 && !self.sweeps_always {
            self.next_sweep_ns = NEVER;
        }
    }

    /// Whether to check for connects that take too long; if so, sets the time of the next check.
    #[inline]
    pub(super) fn sweeps(&mut self, now_ns: u64) -> bool {
        let is_due = now_ns >= self.next_sweep_ns;
        if is_due {
            self.next_sweep_ns = now_ns + SWEEP_NS;
        }
        is_due
    }

    /// After a failure that is not tried again: the other connects continue at the rate.
    pub(super) fn go_on(&mut self, now_ns: u64) {
        self.next_ns = now_ns + self.gap_ns;
    }

    /// The next time at which there is work without an event. An address can take a connection from `ready_ns` on.
    #[inline]
    pub(super) fn wake_ns(&self, ready_ns: impl FnOnce() -> u64) -> u64 {
        let dials = self.to_dial > 0 && self.connecting < MAX_CONNECTING;
        self.next_sweep_ns.min(if dials { self.next_ns.max(ready_ns()) } else { NEVER })
    }
}
