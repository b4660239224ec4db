//! Listening sockets. Options that an accepted socket inherits from its listener (NODELAY, KEEPALIVE, OOBINLINE, buffer
//! sizes) are set here once, so that accepting needs no further system call.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use listenfd::ListenFd;
use mio::net::TcpListener;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{Config, ConfigError};
use crate::policy::ProxyProtocol;
use proxy::policy::Mode;

/// What to do after an error of `accept(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterError {
    /// The queue is empty: an edge will come.
    Wait,
    /// The connection is lost, but the listener works: accept the next.
    Next,
    /// There is no descriptor or memory for the connection, and no edge will come when there is.
    Pause,
}

/// Decides what to do after an error of `accept(2)`. Linux returns network errors pending on the new socket from
/// accept; those concern only that connection.
pub(crate) fn after_error(error: &io::Error) -> AfterError {
    match error.raw_os_error() {
        _ if error.kind() == ErrorKind::WouldBlock => AfterError::Wait,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => AfterError::Pause,
        Some(
            libc::EINTR
            | libc::ECONNABORTED
            | libc::EPROTO
            | libc::EPERM
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::ETIMEDOUT,
        ) => AfterError::Next,
        #[cfg(target_os = "linux")]
        Some(libc::ENONET) => AfterError::Next,
        // An unknown error: pause, so that the server does not spin on it.
        _ => AfterError::Pause,
    }
}

/// Whether `epoll_ctl(2)` failed for want of memory or watches, which may become free again.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::ENOMEM | libc::ENOBUFS | libc::EMFILE | libc::ENFILE))
}

/// A listening socket of the reactor.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// Whether other processes share the socket, such as a service manager: new connections must then not be kept out.
    is_shared: bool,
    /// Whether its connections begin with a header.
    pub(crate) mode: Mode,
}

impl Listener {
    /// Whether a connection waits. Asking costs a tenth of an `accept(2)` that finds none, because Linux creates the
    /// new socket before it looks.
    #[cfg(target_os = "linux")]
    pub(crate) fn has_waiting(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut asked = [PollFd::new(&self.socket, PollFlags::IN)];
        // If poll fails, let accept find out.
        poll(&mut asked, Some(&Timespec::default())) != Ok(0)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn has_waiting(&self) -> bool {
        true
    }

    /// Keeps new connections out, so that the backlog can be emptied before the socket is closed: closing resets the
    /// connections in the backlog. A passed socket stays open elsewhere, with its backlog.
    pub(crate) fn keep_out(&self) {
        #[cfg(target_os = "linux")]
        if !self.is_shared {
            // If the filter fails, connections that arrive in the microseconds before the close are lost.
            let _ = SockRef::from(&self.socket).attach_filter(&no_syn());
        }
    }
}

/// A socket filter that drops segments with SYN (bit 1 of the TCP header's byte 13; RFC 9293, section 3.1).
#[cfg(target_os = "linux")]
fn no_syn() -> [socket2::SockFilter; 4] {
    let op = |code: u32, jump_true, k| socket2::SockFilter::new(code as u16, jump_true, 0, k);
    [
        op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 13),
        op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 1, 0x02),
        op(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
        op(libc::BPF_RET | libc::BPF_K, 0, 0),
    ]
}

/// Binds the addresses of `config`, or else all addresses of both families on one port.
pub(crate) fn bind(config: &Config) -> Result<Vec<Listener>, BindError> {
    let listeners = bind_all(config)?.into_iter();
    Ok(listeners.map(|(socket, mode)| Listener { socket, is_shared: false, mode }).collect())
}

/// A listening socket made by the caller, with its own mode if it has one.
pub(crate) type Given = (std::net::TcpListener, Option<ProxyProtocol>);

/// Takes listening sockets made by the caller.
pub(crate) fn take(sockets: Vec<Given>, config: &Config) -> Result<Vec<Listener>, BindError> {
    let take = |(index, (socket, own_mode)): (usize, Given)| {
        let mode = own_mode.map_or(config.mode, Mode::from);
        has_address(&socket)
            .and_then(|()| is_whole(mode, config))
            .and_then(|()| listen(&SockRef::from(&socket), config))
            .map(|()| Listener { socket: TcpListener::from_std(socket), is_shared: true, mode })
            .map_err(|error| BindError { place: Place::Passed(index), error })
    };
    sockets.into_iter().enumerate().map(take).collect()
}

/// Checks the mode of a passed socket, which comes from its name and was not checked with the settings.
fn is_whole(mode: Mode, config: &Config) -> io::Result<()> {
    if mode == Mode::Mixed && config.trusted.is_empty() {
        return Err(io::Error::new(ErrorKind::InvalidInput, ConfigError::MixedWithoutTrust.to_string()));
    }
    Ok(())
}

/// Refuses an unbound socket: the kernel would choose a port that nobody knows.
fn has_address(socket: &std::net::TcpListener) -> io::Result<()> {
    match socket.local_addr()?.port() {
        0 => Err(io::Error::new(ErrorKind::InvalidInput, "the socket is not bound to an address")),
        _ => Ok(()),
    }
}

/// Most sockets that can be passed.
const MAX_PASSED: usize = 1024;

/// The number of sockets that `LISTEN_FDS` says were passed to this process, if it is too large.
fn too_many_passed() -> Option<usize> {
    let pid = std::env::var("LISTEN_PID").unwrap_or_default();
    let count = std::env::var("LISTEN_FDS").ok()?.parse().ok()?;
    let is_ours = pid.is_empty() || pid == std::process::id().to_string();
    (is_ours && count > MAX_PASSED).then_some(count)
}

/// Listening sockets that a service manager passed as descriptors from 3 on; `LISTEN_FDS` is their number
/// (`sd_listen_fds(3)`). A socket whose name in `LISTEN_FDNAMES` is a mode has that mode.
pub(crate) fn passed() -> Result<Vec<Given>, BindError> {
    if let Some(count) = too_many_passed() {
        let text = format!("LISTEN_FDS={count}, and at most {MAX_PASSED} sockets can be passed");
        let error = io::Error::new(ErrorKind::InvalidInput, text);
        return Err(BindError { place: Place::Passed(MAX_PASSED), error });
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let modes: Vec<_> = names.split(':').map(ProxyProtocol::named).collect();
    let mut sockets = ListenFd::from_env();
    let count = sockets.len();
    let mut take = |index| {
        sockets
            .take_tcp_listener(index)
            .and_then(|socket| socket.ok_or(ErrorKind::NotFound.into()))
            .map(|socket| (socket, modes.get(index).copied().flatten()))
            .map_err(|error| BindError { place: Place::Passed(index), error })
    };
    (0..count).map(&mut take).collect()
}

/// How long the kernel holds back a silent connection to the admin port. It rounds this up to a whole number of its
/// retries.
const ADMIN_SILENCE_MS: u32 = 10_000;

/// The admin port's listener.
pub(crate) fn bind_admin(address: SocketAddr) -> Result<(Listener, SocketAddr), BindError> {
    let open = || {
        let socket = TcpListener::bind(address)?;
        // Accepted connections have a request already, and silent ones take no places from health checks. A kernel
        // without this option accepts silent ones too.
        let _ = defer_accept(&SockRef::from(&socket), ADMIN_SILENCE_MS);
        let address = socket.local_addr()?;
        Ok((Listener { socket, is_shared: false, mode: Mode::Off }, address))
    };
    open().map_err(|error| BindError { place: Place::Address(address), error })
}

fn bind_all(config: &Config) -> Result<Vec<(TcpListener, Mode)>, BindError> {
    if config.listen.is_empty() {
        return Ok(bind_both(config)?.into_iter().map(|socket| (socket, config.mode)).collect());
    }
    let takes_ipv4 = |port| config.listen.iter().any(|(address, _)| address.is_ipv4() && address.port() == port);
    // [::] takes IPv4 too, unless IPv4 has its own socket.
    let bind = |&(address, mode): &(SocketAddr, Mode)| {
        bind_one(address, takes_ipv4(address.port()), config).map(|socket| (socket, mode))
    };
    config.listen.iter().map(bind).collect()
}

/// Binds all addresses of both families, or of IPv4 alone if there is no IPv6.
fn bind_both(config: &Config) -> Result<Vec<TcpListener>, BindError> {
    /// With port 0 the kernel chooses a port for IPv4, which may be taken in IPv6: try again.
    const MAX_TRIES: usize = 16;
    let mut last = None;
    for _ in 0..MAX_TRIES {
        let v4 = bind_one(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), config.port), true, config)?;
        let port = v4.local_addr().map_or(config.port, |address| address.port());
        match bind_one(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port), true, config) {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(BindError { error, .. }) if is_without_ipv6(&error) => return Ok(vec![v4]),
            Err(error) if config.port != 0 => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("every try left an error"))
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn bind_one(address: SocketAddr, only_v6: bool, config: &Config) -> Result<TcpListener, BindError> {
    let open = || {
        let socket = socket(address, only_v6, config.reuse_port)?;
        socket.bind(&address.into())?;
        listen(&socket, config)?;
        Ok(TcpListener::from_std(socket.into()))
    };
    open().map_err(|error| BindError { place: Place::Address(address), error })
}

fn socket(address: SocketAddr, only_v6: bool, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // On some BSDs IPv6 sockets cannot take IPv4 and setting this fails: accept that.
        socket.set_only_v6(only_v6).or_else(|error| if only_v6 { Err(error) } else { Ok(()) })?;
    }
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}

/// Makes a socket listen, with all options that accepted sockets inherit.
fn listen(socket: &Socket, config: &Config) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    // Keep urgent bytes in their place in the stream, so that none is lost (RFC 6093, section 6).
    socket.set_out_of_band_inline(true)?;
    if let Some(bytes) = config.recv_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = config.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.listen(config.backlog)?;
    socket.set_nonblocking(true)?;
    if config.defer_accept {
        defer_accept(socket, config.time_limits.header_ms)?;
    }
    Ok(())
}

/// `TCP_DEFER_ACCEPT`: the kernel reports a connection with its first data, or after `at_most_ms`.
#[cfg(target_os = "linux")]
fn defer_accept(socket: &Socket, at_most_ms: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let seconds = at_most_ms.div_ceil(1000).cast_signed();
    Ok(uapi::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &seconds)?)
}

#[cfg(not(target_os = "linux"))]
fn defer_accept(_: &Socket, _: u32) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Why the server cannot listen in a place.
#[derive(Debug)]
pub struct BindError {
    /// The place.
    pub place: Place,
    /// The system's error.
    pub error: io::Error,
}

/// The origin of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address to bind.
    Address(SocketAddr),
    /// The socket with this number among the passed ones.
    Passed(usize),
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.error;
        match self.place {
            Place::Address(address) => write!(f, "cannot listen on {address}: {error}"),
            Place::Passed(index) => write!(f, "cannot listen on descriptor {} that was passed: {error}", 3 + index),
        }
    }
}
