//! The reactor's clock: milliseconds since the start, read once per period rather than once per message.
//!
//! Traffic does not read the clock. A connection is stamped with the time of the last reading, which is at most one
//! period old ([`TimeLimits`](super::TimeLimits)). The alarm is an event like any other, so that the poll needs no
//! timeout either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds since the start, at the last reading.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    now_ms: u64,
}

#[derive(Debug)]
enum Source {
    Monotonic(Instant),
    /// Microseconds, advanced by a simulation.
    Simulated(Arc<AtomicU64>),
}

impl Clock {
    /// Starts at 0.
    #[must_use]
    pub fn start() -> Self {
        Clock { source: Source::Monotonic(Instant::now()), now_ms: 0 }
    }

    /// A clock that shows `micros`, which a simulation advances.
    #[must_use]
    pub fn simulated(micros: Arc<AtomicU64>) -> Self {
        Clock { source: Source::Simulated(micros), now_ms: 0 }
    }

    /// Reads the time.
    pub fn read(&mut self) -> u64 {
        self.now_ms = self.elapsed().as_millis() as u64;
        self.now_ms
    }

    /// The time since the start. Does not change the last reading.
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
