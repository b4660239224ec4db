//! When the service manager hears of the server.

use crate::net::manager::News;
use crate::net::system::System;

/// Keeps the manager's watchdog quiet, and repeats what the manager did not take.
#[derive(Debug)]
pub(super) struct Notices {
    period_ms: Option<u64>,
    next_ms: u64,
    /// What the manager must know and had no room for, with the time to try again.
    pending: Option<(News, &'static str, u64)>,
}

impl Notices {
    /// Distance between two tries, in ms.
    const RETRY_MS: u64 = 1000;

    /// `watchdog_ms` is the time after which the manager acts, if it does.
    pub(super) fn new(watchdog_ms: Option<u64>) -> Self {
        let period_ms = watchdog_ms.map(|limit_ms| (limit_ms / 2).max(1));
        Notices { period_ms, next_ms: if period_ms.is_some() { 0 } else { u64::MAX }, pending: None }
    }

    pub(super) fn next_ms(&self) -> u64 {
        self.pending.map_or(self.next_ms, |(_, _, retry_ms)| retry_ms.min(self.next_ms))
    }

    /// Tells of a change, now or when there is room.
    pub(super) fn tell(&mut self, system: &mut impl System, news: News, status: &'static str, now_ms: u64) {
        let is_full = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        let must_wait = system.tell(news, status).is_err_and(is_full);
        self.pending = must_wait.then_some((news, status, now_ms + Self::RETRY_MS));
    }

    /// Says that the server is alive and what it does, if it is time; and what is pending.
    pub(super) fn feed(&mut self, system: &mut impl System, connections: usize, now_ms: u64) {
        if let Some((news, status, retry_ms)) = self.pending
            && retry_ms <= now_ms
        {
            self.tell(system, news, status, now_ms);
        }
        if let Some(period_ms) = self.period_ms
            && self.next_ms <= now_ms
        {
            self.next_ms = now_ms + period_ms;
            // The next one tries again.
            let _ = system.tell(News::Alive, &format!("{connections} connections"));
        }
    }
}
