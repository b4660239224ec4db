//! The time that a connection has left in its present state.

use super::{Connection, Observer, Ready, Reason, Refusal, State, Stream, TimeLimits};

/// The active one of the [`TimeLimits`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimeLimit {
    Header,
    Idle,
    Stall,
    Linger,
    FirstByte,
}

impl<S: Stream> Connection<S> {
    /// The rest of the active time limit in ms, 0 if it is over, or `None` if none is active.
    #[must_use]
    pub fn time_left(&self, limits: &TimeLimits, now_ms: u32) -> Option<u32> {
        let (limit, _) = self.time_limit(limits);
        let passed_ms = self.silent_ms(limits, now_ms).unwrap_or_else(|| self.passed_ms(now_ms));
        Some(limit?.saturating_sub(passed_ms))
    }

    /// For how long its socket has taken none of its output, in ms. `None` if it has no output left.
    #[must_use]
    pub fn stalled_ms(&self, now_ms: u32) -> Option<u32> {
        (self.time_limit_kind() == TimeLimit::Stall).then(|| self.passed_ms(now_ms))
    }

    /// For how long it has been silent, in ms. `None` if the active time limit is not one of silence.
    #[must_use]
    pub fn silent_ms(&self, limits: &TimeLimits, now_ms: u32) -> Option<u32> {
        let passed_ms = match self.time_limit_kind() {
            TimeLimit::Idle | TimeLimit::FirstByte => self.passed_ms(now_ms),
            _ => return None,
        };
        Some(limits.idle_from_ms.map_or(passed_ms, |from_ms| passed_ms.min(now_ms.wrapping_sub(from_ms))))
    }

    /// The time since the active time limit began, in ms. A pass over all connections may take several turns; a
    /// connection that was stamped after the pass began (`now_ms`) has its whole time left.
    fn passed_ms(&self, now_ms: u32) -> u32 {
        let passed_ms = now_ms.wrapping_sub(self.since_ms);
        if passed_ms > u32::MAX / 2 { 0 } else { passed_ms }
    }

    /// The time limit is over: returns the reason to close the connection.
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
            kind @ (TimeLimit::Idle | TimeLimit::FirstByte) => {
                let idle_ms = limits.idle_ms.zip(limits.period_ms()).map(|(idle, period)| idle.saturating_add(period));
                match limits.first_byte_ms.filter(|_| kind == TimeLimit::FirstByte) {
                    Some(first_ms) if idle_ms.is_none_or(|idle_ms| first_ms < idle_ms) => {
                        (Some(first_ms), Reason::FirstByteTimeout)
                    }
                    _ if limits.is_draining => (idle_ms, Reason::Drained),
                    _ => (idle_ms, Reason::IdleTimeout),
                }
            }
        }
    }

    fn time_limit_kind(&self) -> TimeLimit {
        match self.state {
            State::Draining => TimeLimit::Linger,
            State::AwaitingHeader | State::AwaitingEither if self.held.is_some() => TimeLimit::Header,
            State::AwaitingHeader => TimeLimit::FirstByte,
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
            first_byte_ms: None,
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
