//! A connection's socket, and the system calls of its traffic.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

#[cfg(target_os = "linux")]
use crate::connection::Delivery;
use crate::connection::Stream;

/// A TCP stream. On Linux it makes its system calls without the C library. The library's wrappers cost a fifth of all
/// instructions for a message, and twice that in a process with a second thread, because they are points where a thread
/// can be cancelled.
pub(crate) struct Socket(pub(crate) TcpStream);

#[cfg(target_os = "linux")]
impl Read for Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, _) = rustix::net::recv(&self.0, buffer, rustix::net::RecvFlags::empty())?;
        Ok(count)
    }
}

#[cfg(target_os = "linux")]
impl Write for Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.0, bytes, rustix::net::SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

#[cfg(not(target_os = "linux"))]
impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn shutdown_write(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buffer)
    }

    /// Asks poll(2), which reports input even while signals are pending; `recv(2)` could meet a signal each time.
    #[cfg(target_os = "linux")]
    fn has_input(&mut self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut asked = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut asked, Some(&Timespec::default())) == Ok(1)
    }

    #[cfg(target_os = "linux")]
    fn delivery(&self) -> io::Result<Delivery> {
        use std::os::fd::AsRawFd;
        // Offsets in struct tcp_info of linux/tcp.h; the numbers are in the machine's byte order.
        const BYTES_ACKED: usize = 120;
        const NOTSENT_BYTES: usize = 144;
        const BYTES_SENT: usize = 200;
        const BYTES_RETRANS: usize = 208;
        let mut info = [0; BYTES_RETRANS + 8];
        let length = uapi::getsockopt(self.0.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
        if length < info.len() {
            // Linux before 4.19 does not have these fields.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let word = |at: usize| info[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let long = |at: usize| info[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let acknowledged = long(BYTES_ACKED);
        let in_flight = long(BYTES_SENT).saturating_sub(long(BYTES_RETRANS)).saturating_sub(acknowledged);
        Ok(Delivery { acknowledged, waiting: in_flight + u64::from(word(NOTSENT_BYTES)) })
    }
}
