//! The CPU time of a worker's thread while it measured, and its pauses.

use std::time::Duration;

use crate::system;

/// CPU time of the thread (when spinning, only the time in which it had something to do), and its pauses.
#[derive(Debug, Default)]
pub(in crate::engine) struct Gauge {
    cpu_start: Duration,
    cpu_end: Duration,
    busy_ns: u64,
    delay_start_ns: Option<u64>,
    delay_end_ns: Option<u64>,
    pub(in crate::engine) pauses: u64,
    pub(in crate::engine) paused_ns: u64,
    pub(in crate::engine) longest_pause_ns: u64,
}

impl Gauge {
    /// Begins the measured time.
    pub(super) fn begin(&mut self) {
        self.cpu_start = system::thread_cpu().unwrap_or_default();
        self.delay_start_ns = system::run_delay_ns();
    }

    /// Ends the measured time.
    pub(super) fn end(&mut self) {
        self.cpu_end = system::thread_cpu().unwrap_or_default();
        self.delay_end_ns = system::run_delay_ns();
    }

    /// Adds a turn of a spinning loop that had something to do.
    pub(super) fn was_busy(&mut self, ns: u64) {
        self.busy_ns += ns;
    }

    /// Adds a time in which the thread was due to run and did not.
    #[cold]
    pub(super) fn was_paused(&mut self, ns: u64) {
        self.pauses += 1;
        self.paused_ns += ns;
        self.longest_pause_ns = self.longest_pause_ns.max(ns);
    }

    /// CPU time without spinning.
    pub(super) fn used(&self, spins: bool) -> Duration {
        if spins { Duration::from_nanos(self.busy_ns) } else { self.cpu_end.saturating_sub(self.cpu_start) }
    }

    /// Time in the run queue in ns, if the kernel counts it.
    pub(in crate::engine) fn delay_ns(&self) -> Option<u64> {
        Some(self.delay_end_ns?.saturating_sub(self.delay_start_ns?))
    }
}
