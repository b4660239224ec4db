//! What a service manager is told (`sd_notify(3)`), where there is one that asked for it.

use std::fmt::Display;

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The server serves.
    Ready,
    /// It goes on only until its connections are finished.
    Stopping,
    /// It is alive, for the watchdog.
    Alive,
}

/// When the manager's watchdog wants to hear of us.
#[derive(Debug)]
pub(crate) struct Watchdog {
    period_ms: Option<u64>,
    next_ms: u64,
}

impl Watchdog {
    pub(crate) fn new() -> Self {
        // Twice in the time after which it acts.
        let period_ms = limit_ms().map(|limit_ms| (limit_ms / 2).max(1));
        Watchdog { period_ms, next_ms: if period_ms.is_some() { 0 } else { u64::MAX } }
    }

    pub(crate) fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// Says that the server is alive and what it does, if it is time.
    pub(crate) fn feed(&mut self, now_ms: u64, status: impl Display) {
        if let Some(period_ms) = self.period_ms
            && self.next_ms <= now_ms
        {
            self.next_ms = now_ms + period_ms;
            tell(News::Alive, status);
        }
    }
}

/// A manager that does not listen is its own trouble: serving goes on.
#[cfg(target_os = "linux")]
pub(crate) fn tell(news: News, status: impl Display) {
    use sd_notify::NotifyState;
    let state = match news {
        News::Ready => NotifyState::Ready,
        News::Stopping => NotifyState::Stopping,
        News::Alive => NotifyState::Watchdog,
    };
    let _ = sd_notify::notify(&[state, NotifyState::Status(&status.to_string())]);
}

#[cfg(target_os = "linux")]
fn limit_ms() -> Option<u64> {
    sd_notify::watchdog_enabled().map(|limit| limit.as_millis() as u64)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn tell(_: News, _: impl Display) {}

#[cfg(not(target_os = "linux"))]
fn limit_ms() -> Option<u64> {
    None
}
