//! The server's settings, and the check that they are valid.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::ValueEnum;

use crate::connection::{Echo, TimeLimits};
pub use crate::observe::log::{LogFormat, LogLevel};
pub use crate::policy::ProxyProtocol;
use proxy::policy::{Mode, Network};
use proxy::{MAX_V2_LEN, Version};
use proxy_echo_limits::{MAX_OF_SERVER, RESERVED_FILES, memory, this_machine};

/// Times are 32-bit milliseconds, which wrap after 49 days. Only differences up to half of that are unambiguous.
const MAX_TIME: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// How long a client may take to read its output after its connection was ended because of a line too long.
const LINGER_MS: u32 = 2_000;

/// The precision of idle times when they are shown, in ms.
const LOOKED_AT_MS: u32 = 1_000;

/// The longest allowed line. An unfinished line is copied at each read, so that it must have a limit.
const MAX_LINE: usize = 1024 * 1024;

/// The smallest memory budget: room for the longest header and for two of the longest lines.
const MIN_HELD: usize = 256 * 1024;

/// The default memory budget, if the machine has enough memory.
const DEFAULT_HELD: usize = 256 * 1024 * 1024;

/// "The receiver must be able to receive 536 bytes": section 2.2 of the specification.
const MIN_HEADER: usize = 536;

/// Spinning longer gains nothing: waking up costs a few hundred µs at most.
const MAX_SPIN: Duration = Duration::from_millis(10);

/// `SO_RCVBUF` and `SO_SNDBUF` are an `int`.
const SOCKET_BUFFER: RangeInclusive<usize> = 1..=i32::MAX as usize;

/// The settings of a server: plain fields with the defaults of the command line. [`Config::new`] checks them.
///
/// ```
/// use proxy_echo::config::{Config, Settings};
///
/// let settings = Settings { port: 0, max_connections: Some(100), ..Settings::default() };
/// let config = Config::new(settings)?;
/// # Ok::<(), proxy_echo::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; empty is all addresses of both families on `port`.
    pub listen: Vec<Listen>,
    /// The port to listen on if `listen` is empty; 0 lets the system choose.
    pub port: u16,
    /// The address of the admin port; `None` for no admin port.
    pub admin: Option<SocketAddr>,
    /// Host names that browsers may use for the admin port. Addresses and `localhost` are always allowed.
    pub admin_hosts: Vec<String>,
    /// Connections that the kernel may queue before they are accepted.
    pub backlog: i32,
    /// `SO_REUSEPORT`: several processes may listen on the same port.
    pub reuse_port: bool,
    /// `TCP_DEFER_ACCEPT`: accept a connection only with its first bytes (Linux).
    pub defer_accept: bool,
    /// How long to look for events before sleeping; 10 ms at most.
    pub spin: Duration,
    /// `SO_RCVBUF` in bytes; `None` is the kernel's default.
    pub recv_buffer: Option<usize>,
    /// `SO_SNDBUF` in bytes; `None` is the kernel's default.
    pub send_buffer: Option<usize>,
    /// Whether a connection begins with a header.
    pub proxy_protocol: ProxyProtocol,
    /// The peers that may send a header; empty for all.
    pub trusted: Vec<Network>,
    /// The only version that is accepted; `None` for both.
    pub only_version: Option<Version>,
    /// Whether the client is sent its header, as a version 1 line.
    pub reflect_header: bool,
    /// The unit of the echo.
    pub echo: EchoUnit,
    /// Longest line in bytes with [`EchoUnit::Lines`], its LF included; 1 MiB at most.
    pub max_line: usize,
    /// Most connections at a time; `None` is what the soft limit on open files allows.
    pub max_connections: Option<usize>,
    /// Most bytes held in memory for all connections together; `None` is 256 MiB, or a quarter of the memory that the
    /// process can have, if that is less.
    pub max_held: Option<usize>,
    /// Longest header in bytes: from 536, which the specification requires of every receiver, to 65,551.
    pub max_header: usize,
    /// Longest time from a header's first byte to its last.
    pub header_timeout: Duration,
    /// Longest time from a connection's start to its first byte, where a header is required; `None` for the idle
    /// timeout.
    pub first_byte_timeout: Option<Duration>,
    /// Longest time without traffic on a connection; 0 for no limit.
    pub idle_timeout: Duration,
    /// Longest time in which a client takes none of its output.
    pub stall_timeout: Duration,
    /// How long the server still accepts connections after it is asked to stop.
    pub drain_delay: Duration,
    /// How long open connections may go on after that.
    pub drain_timeout: Duration,
    /// Which events are logged.
    pub log: LogLevel,
    /// The format of the log.
    pub log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: Vec::new(),
            port: 8888,
            admin: None,
            admin_hosts: Vec::new(),
            backlog: 4096,
            reuse_port: false,
            defer_accept: false,
            spin: Duration::ZERO,
            recv_buffer: None,
            send_buffer: None,
            proxy_protocol: ProxyProtocol::Required,
            trusted: Vec::new(),
            only_version: None,
            reflect_header: true,
            echo: EchoUnit::Stream,
            max_line: 64 * 1024,
            max_connections: None,
            max_held: None,
            max_header: MAX_V2_LEN,
            header_timeout: Duration::from_secs(10),
            first_byte_timeout: None,
            idle_timeout: Duration::from_secs(60 * 60),
            stall_timeout: Duration::from_secs(60),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            log: LogLevel::Connections,
            log_format: LogFormat::Text,
        }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Whether connections to it begin with a header; `None` for [`Settings::proxy_protocol`].
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Listen { address, proxy_protocol: None }
    }
}

/// The unit of the echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EchoUnit {
    /// Bytes as they arrive.
    Stream,
    /// Whole lines; an unfinished last line is sent back after FIN.
    Lines,
}

/// Valid settings, in the units that the server uses.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses with their modes.
    pub(crate) listen: Vec<(SocketAddr, Mode)>,
    pub(crate) port: u16,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) admin_hosts: Vec<String>,
    pub(crate) backlog: i32,
    pub(crate) reuse_port: bool,
    pub(crate) defer_accept: bool,
    pub(crate) spin: Duration,
    pub(crate) recv_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    /// The mode of listeners without their own mode.
    pub(crate) mode: Mode,
    pub(crate) trusted: Vec<Network>,
    pub(crate) only_version: Option<Version>,
    pub(crate) reflect_header: bool,
    pub(crate) echo: Echo,
    pub(crate) max_connections: usize,
    pub(crate) max_held: usize,
    /// The limit that lowers the default of `max_held`, if one does.
    pub(crate) max_held_lowered: Option<memory::Source>,
    pub(crate) max_header: usize,
    pub(crate) time_limits: TimeLimits,
    pub(crate) drain_delay_ms: u32,
    pub(crate) drain_ms: u32,
    pub(crate) log: LogLevel,
    pub(crate) log_format: LogFormat,
}

impl Config {
    /// Checks the settings. The process's soft limit on open files bounds the number of connections; it is read and not
    /// changed.
    ///
    /// # Errors
    ///
    /// Settings contradict each other, or this system cannot fulfil them.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        check_modes(&settings)?;
        if settings.defer_accept && cfg!(not(target_os = "linux")) {
            return Err(ConfigError::LinuxOnly("--defer-accept"));
        }
        if settings.spin > MAX_SPIN {
            return Err(ConfigError::SpinTooLong);
        }
        if settings.backlog < 1 {
            return Err(ConfigError::NoBacklog);
        }
        let available = memory::least(this_machine);
        let max_held = match settings.max_held {
            Some(max_held) => bytes("--max-held", max_held, MIN_HELD..=isize::MAX as usize)?,
            None => default_max_held(available),
        };
        let max_held_lowered = available.filter(|_| settings.max_held.is_none() && max_held < DEFAULT_HELD);
        let max_line = bytes("--max-line", settings.max_line, 1..=MAX_LINE)?;
        if max_line > max_held / 2 {
            return Err(ConfigError::LineOverHeld);
        }
        let buffer = |option, size: Option<usize>| size.map(|size| bytes(option, size, SOCKET_BUFFER)).transpose();
        Ok(Config {
            backlog: settings.backlog,
            recv_buffer: buffer("--recv-buffer", settings.recv_buffer)?,
            send_buffer: buffer("--send-buffer", settings.send_buffer)?,
            echo: match settings.echo {
                EchoUnit::Stream => Echo::Stream,
                EchoUnit::Lines => Echo::Lines { max: max_line },
            },
            max_connections: max_connections(settings.max_connections)?,
            max_held,
            max_held_lowered: max_held_lowered.map(|(_, source)| source),
            max_header: bytes("--max-header", settings.max_header, MIN_HEADER..=MAX_V2_LEN)?,
            time_limits: time_limits(&settings)?,
            drain_delay_ms: milliseconds("--drain-delay", settings.drain_delay)?,
            drain_ms: milliseconds("--drain-timeout", settings.drain_timeout)?,
            listen: settings
                .listen
                .iter()
                .map(|listen| (listen.address, listen.proxy_protocol.unwrap_or(settings.proxy_protocol).into()))
                .collect(),
            port: settings.port,
            admin: settings.admin,
            admin_hosts: admin_hosts(settings.admin_hosts)?,
            reuse_port: settings.reuse_port,
            defer_accept: settings.defer_accept,
            spin: settings.spin,
            mode: settings.proxy_protocol.into(),
            trusted: settings.trusted,
            only_version: settings.only_version,
            reflect_header: settings.reflect_header,
            log: settings.log,
            log_format: settings.log_format,
        })
    }
}

/// Checks that the options about headers fit the modes of the listeners.
fn check_modes(settings: &Settings) -> Result<(), ConfigError> {
    let own = |listen: &Listen| listen.proxy_protocol.unwrap_or(settings.proxy_protocol);
    let modes: Vec<_> = settings.listen.iter().map(own).collect();
    let modes = if modes.is_empty() { vec![settings.proxy_protocol] } else { modes };
    let are_off = modes.iter().all(|&mode| mode == ProxyProtocol::Off);
    if are_off && !settings.trusted.is_empty() {
        return Err(ConfigError::TrustWithoutProtocol);
    }
    if are_off && settings.only_version.is_some() {
        return Err(ConfigError::VersionWithoutProtocol);
    }
    // A service manager's sockets may use the general mode too.
    let is_mixed = settings.proxy_protocol == ProxyProtocol::Mixed || modes.contains(&ProxyProtocol::Mixed);
    if is_mixed && settings.trusted.is_empty() {
        return Err(ConfigError::MixedWithoutTrust);
    }
    Ok(())
}

/// Checks host names (RFC 1123, section 2.1). Underscores are allowed, because names in container networks have them.
fn admin_hosts(names: Vec<String>) -> Result<Vec<String>, ConfigError> {
    const MAX_NAME_BYTES: usize = 253;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = |name: &str| (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_part);
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(ConfigError::AdminHost(name.clone())),
        None => Ok(names),
    }
}

/// A quarter of the available memory, because the kernel's buffers, the tables and the log need memory too.
fn default_max_held(available: Option<(u64, memory::Source)>) -> usize {
    let quarter = available.map_or(usize::MAX, |(bytes, _)| usize::try_from(bytes / 4).unwrap_or(usize::MAX));
    quarter.clamp(MIN_HELD, DEFAULT_HELD)
}

fn time_limits(settings: &Settings) -> Result<TimeLimits, ConfigError> {
    let first_byte = settings.first_byte_timeout;
    Ok(TimeLimits {
        first_byte_ms: first_byte.map(|time| at_least_1ms("--first-byte-timeout", time)).transpose()?,
        header_ms: at_least_1ms("--header-timeout", settings.header_timeout)?,
        idle_ms: Some(milliseconds("--idle-timeout", settings.idle_timeout)?).filter(|&ms| ms > 0),
        stall_ms: at_least_1ms("--stall-timeout", settings.stall_timeout)?,
        linger_ms: LINGER_MS,
        is_draining: false,
        idle_from_ms: None,
        most_period_ms: settings.admin.map(|_| LOOKED_AT_MS),
    })
}

fn bytes(option: &'static str, bytes: usize, range: RangeInclusive<usize>) -> Result<usize, ConfigError> {
    if range.contains(&bytes) { Ok(bytes) } else { Err(ConfigError::SizeOutOfRange { option, range }) }
}

fn milliseconds(option: &'static str, time: Duration) -> Result<u32, ConfigError> {
    let whole = time.is_zero() || time >= Duration::from_millis(1);
    if whole && time <= MAX_TIME { Ok(time.as_millis() as u32) } else { Err(ConfigError::TimeOutOfRange(option)) }
}

fn at_least_1ms(option: &'static str, time: Duration) -> Result<u32, ConfigError> {
    if time.is_zero() { Err(ConfigError::NoTime(option)) } else { milliseconds(option, time) }
}

fn max_connections(asked: Option<usize>) -> Result<usize, ConfigError> {
    let (files, _) = rlimit::Resource::NOFILE.get().map_err(|error| ConfigError::Files(error.to_string()))?;
    let allowed = files.saturating_sub(RESERVED_FILES).min(MAX_OF_SERVER) as usize;
    match asked {
        Some(0) => Err(ConfigError::NoConnections),
        Some(asked) if asked > allowed => Err(ConfigError::TooManyConnections { asked, files }),
        Some(asked) => Ok(asked),
        None if allowed == 0 => Err(ConfigError::TooManyConnections { asked: 1, files }),
        None => Ok(allowed),
    }
}

/// Raises the soft limit on open files, which bounds the connections, to the hard one. For programs: a library should
/// not do it.
///
/// # Errors
///
/// The limit cannot be read or raised.
pub fn raise_file_limit() -> Result<(), ConfigError> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(_) => Ok(()),
        Err(error) => Err(ConfigError::Files(error.to_string())),
    }
}

/// An error in the settings. Options are named as on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `--trust` with `--proxy-protocol off`.
    TrustWithoutProtocol,
    /// `--proxy-version` with `--proxy-protocol off`.
    VersionWithoutProtocol,
    /// `--proxy-protocol mixed` without `--trust`.
    MixedWithoutTrust,
    /// A name for the admin port that is not a host name.
    AdminHost(String),
    /// An option that this system does not have.
    LinuxOnly(&'static str),
    /// Over 10 ms.
    SpinTooLong,
    /// A backlog below 1.
    NoBacklog,
    /// 0 connections.
    NoConnections,
    /// Too small, or too large for this system.
    SizeOutOfRange {
        /// The option's name.
        option: &'static str,
        /// Its allowed range, in bytes.
        range: RangeInclusive<usize>,
    },
    /// A line that could take more than half of the memory budget.
    LineOverHeld,
    /// Not whole milliseconds, or over 24 days.
    TimeOutOfRange(&'static str),
    /// 0 where a limit is needed.
    NoTime(&'static str),
    /// More connections than descriptors.
    TooManyConnections {
        /// The connections asked for.
        asked: usize,
        /// The limit on open files.
        files: u64,
    },
    /// The limit on open files cannot be read.
    Files(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::TrustWithoutProtocol => f.write_str(
                "--trust names peers that may send a header, but --proxy-protocol off expects none: give only one of them",
            ),
            ConfigError::VersionWithoutProtocol => f.write_str(
                "--proxy-version chooses a header, but --proxy-protocol off expects none: give only one of them",
            ),
            ConfigError::MixedWithoutTrust => f.write_str(
                "--proxy-protocol mixed needs --trust with the balancers' addresses: who is trusted must send a header, \
                 and all others must not",
            ),
            ConfigError::AdminHost(name) => {
                write!(f, "--admin-host must be a name such as echo.example, without a port, not {name:?}")
            }
            ConfigError::LinuxOnly(option) => write!(f, "{option} is for Linux only"),
            ConfigError::SpinTooLong => f.write_str("--spin must be at most 10ms"),
            ConfigError::NoBacklog => f.write_str("--backlog must be at least 1"),
            ConfigError::NoConnections => f.write_str("--max-connections must be at least 1"),
            ConfigError::SizeOutOfRange { option, range } => {
                write!(f, "{option} must be from {} to {} bytes", range.start(), range.end())
            }
            ConfigError::LineOverHeld => f.write_str("--max-line must be at most half of --max-held"),
            ConfigError::TimeOutOfRange(option) => write!(f, "{option} must be whole milliseconds, 24days at most"),
            ConfigError::NoTime(option) => write!(f, "{option} must be at least 1ms"),
            ConfigError::TooManyConnections { asked, files } => write!(
                f,
                "{asked} connections and {RESERVED_FILES} other files need more than the limit of {files} open files: raise it \
                 (ulimit -Hn, LimitNOFILE=), or lower --max-connections"
            ),
            ConfigError::Files(error) => write!(f, "the limit on open files cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {}
