//! Safe calls to the operating system about this process.

#[cfg(target_os = "linux")]
pub use self::linux::{allowed_cores, pin, prepare_bind, run_delay_ns, stream_socket, tcp_info, thread_cpu};
#[cfg(not(target_os = "linux"))]
pub use self::other::{allowed_cores, pin, prepare_bind, run_delay_ns, stream_socket, tcp_info, thread_cpu};

/// The kernel's counts of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Segments sent again since the connect.
    pub retransmits: u32,
    /// The smoothed round trip time, in µs; 0 if none was measured.
    pub rtt_us: u32,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use socket2::{Domain, Protocol, Socket, Type};

    use super::TcpInfo;

    const WORD: usize = usize::BITS as usize;
    /// The kernel's maximum.
    const MAX_CORES: usize = 8192;

    /// The cores that the process may use.
    #[must_use]
    pub fn allowed_cores() -> Vec<usize> {
        let mut mask = [0; MAX_CORES / WORD];
        if uapi::sched_getaffinity(0, &mut mask).is_err() {
            return Vec::new();
        }
        (0..MAX_CORES).filter(|core| mask[core / WORD] >> (core % WORD) & 1 == 1).collect()
    }

    /// Pins the calling thread to a core.
    ///
    /// # Errors
    ///
    /// Those of `sched_setaffinity(2)`.
    pub fn pin(core: usize) -> io::Result<()> {
        let mut mask = [0; MAX_CORES / WORD];
        mask[core / WORD] = 1 << (core % WORD);
        Ok(uapi::sched_setaffinity(0, &mask)?)
    }

    /// The CPU time of the calling thread.
    ///
    /// # Errors
    ///
    /// Those of `clock_gettime(2)`.
    pub fn thread_cpu() -> io::Result<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        uapi::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time)?;
        Ok(Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32))
    }

    /// How long the calling thread has waited for a core since it began, in ns; `None` if the kernel does not count it.
    #[must_use]
    pub fn run_delay_ns() -> Option<u64> {
        // Time on the core, time in the run queue, number of time slices (the kernel's
        // Documentation/scheduler/sched-stats.rst).
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').nth(1)?.parse().ok()
    }

    /// The kernel's counts of the connection of `socket`; `None` if it has none.
    pub fn tcp_info(socket: &impl AsRawFd) -> Option<TcpInfo> {
        // struct tcp_info of linux/tcp.h, in the machine's byte order: eight bytes, then 32-bit numbers.
        const RTT: usize = 68;
        const TOTAL_RETRANS: usize = 100;
        let mut info = [0; TOTAL_RETRANS + 4];
        let length = uapi::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, &mut info).ok()?;
        let number = |at: usize| info.get(at..at + 4)?.try_into().map(u32::from_ne_bytes).ok();
        (length == info.len()).then_some(())?;
        Some(TcpInfo { retransmits: number(TOTAL_RETRANS)?, rtt_us: number(RTT)? })
    }

    /// Makes `bind` set only the address. `connect` then chooses the port when the target is known, so that a port can
    /// be used once for each target and not once for each address.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn prepare_bind(socket: &Socket) -> io::Result<()> {
        const ON: libc::c_int = 1;
        Ok(uapi::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &ON)?)
    }

    /// A non-blocking TCP socket.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`.
    pub fn stream_socket(domain: Domain) -> io::Result<Socket> {
        Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::time::Duration;

    use socket2::{Domain, Protocol, Socket, Type};

    /// Unknown.
    #[must_use]
    pub fn allowed_cores() -> Vec<usize> {
        Vec::new()
    }

    /// Not done.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn pin(_: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Unknown.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn thread_cpu() -> io::Result<Duration> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Unknown.
    #[must_use]
    pub fn run_delay_ns() -> Option<u64> {
        None
    }

    /// Unknown.
    #[must_use]
    pub fn tcp_info<T>(_: &T) -> Option<super::TcpInfo> {
        None
    }

    /// Not needed.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn prepare_bind(_: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// A non-blocking TCP socket.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)` and `fcntl(2)`.
    pub fn stream_socket(domain: Domain) -> io::Result<Socket> {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}
