//! How long a connection may stay as it is.

use super::{Connection, Observer, Ready, Reason, Refusal, State, Stream, TimeLimits};

/// Which of the [`TimeLimits`] runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimeLimit {
    Header,
    Idle,
    Stall,
    Linger,
}

impl<S: Stream> Connection<S> {
    /// How many ms are left of the time limit that runs, 0 if it is over, or `None` if none runs.
    #[must_use]
    pub fn time_left(&self, limits: &TimeLimits, now_ms: u32) -> Option<u32> {
        let (limit, _) = self.time_limit(limits);
        let mut passed_ms = now_ms.wrapping_sub(self.since_ms);
        if let (TimeLimit::Idle, Some(from_ms)) = (self.time_limit_kind(), limits.idle_from_ms) {
            passed_ms = passed_ms.min(now_ms.wrapping_sub(from_ms));
        }
        Some(limit?.saturating_sub(passed_ms))
    }

    /// The time is over: why the connection must be closed now.
    pub fn expire(&self, limits: &TimeLimits, observer: &mut impl Observer) -> Reason {
        let (_, reason) = self.time_limit(limits);
        if let (Reason::HeaderTimeout, Some(held)) = (reason, &self.held) {
            observer.refused(Refusal::Late, held.unfinished());
        }
        reason
    }

    fn time_limit(&self, limits: &TimeLimits) -> (Option<u32>, Reason) {
        match self.time_limit_kind() {
            TimeLimit::Linger => (Some(limits.linger_ms), Reason::LineTooLong),
            TimeLimit::Header => (Some(limits.header_ms), Reason::HeaderTimeout),
            TimeLimit::Stall => (Some(limits.stall_ms), Reason::StallTimeout),
            TimeLimit::Idle => {
                let limit = limits.idle_ms.zip(limits.period_ms()).map(|(idle, period)| idle + period);
                (limit, if limits.is_draining { Reason::Drained } else { Reason::IdleTimeout })
            }
        }
    }

    fn time_limit_kind(&self) -> TimeLimit {
        match self.state {
            State::Draining => TimeLimit::Linger,
            State::AwaitingHeader | State::AwaitingEither if self.held.is_some() => TimeLimit::Header,
            _ if self.unsent() > 0 || self.latched.intersects(Ready::BLOCKED) => TimeLimit::Stall,
            _ => TimeLimit::Idle,
        }
    }
}
