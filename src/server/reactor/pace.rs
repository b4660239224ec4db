//! How the reactor waits, and how long its turns take.

use std::time::{Duration, Instant};

use crate::observe::metrics::Turns;

/// Looking for events again before sleeping: to be woken takes longer than most clients of a busy server take to speak again.
#[derive(Debug)]
pub(super) struct Spin {
    limit: Duration,
    began: Duration,
    /// Whether the limit is over 0, at hand for each turn.
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

    /// Whether to go on looking, after a turn `now` that had, or had not, events.
    pub(super) fn goes_on(&mut self, had_events: bool, now: Duration) -> bool {
        if had_events {
            self.began = now;
        }
        self.is_on && now.saturating_sub(self.began) < self.limit
    }
}

/// Measures one turn in [`Turns::SAMPLING`], where somebody looks at it.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) turns: Turns,
    is_wanted: bool,
    /// Turns until one is measured.
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
