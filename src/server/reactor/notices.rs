//! Decides when to notify the service manager.

use crate::net::manager::News;
use crate::net::system::System;

/// Feeds the manager's watchdog, and repeats notices that the manager did not take.
#[derive(Debug)]
pub(super) struct Notices {
    period_ms: Option<u64>,
    next_ms: u64,
    /// The notice for which the manager's queue had no room, with the time of the next try.
    pending: Option<(News, &'static str, u64)>,
}

impl Notices {
    /// Time between two tries, in ms.
    const RETRY_MS: u64 = 1000;

    /// `watchdog_ms` is the time without a notice after which the manager acts, if it has a watchdog.
    pub(super) fn new(watchdog_ms: Option<u64>) -> Self {
        let period_ms = watchdog_ms.map(|limit_ms| (limit_ms / 2).max(1));
        Notices { period_ms, next_ms: if period_ms.is_some() { 0 } else { u64::MAX }, pending: None }
    }

    pub(super) fn next_ms(&self) -> u64 {
        self.pending.map_or(self.next_ms, |(_, _, retry_ms)| retry_ms.min(self.next_ms))
    }

    /// Notifies of a change, now or when the manager has room.
    pub(super) fn tell(&mut self, system: &mut impl System, news: News, status: &'static str, now_ms: u64) {
        let is_full = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        let must_wait = system.tell(news, status).is_err_and(is_full);
        self.pending = must_wait.then_some((news, status, now_ms + Self::RETRY_MS));
    }

    /// If it is time, notifies that the server is alive, with its number of connections, and repeats the pending
    /// notice.
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
            // If the manager does not take it, the next one comes soon.
            let _ = system.tell(News::Alive, &format!("{connections} connections"));
        }
    }
}
