//! What a worker's thread used while it measured.

use std::time::Duration;

use crate::system;

/// CPU time of the thread, and with spinning the time in which it had something to do.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    cpu_start: Duration,
    cpu_end: Duration,
    busy_ns: u64,
}

impl Gauge {
    /// The measured time begins.
    pub(super) fn begin(&mut self) {
        self.cpu_start = system::thread_cpu().unwrap_or_default();
    }

    /// The measured time ends.
    pub(super) fn end(&mut self) {
        self.cpu_end = system::thread_cpu().unwrap_or_default();
    }

    /// A turn of a spinning loop had something to do.
    pub(super) fn was_busy(&mut self, ns: u64) {
        self.busy_ns += ns;
    }

    /// CPU time that was not merely spun away.
    pub(super) fn used(&self, spins: bool) -> Duration {
        if spins { Duration::from_nanos(self.busy_ns) } else { self.cpu_end.saturating_sub(self.cpu_start) }
    }
}
