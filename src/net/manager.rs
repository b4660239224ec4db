//! Notices to a service manager (`sd_notify(3)`), if there is one.

use std::io;

/// A notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The server is ready.
    Ready,
    /// The server is stopping, and waits for its connections to finish.
    Stopping,
    /// The server is alive, for the watchdog.
    Alive,
    /// The server closes the remaining connections, and needs some more seconds.
    Closing,
}

/// The additional time that each closing notice asks of the manager, in µs. One is sent each second.
#[cfg(target_os = "linux")]
const CLOSING_US: u32 = 10_000_000;

/// The service manager's socket. The server serves even if the manager does not listen.
#[derive(Debug)]
pub(crate) struct Manager {
    #[cfg(target_os = "linux")]
    socket: Option<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)>,
    watchdog_ms: Option<u64>,
}

#[cfg(target_os = "linux")]
impl Manager {
    /// The manager named in the environment, if any.
    pub(crate) fn from_env() -> Self {
        let address = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let watchdog_ms = sd_notify::watchdog_enabled().map(|limit| limit.as_millis() as u64);
        let socket = address.and_then(|address| open(&address).ok());
        Manager { socket, watchdog_ms }
    }

    pub(crate) fn watchdog_ms(&self) -> Option<u64> {
        self.watchdog_ms
    }

    /// Sends without blocking, so that a manager that does not read cannot stop the server.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the manager's queue is full; other errors of `send(2)`.
    pub(crate) fn tell(&mut self, news: News, status: &str) -> io::Result<()> {
        use sd_notify::NotifyState;
        let Some((socket, address)) = &self.socket else { return Ok(()) };
        let state = match news {
            News::Ready => NotifyState::Ready,
            News::Stopping => NotifyState::Stopping,
            News::Alive => NotifyState::Watchdog,
            News::Closing => NotifyState::ExtendTimeoutUsec(CLOSING_US),
        };
        socket.send_to_addr(format!("{state}\n{}\n", NotifyState::Status(status)).as_bytes(), address)?;
        Ok(())
    }
}

/// Opens a socket, and parses the manager's address: a path, or an abstract name after `@`.
#[cfg(target_os = "linux")]
fn open(address: &std::ffi::OsStr) -> io::Result<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(not(target_os = "linux"))]
impl Manager {
    pub(crate) fn from_env() -> Self {
        Manager { watchdog_ms: None }
    }

    pub(crate) fn watchdog_ms(&self) -> Option<u64> {
        self.watchdog_ms
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "Linux has a manager")]
    pub(crate) fn tell(&mut self, _: News, _: &str) -> io::Result<()> {
        Ok(())
    }
}
