//! Wakes the reactor at a given time.

#[cfg(not(target_os = "linux"))]
pub(crate) use self::timeout::Alarm;
#[cfg(target_os = "linux")]
pub(crate) use self::timerfd::Alarm;

/// A timer that is polled like a socket. A timeout of the poll would need a reading of the clock each time: a fifth of
/// all instructions for a message.
#[cfg(target_os = "linux")]
mod timerfd {
    use std::io;
    use std::os::fd::{AsRawFd, RawFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};

    pub(crate) struct Alarm {
        timer: uapi::OwnedFd,
        set_ms: Option<u64>,
    }

    impl Alarm {
        pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let timer = uapi::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)?;
            let fd: RawFd = timer.as_raw_fd();
            registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
            Ok(Alarm { timer, set_ms: None })
        }

        /// Sets the alarm to go off at `at_ms` or earlier; `now_ms` is the present time.
        pub(crate) fn set(&mut self, at_ms: u64, now_ms: u64) -> io::Result<()> {
            if self.set_ms.is_some_and(|set_ms| now_ms < set_ms && set_ms <= at_ms) {
                return Ok(());
            }
            let after = Duration::from_millis(at_ms.saturating_sub(now_ms).max(1));
            let it_value =
                libc::timespec { tv_sec: after.as_secs().cast_signed(), tv_nsec: after.subsec_nanos().into() };
            let it_interval = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            uapi::timerfd_settime(self.timer.raw(), 0, &libc::itimerspec { it_interval, it_value })?;
            self.set_ms = Some(at_ms);
            Ok(())
        }

        /// The timeout of the poll.
        #[inline]
        #[expect(clippy::unused_self, reason = "other systems need the timeout")]
        pub(crate) fn timeout(&self) -> Option<Duration> {
            None
        }

        /// Whether the alarm has gone off without an event.
        #[inline]
        #[expect(clippy::unused_self, reason = "other systems have no event for the alarm")]
        pub(crate) fn take_over(&mut self) -> bool {
            false
        }
    }
}

/// For systems without `timerfd`: the alarm is a timeout of the poll.
#[cfg(any(not(target_os = "linux"), test))]
#[allow(clippy::unnecessary_wraps, reason = "setting a timerfd can fail")]
mod timeout {
    use std::io;
    use std::time::{Duration, Instant};

    use mio::{Registry, Token};

    pub(crate) struct Alarm {
        at: Option<Instant>,
    }

    impl Alarm {
        pub(crate) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Alarm { at: None })
        }

        pub(crate) fn set(&mut self, at_ms: u64, now_ms: u64) -> io::Result<()> {
            self.at = Instant::now().checked_add(Duration::from_millis(at_ms.saturating_sub(now_ms)));
            Ok(())
        }

        pub(crate) fn timeout(&self) -> Option<Duration> {
            self.at.map(|at| at.saturating_duration_since(Instant::now()))
        }

        pub(crate) fn take_over(&mut self) -> bool {
            self.at.take_if(|at| *at <= Instant::now()).is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Poll, Token};

    use super::timeout::Alarm;

    #[test]
    fn a_time_limit_of_the_poll_is_over_once() {
        let poll = Poll::new().unwrap();
        let mut alarm = Alarm::new(poll.registry(), Token(0)).unwrap();
        assert_eq!((alarm.timeout(), alarm.take_over()), (None, false));
        alarm.set(3_600_000, 0).unwrap();
        assert!(alarm.timeout() > Some(Duration::from_secs(3000)) && !alarm.take_over());
        alarm.set(5, 5).unwrap();
        assert_eq!((alarm.timeout(), alarm.take_over()), (Some(Duration::ZERO), true));
        assert_eq!((alarm.timeout(), alarm.take_over()), (None, false));
    }
}
