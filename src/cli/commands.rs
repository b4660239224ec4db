//! The arguments of the program's commands.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use proxy_echo_args::address::target;
use proxy_echo_args::json::Json;
use proxy_echo_args::pages::Pages;
use proxy_echo_args::values::{count, positive_time, time};

use super::conform::ConformArgs;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect through a balancer to a proxy-echo behind it, and show what the back end learns about this client
    Check(CheckArgs),
    /// Explain a captured header, of either version, field by field
    Decode(DecodeArgs),
    /// Test a receiver of the PROXY protocol, or a sender, against the specification
    Conform(Box<ConformArgs>),
    /// Find the limits of this machine that stand in the way of a number of connections, and the command that raises
    /// each
    Limits(LimitsArgs),
    /// Manual page and completions.
    #[command(flatten)]
    Pages(Pages),
}

/// A check from the client's side.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 the client's address is preserved; 1 it is not, or the server refuses the header; \
                  2 usage, or output that cannot be written; 3 no proxy-echo is reached."
)]
pub struct CheckArgs {
    /// The balancer: ADDRESS:PORT or NAME:PORT
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub target: String,

    /// The client address that should arrive, if NAT in front of the balancer changes it
    ///
    /// [default: the connection's own address]
    #[arg(long, value_name = "ADDR", env = "PROXY_ECHO_CHECK_CLIENT")]
    pub client: Option<IpAddr>,

    /// Play the balancer: send a header of this version first, to a server without a balancer in front
    #[arg(long, value_name = "VERSION", env = "PROXY_ECHO_CHECK_SEND")]
    pub send: Option<SendVersion>,

    /// The server's --admin port, as <http://HOST:PORT>: ask it for the parts of the header that a version 1 line
    /// cannot carry
    #[arg(long, value_name = "URL", env = "PROXY_ECHO_CHECK_VIA_ADMIN", value_parser = admin_url)]
    pub via_admin: Option<String>,

    /// Number of rounds, to find balancer nodes that differ; each round resolves the name again and tries all addresses
    #[arg(long, value_name = "COUNT", env = "PROXY_ECHO_CHECK_COUNT", default_value_t = 1)]
    #[arg(value_parser = count(1..=100_000_u32))]
    pub count: u32,

    /// Time between rounds
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_CHECK_INTERVAL", default_value = "1s")]
    #[arg(value_parser = time)]
    pub interval: Duration,

    /// Longest time to open a connection, and to wait for each answer
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_CHECK_TIMEOUT", default_value = "5s")]
    #[arg(value_parser = positive_time)]
    pub timeout: Duration,

    /// Print a JSON object instead, or write it to FILE
    #[arg(long, value_name = "FILE", env = "PROXY_ECHO_CHECK_JSON", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-", default_value = "false", hide_default_value = true)]
    pub json: Json,

    /// Whether to speak TLS, and how.
    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub tls: proxy_echo_client::tls::TlsArgs,
}

/// Which header to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SendVersion {
    /// The human-readable line.
    V1,
    /// The binary header.
    V2,
}

/// A captured header.
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 the header is valid; 1 it is invalid or incomplete; \
                  2 usage, unreadable input, or output that cannot be written.")]
pub struct DecodeArgs {
    /// The file with the header's bytes; - is standard input
    #[arg(value_name = "FILE", default_value = "-", conflicts_with = "hex")]
    pub file: PathBuf,

    /// The bytes in hexadecimal: digits, or a dump of xxd, hexdump -C, tcpdump -X or Wireshark; - reads it from
    /// standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub hex: Option<String>,

    /// Bytes to skip, such as the headers of a captured packet
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub skip: usize,

    /// Print a JSON object instead, or write it to FILE
    #[arg(long, value_name = "FILE", env = "PROXY_ECHO_DECODE_JSON", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-", default_value = "false", hide_default_value = true)]
    pub json: Json,
}

/// A number of connections.
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 no known limit stands in the way (unknown ones are listed); 1 a limit does; \
                        2 usage, or output that cannot be written.")]
pub struct LimitsArgs {
    /// The number of connections that one server shall hold, such as 100k or 1M
    #[arg(value_name = "CONNECTIONS", value_parser = count(1..=1_000_000_000_u64))]
    pub connections: u64,

    /// Print a JSON object instead, or write it to FILE
    #[arg(long, value_name = "FILE", env = "PROXY_ECHO_LIMITS_JSON", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-", default_value = "false", hide_default_value = true)]
    pub json: Json,
}

fn admin_url(text: &str) -> Result<String, String> {
    match text.strip_prefix("http://") {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("expected http://HOST:PORT".to_owned()),
    }
}
