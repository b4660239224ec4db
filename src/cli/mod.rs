//! The command line. Help, man page and completions are made from it.

use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum};
use proxy_echo_args::values::{count, list, size, time};
use proxy_echo_args::{Stop, Variables, address};

use crate::config::{EchoUnit, Listen, Settings};
use crate::observe::log::{LogFormat, LogLevel};
use crate::policy::{ProxyProtocol, network};
use proxy::Version;

mod commands;
mod conform;

pub use commands::{CheckArgs, Command, DecodeArgs, LimitsArgs, SendVersion};
pub use conform::{ConformArgs, Delivery, Preset, Shows};

/// A TCP echo server for use behind load balancers that speak the PROXY protocol, versions 1 and 2. It shows what their
/// headers say about the client, and sends back what the client sends.
#[derive(Debug, Parser)]
#[command(name = "proxy-echo", version = crate::VERSION, max_term_width = 100, args_conflicts_with_subcommands = true)]
#[command(after_help = "Exit code of the server: 0 after a signal; 1 it cannot start; 2 usage.")]
pub struct Cli {
    /// The command to run instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Port to listen on, on all addresses of both families; 0 lets the system choose
    #[arg(value_name = "PORT", env = "PROXY_ECHO_PORT", default_value_t = 8888)]
    #[arg(value_parser = address::port)]
    pub port: u16,

    /// Address and port to listen on instead, such as 127.0.0.1:9000, localhost:9000 or :9000
    ///
    /// May be given more than once, or as a list with commas or spaces. An address can have its own mode of
    /// --proxy-protocol before an @: off@127.0.0.1:9000.
    #[arg(long, value_name = "[MODE@]ADDR:PORT", env = "PROXY_ECHO_LISTEN", value_parser = list(listen))]
    #[arg(help_heading = LISTENING)]
    pub listen: Vec<Vec<Listen>>,

    /// Most connections that wait in the kernel to be accepted
    #[arg(long, value_name = "COUNT", env = "PROXY_ECHO_BACKLOG", default_value_t = 4096)]
    #[arg(value_parser = count(1..=i32::MAX), help_heading = LISTENING)]
    pub backlog: i32,

    /// Let several processes listen on the same port (SO_REUSEPORT)
    #[arg(long, env = "PROXY_ECHO_REUSE_PORT", action = ArgAction::SetTrue)]
    #[arg(value_parser = BoolishValueParser::new(), help_heading = LISTENING)]
    pub reuse_port: bool,

    /// Accept a connection only with its first bytes, or after the header timeout (Linux)
    #[arg(long, env = "PROXY_ECHO_DEFER_ACCEPT", action = ArgAction::SetTrue)]
    #[arg(value_parser = BoolishValueParser::new(), help_heading = LISTENING)]
    pub defer_accept: bool,

    /// How long to poll for events before sleeping, such as 50us; 10ms at most
    ///
    /// A client that sends in that time does not have to wait until the server wakes up. The price is a processor that
    /// is always busy.
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_SPIN", default_value = "0s")]
    #[arg(value_parser = time, help_heading = LISTENING)]
    pub spin: Duration,

    /// Address and port of the admin port: status page, metrics and health, over HTTP [default: none]
    ///
    /// It shows clients' addresses: keep it on a private address.
    #[arg(long, value_name = "ADDR:PORT", env = "PROXY_ECHO_ADMIN", help_heading = LISTENING)]
    #[arg(value_parser = address::listen_one)]
    pub admin: Option<SocketAddr>,

    /// A host name that browsers may use for the admin port; may be given more than once
    ///
    /// Addresses and localhost are always allowed; /metrics, /livez and /readyz are answered under any name. [default:
    /// none]
    #[arg(long, value_name = "NAME", env = "PROXY_ECHO_ADMIN_HOST", help_heading = LISTENING)]
    #[arg(value_parser = list(|name| Ok(Some(name.to_owned()))))]
    pub admin_host: Vec<Vec<String>>,

    /// Receive buffer of a socket, such as 256KiB [default: the kernel's]
    #[arg(long, value_name = "SIZE", env = "PROXY_ECHO_RECV_BUFFER", help_heading = LISTENING)]
    #[arg(value_parser = size)]
    pub recv_buffer: Option<ByteSize>,

    /// Send buffer of a socket, such as 256KiB [default: the kernel's]
    #[arg(long, value_name = "SIZE", env = "PROXY_ECHO_SEND_BUFFER", help_heading = LISTENING)]
    #[arg(value_parser = size)]
    pub send_buffer: Option<ByteSize>,

    /// Whether a connection begins with a header
    #[arg(long, value_name = "MODE", env = "PROXY_ECHO_PROXY_PROTOCOL", default_value = "required")]
    #[arg(help_heading = PROTOCOL)]
    pub proxy_protocol: ProxyProtocol,

    /// Only peers in this network may send a header; may be given more than once, or as a list
    ///
    /// Connections of others are closed ("required") or accepted without a header ("optional", "mixed"). [default: all
    /// peers]
    #[arg(long, value_name = "CIDR", env = "PROXY_ECHO_TRUST", value_parser = list(|text| network(text).map(Some)))]
    #[arg(help_heading = PROTOCOL)]
    pub trust: Vec<Vec<proxy::policy::Network>>,

    /// Accept only headers of this version [default: both]
    #[arg(long, value_name = "VERSION", env = "PROXY_ECHO_PROXY_VERSION", help_heading = PROTOCOL)]
    pub proxy_version: Option<OnlyVersion>,

    /// Send the header back to the client first, as a version 1 line
    #[arg(long, value_name = "BOOL", env = "PROXY_ECHO_REFLECT_HEADER", default_value_t = true)]
    #[arg(action = ArgAction::Set, value_parser = BoolishValueParser::new(), help_heading = PROTOCOL)]
    pub reflect_header: bool,

    /// The unit of the echo: bytes as they arrive, or whole lines
    #[arg(long, value_name = "UNIT", env = "PROXY_ECHO_ECHO", default_value = "stream", help_heading = PROTOCOL)]
    pub echo: EchoUnit,

    /// Longest line with --echo lines, 1MiB at most; a connection that sends a longer one is closed
    #[arg(long, value_name = "SIZE", env = "PROXY_ECHO_MAX_LINE", default_value = "64KiB", help_heading = PROTOCOL)]
    #[arg(value_parser = size)]
    pub max_line: ByteSize,

    /// Most connections at a time [default: what the limit on open files allows]
    #[arg(long, value_name = "COUNT", env = "PROXY_ECHO_MAX_CONNECTIONS", help_heading = LIMITS)]
    #[arg(value_parser = count(1..=u32::MAX))]
    pub max_connections: Option<u32>,

    /// Longest header, at least 536 bytes; a longer one is refused [default: every legal one]
    #[arg(long, value_name = "SIZE", env = "PROXY_ECHO_MAX_HEADER", help_heading = PROTOCOL)]
    #[arg(value_parser = size)]
    pub max_header: Option<ByteSize>,

    /// Most memory for unsent output and unfinished input of all connections [default: 256MiB, or a quarter of the memory]
    ///
    /// An eighth of it is for unfinished headers. If a part is used up, the connection with the largest unfinished
    /// header or line is closed.
    #[arg(long, value_name = "SIZE", env = "PROXY_ECHO_MAX_HELD", help_heading = LIMITS)]
    #[arg(value_parser = size)]
    pub max_held: Option<ByteSize>,

    /// Longest time from a header's first byte to its last
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_HEADER_TIMEOUT", default_value = "10s")]
    #[arg(value_parser = time, help_heading = LIMITS)]
    pub header_timeout: Duration,

    /// Longest time from a connection's start to its first byte, where a header is required [default: the idle timeout]
    ///
    /// A Network Load Balancer sends its header only with the client's first bytes.
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_FIRST_BYTE_TIMEOUT")]
    #[arg(value_parser = time, help_heading = LIMITS)]
    pub first_byte_timeout: Option<Duration>,

    /// Longest time without traffic, from the connection's start on; 0 for no limit
    ///
    /// It is kept to within an eighth: with a limit of 1h, a connection is closed after 1h to 1h 8min.
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_IDLE_TIMEOUT", default_value = "1h")]
    #[arg(value_parser = time, help_heading = LIMITS)]
    pub idle_timeout: Duration,

    /// Longest time in which a client takes none of its output
    ///
    /// It is kept to within a quarter. A client has taken bytes when its kernel has acknowledged them.
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_STALL_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = time, help_heading = LIMITS)]
    pub stall_timeout: Duration,

    /// How long to accept connections after SIGINT or SIGTERM, until balancers notice that /readyz of the admin port
    /// fails
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_DRAIN_DELAY", default_value = "0s")]
    #[arg(value_parser = time, help_heading = LIMITS)]
    pub drain_delay: Duration,

    /// How long open connections may go on after that; a second signal closes them at once
    ///
    /// A connection without traffic for ten seconds in that time is closed earlier.
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_DRAIN_TIMEOUT", default_value = "30s")]
    #[arg(value_parser = time, help_heading = LIMITS)]
    pub drain_timeout: Duration,

    /// Which events to log on standard output
    #[arg(long, value_name = "LEVEL", env = "PROXY_ECHO_LOG", default_value = "connections", help_heading = LOG)]
    pub log: LogLevel,

    /// Format of the log: words, or a JSON object per line
    #[arg(long, value_name = "FORMAT", env = "PROXY_ECHO_LOG_FORMAT", default_value = "text", help_heading = LOG)]
    pub log_format: LogFormat,
}

impl Cli {
    /// Reads arguments and environment. Also returns the variables that settings were taken from.
    ///
    /// # Errors
    ///
    /// [`Stop`]: what is wrong, or the text of `--help` or `--version`.
    pub fn read() -> Result<(Self, Variables), Stop> {
        let command = Cli::command();
        let matches = proxy_echo_args::read(&command)?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(|error| Stop::Usage(error.to_string()))?;
        let given = |id| matches.value_source(id).filter(|&source| source != ValueSource::DefaultValue);
        // A port and addresses exclude each other, but an argument overrides a variable.
        match (given("port"), given("listen")) {
            (None, _) | (_, None) | (Some(ValueSource::EnvVariable), Some(ValueSource::CommandLine)) => {}
            (Some(ValueSource::CommandLine), Some(ValueSource::EnvVariable)) => cli.listen.clear(),
            _ => {
                let line = "a port cannot be used together with --listen, whose addresses have ports of their own";
                return Err(Stop::Usage(line.to_owned()));
            }
        }
        Ok((cli, Variables::new(&command, &matches)))
    }
}

impl From<Cli> for Settings {
    fn from(cli: Cli) -> Self {
        // A size that this machine cannot address becomes out of range.
        let bytes = |size: ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        Settings {
            listen: cli.listen.concat(),
            port: cli.port,
            admin: cli.admin,
            admin_hosts: cli.admin_host.concat(),
            backlog: cli.backlog,
            reuse_port: cli.reuse_port,
            defer_accept: cli.defer_accept,
            spin: cli.spin,
            recv_buffer: cli.recv_buffer.map(bytes),
            send_buffer: cli.send_buffer.map(bytes),
            proxy_protocol: cli.proxy_protocol,
            trusted: cli.trust.concat(),
            only_version: cli.proxy_version.map(Version::from),
            reflect_header: cli.reflect_header,
            echo: cli.echo,
            max_line: bytes(cli.max_line),
            max_connections: cli.max_connections.map(|count| count as usize),
            max_held: cli.max_held.map(bytes),
            max_header: cli.max_header.map_or(Settings::default().max_header, bytes),
            header_timeout: cli.header_timeout,
            first_byte_timeout: cli.first_byte_timeout,
            idle_timeout: cli.idle_timeout,
            stall_timeout: cli.stall_timeout,
            drain_delay: cli.drain_delay,
            drain_timeout: cli.drain_timeout,
            log: cli.log,
            log_format: cli.log_format,
        }
    }
}

/// The version of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnlyVersion {
    /// The human-readable line.
    #[value(name = "1", alias = "v1")]
    V1,
    /// The binary header.
    #[value(name = "2", alias = "v2")]
    V2,
}

impl From<OnlyVersion> for Version {
    fn from(version: OnlyVersion) -> Self {
        match version {
            OnlyVersion::V1 => Version::V1,
            OnlyVersion::V2 => Version::V2,
        }
    }
}

/// Reads addresses to listen on, after an optional mode and @. No address contains an @.
fn listen(text: &str) -> Result<Vec<Listen>, String> {
    let (proxy_protocol, text) = match text.split_once('@') {
        Some((mode, address)) => match ProxyProtocol::named(mode) {
            Some(mode) => (Some(mode), address),
            None => return Err(format!("'{mode}' is not a mode: before @ write required, optional, mixed or off")),
        },
        None => (None, text),
    };
    let addresses = address::listen(text)?;
    Ok(addresses.into_iter().map(|address| Listen { address, proxy_protocol }).collect())
}

/// The headings of --help.
const LISTENING: &str = "Listening";
const PROTOCOL: &str = "Protocol";
const LIMITS: &str = "Limits";
const LOG: &str = "Log";
