//! The clock of time limits: monotonic, in milliseconds.

#[cfg(target_os = "linux")]
pub(crate) use coarse::Clock;
#[cfg(not(target_os = "linux"))]
pub(crate) use exact::Clock;

/// The kernel's last timer tick, some milliseconds ago at most, instead of the time itself: it is read once in every tick
/// of the reactor, where the exact clock is a tenth of all instructions.
#[cfg(target_os = "linux")]
mod coarse {
    pub(crate) struct Clock {
        started_ms: u64,
    }

    impl Clock {
        pub(crate) fn start() -> Self {
            Clock { started_ms: now_ms() }
        }

        #[inline]
        pub(crate) fn elapsed_ms(&self) -> u64 {
            now_ms() - self.started_ms
        }
    }

    #[inline]
    fn now_ms() -> u64 {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        uapi::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now).expect("Linux has had this clock since 2.6.32");
        now.tv_sec.cast_unsigned() * 1000 + now.tv_nsec.cast_unsigned() / 1_000_000
    }
}

#[cfg(not(target_os = "linux"))]
mod exact {
    use std::time::Instant;

    pub(crate) struct Clock(Instant);

    impl Clock {
        pub(crate) fn start() -> Self {
            Clock(Instant::now())
        }

        pub(crate) fn elapsed_ms(&self) -> u64 {
            self.0.elapsed().as_millis() as u64
        }
    }
}
