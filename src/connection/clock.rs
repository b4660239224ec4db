//! Time, as far as the reactor needs it: when something is over.
//!
//! Traffic reads no clock. It stamps a connection with the time of the last reading, which is at most one period old
//! ([`TimeLimits`](super::TimeLimits)), and the alarm is an event like others, so that waiting needs no time limit either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds since the start, as of the last reading.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    now_ms: u64,
}

#[derive(Debug)]
enum Source {
    Monotonic(Instant),
    /// Microseconds that a simulation counts.
    Simulated(Arc<AtomicU64>),
}

impl Clock {
    /// Starts at 0.
    #[must_use]
    pub fn start() -> Self {
        Clock { source: Source::Monotonic(Instant::now()), now_ms: 0 }
    }

    /// Shows the microseconds that somebody else counts.
    #[must_use]
    pub fn simulated(micros: Arc<AtomicU64>) -> Self {
        Clock { source: Source::Simulated(micros), now_ms: 0 }
    }

    /// Reads the time.
    pub fn read(&mut self) -> u64 {
        self.now_ms = self.elapsed().as_millis() as u64;
        self.now_ms
    }

    /// The time since the start, which is not kept as a reading.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.source {
            Source::Monotonic(started) => started.elapsed(),
            Source::Simulated(micros) => Duration::from_micros(micros.load(Ordering::Relaxed)),
        }
    }

    /// The time of the last reading.
    #[must_use]
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }
}
