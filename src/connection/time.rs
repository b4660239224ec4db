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
        let mut passed_ms = self.passed_ms(now_ms);
        if let (TimeLimit::Idle, Some(from_ms)) = (self.time_limit_kind(), limits.idle_from_ms) {
            passed_ms = passed_ms.min(now_ms.wrapping_sub(from_ms));
        }
        Some(limit?.saturating_sub(passed_ms))
    }

    /// For how long its socket has taken nothing of what it owes, in ms, or `None` if it owes nothing.
    #[must_use]
    pub fn stalled_ms(&self, now_ms: u32) -> Option<u32> {
        (self.time_limit_kind() == TimeLimit::Stall).then(|| self.passed_ms(now_ms))
    }

    /// The time since the active time limit began to run, in ms. A pass over all connections may take several turns: one that
    /// was stamped after `now_ms` has all its time.
    fn passed_ms(&self, now_ms: u32) -> u32 {
        let passed_ms = now_ms.wrapping_sub(self.since_ms);
        if passed_ms > u32::MAX / 2 { 0 } else { passed_ms }
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

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use super::*;
    use crate::connection::Expect;

    struct Silent;

    impl Read for Silent {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    impl Write for Silent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Silent {
        fn shutdown_write(&self) -> io::Result<()> {
            Ok(())
        }

        fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    #[test]
    fn a_connection_that_came_after_a_pass_began_has_all_its_time() {
        let limits = TimeLimits {
            header_ms: 1_000,
            idle_ms: Some(1_000),
            stall_ms: 1_000,
            linger_ms: 1_000,
            is_draining: false,
            idle_from_ms: None,
            most_period_ms: None,
        };
        let limit_ms = Connection::new(Silent, Expect::Header, 5).time_left(&limits, 5);
        assert!(limit_ms.is_some_and(|ms| ms >= 1_000));
        for (came_ms, pass_ms) in [(6, 5), (3_000, 5), (2, u32::MAX - 3)] {
            assert_eq!(Connection::new(Silent, Expect::Header, came_ms).time_left(&limits, pass_ms), limit_ms);
        }
    }
}
