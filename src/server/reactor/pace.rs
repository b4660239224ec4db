//! How the reactor waits (`--spin`), and the measurement of its turns.

use std::time::{Duration, Instant};

use crate::observe::metrics::Turns;

/// Polls again before sleeping. On a busy server waking up takes longer than the time until the next event.
#[derive(Debug)]
pub(super) struct Spin {
    limit: Duration,
    began: Duration,
    /// Whether the limit is over 0, computed ahead because every turn needs it.
    is_on: bool,
}

impl Spin {
    pub(super) fn new(limit: Duration) -> Self {
        Spin { limit, began: Duration::ZERO, is_on: !limit.is_zero() }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether to poll again without sleeping, after a turn at `now` with or without events.
    pub(super) fn goes_on(&mut self, had_events: bool, now: Duration) -> bool {
        if had_events {
            self.began = now;
        }
        self.is_on && now.saturating_sub(self.began) < self.limit
    }
}

/// Measures one of [`Turns::SAMPLING`] turns, if the admin port shows the times.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) turns: Turns,
    is_wanted: bool,
    /// Turns until the next one that is measured.
    left: u32,
    since: Option<Instant>,
}

impl Timing {
    pub(super) fn new(is_wanted: bool) -> Self {
        Timing { turns: Turns::default(), is_wanted, left: 1, since: None }
    }

    #[inline(always)]
    pub(super) fn begin(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.start();
        }
    }

    #[inline(always)]
    pub(super) fn end(&mut self) {
        if self.left == Turns::SAMPLING {
            self.record();
        }
    }

    #[cold]
    fn start(&mut self) {
        self.left = Turns::SAMPLING;
        self.since = self.is_wanted.then(Instant::now);
    }

    #[cold]
    fn record(&mut self) {
        if let Some(since) = self.since.take() {
            self.turns.record(since.elapsed());
        }
    }
}
