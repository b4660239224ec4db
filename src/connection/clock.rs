//! Time, as far as the reactor needs it: when something is over.
//!
//! Traffic reads no clock. It stamps a connection with the time of the last reading, which is at most one period old
//! ([`crate::connection::TimeLimits`]), and the alarm is an event like others, so that waiting needs no time limit either.

use std::time::Instant;

/// Milliseconds since the start, as of the last reading.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    now_ms: u64,
}

impl Clock {
    /// Starts at 0.
    #[must_use]
    pub fn start() -> Self {
        Clock { started: Instant::now(), now_ms: 0 }
    }

    /// Reads the time.
    pub fn read(&mut self) -> u64 {
        self.now_ms = self.started.elapsed().as_millis() as u64;
        self.now_ms
    }

    /// The time of the last reading.
    #[must_use]
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }
}
