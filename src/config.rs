//! What the server runs with: past this point no setting is invalid.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

use crate::cli::{Cli, EchoUnit, LogFormat, LogLevel};
use crate::connection::{Echo, TimeLimits};
use crate::policy::{Policy, ProxyProtocol};
use proxy::MAX_V2_LEN;

/// Descriptors that are not connections: standard streams, epoll, listeners, signals, and some for what links in.
const RESERVED_FILES: u64 = 64;

/// Time is kept in 32-bit milliseconds, which wrap after 49 days; half of that can be told apart.
const MAX_TIME: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// How long a connection that is closed for a line too long may take to read what it was sent before.
const LINGER_MS: u32 = 2_000;

/// How exact idle times are where they are shown, in ms.
const LOOKED_AT_MS: u32 = 1_000;

/// An unfinished line is copied at each read, so that its length must have a limit.
const MAX_LINE: usize = 1024 * 1024;

/// Who looks for events for longer than that has nothing to gain: to wake up takes some hundred microseconds at most.
const MAX_SPIN: Duration = Duration::from_millis(10);

/// `SO_RCVBUF` and `SO_SNDBUF` are an `int`.
const SOCKET_BUFFER: RangeInclusive<usize> = 1..=i32::MAX as usize;

/// Settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; empty is all addresses of both families on `port`.
    pub listen: Vec<SocketAddr>,
    /// See `listen`.
    pub port: u16,
    /// The address of the admin port.
    pub admin: Option<SocketAddr>,
    /// Connections that the kernel queues.
    pub backlog: i32,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// `TCP_DEFER_ACCEPT`.
    pub defer_accept: bool,
    /// How long to look for events before sleeping.
    pub spin: Duration,
    /// `SO_RCVBUF` in bytes.
    pub recv_buffer: Option<usize>,
    /// `SO_SNDBUF` in bytes.
    pub send_buffer: Option<usize>,
    /// Who may send a header.
    pub policy: Policy,
    /// Whether the client is sent its header.
    pub reflect_header: bool,
    /// What is sent back.
    pub echo: Echo,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most bytes held for all connections.
    pub max_held: usize,
    /// The time limits of a connection.
    pub time_limits: TimeLimits,
    /// How long accepting goes on after a signal, in ms.
    pub drain_delay_ms: u32,
    /// How long connections may go on after that, in ms.
    pub drain_ms: u32,
    /// What is logged.
    pub log: LogLevel,
    /// How.
    pub log_format: LogFormat,
}

impl Config {
    /// Checks what was asked for. Raises the soft limit on open files to the hard one, which bounds the connections.
    ///
    /// # Errors
    ///
    /// What does not go together, or not on this system.
    pub fn new(cli: Cli) -> Result<Self, ConfigError> {
        if cli.proxy_protocol == ProxyProtocol::Off && !cli.trust.is_empty() {
            return Err(ConfigError::TrustWithoutProtocol);
        }
        if cli.defer_accept && cfg!(not(target_os = "linux")) {
            return Err(ConfigError::LinuxOnly("--defer-accept"));
        }
        if cli.spin > MAX_SPIN {
            return Err(ConfigError::SpinTooLong);
        }
        let max_held = bytes("--max-held", cli.max_held, 2 * MAX_V2_LEN..=isize::MAX as usize)?;
        let max_line = bytes("--max-line", cli.max_line, 1..=MAX_LINE)?;
        if max_line > max_held / 2 {
            return Err(ConfigError::LineOverHeld);
        }
        let header_ms = at_least_1ms("--header-timeout", cli.header_timeout)?;
        let stall_ms = at_least_1ms("--stall-timeout", cli.stall_timeout)?;
        let idle_ms = Some(milliseconds("--idle-timeout", cli.idle_timeout)?).filter(|&ms| ms > 0);
        let drain_delay_ms = milliseconds("--drain-delay", cli.drain_delay)?;
        let drain_ms = milliseconds("--drain-timeout", cli.drain_timeout)?;
        let most_period_ms = cli.admin.map(|_| LOOKED_AT_MS);
        Ok(Config {
            listen: cli.listen,
            port: cli.port,
            admin: cli.admin,
            backlog: cli.backlog,
            reuse_port: cli.reuse_port,
            defer_accept: cli.defer_accept,
            spin: cli.spin,
            recv_buffer: cli.recv_buffer.map(|size| bytes("--recv-buffer", size, SOCKET_BUFFER)).transpose()?,
            send_buffer: cli.send_buffer.map(|size| bytes("--send-buffer", size, SOCKET_BUFFER)).transpose()?,
            policy: Policy { proxy_protocol: cli.proxy_protocol, trusted: cli.trust },
            reflect_header: cli.reflect_header,
            echo: match cli.echo {
                EchoUnit::Stream => Echo::Stream,
                EchoUnit::Lines => Echo::Lines { max: max_line },
            },
            max_connections: max_connections(cli.max_connections)?,
            max_held,
            time_limits: TimeLimits { header_ms, idle_ms, stall_ms, linger_ms: LINGER_MS, most_period_ms },
            drain_delay_ms,
            drain_ms,
            log: cli.log,
            log_format: cli.log_format,
        })
    }
}

fn bytes(option: &'static str, size: ByteSize, range: RangeInclusive<usize>) -> Result<usize, ConfigError> {
    match usize::try_from(size.as_u64()) {
        Ok(bytes) if range.contains(&bytes) => Ok(bytes),
        _ => Err(ConfigError::SizeOutOfRange { option, range }),
    }
}

fn milliseconds(option: &'static str, time: Duration) -> Result<u32, ConfigError> {
    let whole = time.is_zero() || time >= Duration::from_millis(1);
    if whole && time <= MAX_TIME { Ok(time.as_millis() as u32) } else { Err(ConfigError::TimeOutOfRange(option)) }
}

fn at_least_1ms(option: &'static str, time: Duration) -> Result<u32, ConfigError> {
    if time.is_zero() { Err(ConfigError::NoTime(option)) } else { milliseconds(option, time) }
}

fn max_connections(asked: Option<u32>) -> Result<usize, ConfigError> {
    let files = rlimit::increase_nofile_limit(u64::MAX).map_err(|error| ConfigError::Files(error.to_string()))?;
    // Where the limit is "unlimited" or in the billions, a table of that size would be no limit.
    let allowed = files.saturating_sub(RESERVED_FILES).min(1 << 20);
    match asked {
        Some(asked) if u64::from(asked) > allowed => Err(ConfigError::TooManyConnections { asked, files }),
        Some(asked) => Ok(asked as usize),
        None if allowed == 0 => Err(ConfigError::TooManyConnections { asked: 1, files }),
        None => Ok(allowed as usize),
    }
}

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// `--trust` with `--proxy-protocol off`.
    TrustWithoutProtocol,
    /// An option that this system does not have.
    LinuxOnly(&'static str),
    /// Over 10 ms.
    SpinTooLong,
    /// Too small, or too large for this system.
    SizeOutOfRange {
        /// Its name.
        option: &'static str,
        /// What it can be, in bytes.
        range: RangeInclusive<usize>,
    },
    /// A line that could take more than half of what may be held.
    LineOverHeld,
    /// A part of a millisecond, or over 24 days.
    TimeOutOfRange(&'static str),
    /// 0 where a limit is needed.
    NoTime(&'static str),
    /// More connections than descriptors.
    TooManyConnections {
        /// Connections.
        asked: u32,
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
                "--trust says who may send a header, and --proxy-protocol off that nobody does: give one of them",
            ),
            ConfigError::LinuxOnly(option) => write!(f, "{option} is for Linux only"),
            ConfigError::SpinTooLong => f.write_str("--spin must be at most 10ms"),
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
