//! Wakes a worker at a given time, to the microsecond if the system can.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

/// A timer that is polled like a socket, because `epoll_wait` itself counts only in milliseconds.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Alarm {
    timer: uapi::OwnedFd,
    set_ns: u64,
}

#[cfg(target_os = "linux")]
impl Alarm {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use mio::unix::SourceFd;
        let timer = uapi::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.raw()), token, mio::Interest::READABLE)?;
        Ok(Alarm { timer, set_ns: 0 })
    }

    /// Sets the alarm to go off at `at_ns`; `now_ns` is the present time.
    #[inline]
    pub(super) fn set(&mut self, at_ns: u64, now_ns: u64) -> io::Result<()> {
        if self.set_ns == at_ns && at_ns > now_ns {
            return Ok(());
        }
        self.set_ns = at_ns;
        // 0 would turn the timer off.
        let after = Duration::from_nanos(at_ns.saturating_sub(now_ns).clamp(1, u64::from(u32::MAX) * 1_000_000_000));
        let it_value = libc::timespec { tv_sec: after.as_secs().cast_signed(), tv_nsec: after.subsec_nanos().into() };
        let it_interval = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        uapi::timerfd_settime(self.timer.raw(), 0, &libc::itimerspec { it_interval, it_value })?;
        Ok(())
    }

    /// The timeout of the poll.
    #[expect(clippy::unused_self, reason = "other systems need the timeout")]
    pub(super) fn timeout(&self, _: u64) -> Option<Duration> {
        None
    }
}

/// The alarm is a timeout of the poll.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Alarm {
    set_ns: u64,
}

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(super) fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Alarm { set_ns: u64::MAX })
    }

    pub(super) fn set(&mut self, at_ns: u64, _: u64) -> io::Result<()> {
        self.set_ns = at_ns;
        Ok(())
    }

    pub(super) fn timeout(&self, now_ns: u64) -> Option<Duration> {
        Some(Duration::from_nanos(self.set_ns.saturating_sub(now_ns)))
    }
}
