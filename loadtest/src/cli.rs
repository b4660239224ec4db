//! The command line. Help, man page and completions are made from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use proxy_echo_args::address::{listen_one, target};
use proxy_echo_args::json::Json;
use proxy_echo_args::pages::Pages;
use proxy_echo_args::values::{count, list, positive_time, rate, size, time};
use proxy_echo_args::{Stop, Variables};
use proxy_echo_client::resolve::Family;
#[cfg(feature = "tls")]
use proxy_echo_client::tls::TlsArgs;

use crate::profile::Profile;

/// Measures the capacity and latency of a TCP server, or of the load balancer in front of it. It verifies every byte,
/// measures latencies from the schedule, and says so when the generator itself was the limit.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version = proxy_echo_args::VERSION, max_term_width = 100, subcommand_required = true)]
#[command(
    after_help = "Exit code: 0 fine; 1 the SLO was missed, bytes failed verification, connections or messages were lost, or \
                  the target cannot be reached; 2 usage; 3 the generator was the limit, the figures are INVALID; 4 the rate \
                  was not achieved; 5 nothing was measured, or the answer is unknown; 128+N ended by signal N, with the \
                  results until then. Of several, the first of 128+N, 3, 1, 4, 5 counts."
)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Request and response, over connections that are kept
    Rr(RunArgs),
    /// Connect, request, response, close
    Crr(RunArgs),
    /// Throughput in bytes: large messages, many in flight
    Stream(RunArgs),
    /// Open connections, hold them, and count those that stay alive
    Idle(RunArgs),
    /// Find the highest rate of request and response that meets an SLO
    Search(SearchArgs),
    /// Compare two targets under the same load, in turn, until the difference is known with the wanted precision
    Compare(CompareArgs),
    /// Join the JSON files of shards into one result
    Merge(MergeArgs),
    /// Show a JSON file again as a table, a page, or in `HdrHistogram`'s formats; or several files side by side
    Report(ReportArgs),
    /// Find the limits of this machine that stand in the way of a number of connections, and the command that raises
    /// each
    Limits(LimitsArgs),
    /// The manual page, or completions.
    #[command(flatten)]
    Pages(Pages),
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
        let cli = Cli::from_arg_matches(&matches).map_err(|error| Stop::Usage(error.to_string()))?;
        let named = matches.subcommand().and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
        Ok((cli, named.map(|(command, matches)| Variables::new(command, matches)).unwrap_or_default()))
    }
}

/// One target.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The target: ADDRESS:PORT, NAME:PORT, or :PORT on this machine; connections are spread over several targets, and over
    /// all addresses of a name
    #[arg(value_parser = target, required = true)]
    pub target: Vec<String>,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Number of runs; each opens its own connections
    #[arg(long, value_name = "COUNT", env = "LOADTEST_RUNS", default_value_t = 1, help_heading = LOAD)]
    #[arg(value_parser = count(1..=1000_u32))]
    pub runs: u32,
    /// Make only the I-th of N parts of the load; `loadtest merge` joins the results. 0/N is N/N, for indexes that
    /// count from 0
    #[arg(long, value_name = "I/N", env = "LOADTEST_SHARD", help_heading = EXECUTION)]
    pub shard: Option<String>,
    /// Open all connections, then begin to measure at this time: RFC 3339 or seconds since 1970
    #[arg(long, value_name = "TIME", env = "LOADTEST_START_AT", help_heading = EXECUTION)]
    pub start_at: Option<String>,
    /// The measured process, if it runs on this machine: its CPU time and memory are reported
    #[arg(long, value_name = "PID", env = "LOADTEST_SERVER_PID", help_heading = CHECKS)]
    pub server_pid: Option<u32>,
    /// Serve the figures to Prometheus while it runs, at http://ADDRESS:PORT/metrics; :PORT is on all addresses
    #[arg(long, value_name = "ADDRESS:PORT", env = "LOADTEST_METRICS", value_parser = listen_one, help_heading = OUTPUT)]
    pub metrics: Option<SocketAddr>,
    /// The outputs.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A number of connections.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 nothing is known to stand in the way (what is unknown is said); 1 something does, or \
                        the output cannot be written; 2 usage."
)]
pub struct LimitsArgs {
    /// The number of connections to open, such as 100k or 1M
    #[arg(value_name = "CONNECTIONS", value_parser = count(1..=1_000_000_000_u64))]
    pub connections: u64,
    /// The number of this machine's addresses to connect from (--source-ip), each with all its ports
    #[arg(long, value_name = "COUNT", env = "LOADTEST_LIMITS_SOURCES", default_value_t = 1)]
    #[arg(value_parser = count(1..=1_u64 << 32))]
    pub sources: u64,
    /// The number of pairs of address and port to connect to: each can be reached from every source port
    #[arg(long, value_name = "COUNT", env = "LOADTEST_LIMITS_DESTINATIONS", default_value_t = 1)]
    #[arg(value_parser = count(1..=1_u64 << 32))]
    pub destinations: u64,
    /// Print a JSON object instead, or write it to FILE
    #[arg(long, value_name = "FILE", env = "LOADTEST_LIMITS_JSON", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-", default_value = "false", hide_default_value = true)]
    pub json: Json,
}

/// A search.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The target: ADDRESS:PORT, NAME:PORT, or :PORT on this machine; connections are spread over several targets, and over
    /// all addresses of a name
    #[arg(value_parser = target, required = true)]
    pub target: Vec<String>,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// The first rate to try, in messages a second
    #[arg(long, value_name = "RATE", env = "LOADTEST_FIRST_RATE", default_value = "1000", help_heading = LOAD)]
    #[arg(value_parser = rate)]
    pub first_rate: f64,
    /// Precision of the answer: 0.05 is within 5%
    #[arg(long, value_name = "SHARE", env = "LOADTEST_PRECISION", default_value_t = 0.05, help_heading = LOAD)]
    pub precision: f64,
    /// The measured process, if it runs on this machine
    #[arg(long, value_name = "PID", env = "LOADTEST_SERVER_PID", help_heading = CHECKS)]
    pub server_pid: Option<u32>,
    /// The outputs.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A comparison.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The target to compare with
    #[arg(value_parser = target)]
    pub a: String,
    /// The target to compare
    #[arg(value_parser = target)]
    pub b: String,
    /// Request and response, connections, or bytes
    #[arg(long, value_name = "COMMAND", env = "LOADTEST_WORKLOAD", default_value = "rr", help_heading = LOAD)]
    pub workload: Workload,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Fewest runs of each target
    #[arg(long, value_name = "COUNT", env = "LOADTEST_MIN_PAIRS", default_value_t = 5, help_heading = LOAD)]
    #[arg(value_parser = count(3..=1000_u32))]
    pub min_pairs: u32,
    /// Most runs of each target
    #[arg(long, value_name = "COUNT", env = "LOADTEST_MAX_PAIRS", default_value_t = 20, help_heading = LOAD)]
    #[arg(value_parser = count(3..=1000_u32))]
    pub max_pairs: u32,
    /// Stop when the interval of the rate, or of p50 at a fixed rate, is at most this wide to either side
    #[arg(long, value_name = "SHARE", env = "LOADTEST_PRECISION", default_value_t = 0.025, help_heading = LOAD)]
    pub precision: f64,
    /// PROXY header to A, if it differs from B's
    #[arg(long, value_name = "VERSION", env = "LOADTEST_PROXY_A", help_heading = NETWORK)]
    pub proxy_a: Option<Proxy>,
    /// PROXY header to B, if it differs from A's
    #[arg(long, value_name = "VERSION", env = "LOADTEST_PROXY_B", help_heading = NETWORK)]
    pub proxy_b: Option<Proxy>,
    /// The processes of A and B, if they run on this machine
    #[arg(long, value_name = "PID", env = "LOADTEST_SERVER_PID", value_parser = list(pid), help_heading = CHECKS)]
    pub server_pid: Vec<Vec<u32>>,
    /// The outputs.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A merge.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The JSON files of all shards
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Conditions that the joined result must meet, such as 'p99<2ms,errors=0'
    #[arg(long, value_name = "CONDITIONS", env = "LOADTEST_SLO", help_heading = CHECKS)]
    pub slo: Option<String>,
    /// The outputs.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A report.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The JSON file of an earlier measurement; several are shown side by side, each with its difference to the first
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The outputs.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The load, and how to make it.
#[derive(Clone, Debug, Args)]
#[cfg_attr(feature = "tls", command(mut_args(TlsArgs::variable_of_loadtest)))]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate option")]
pub struct LoadArgs {
    /// Number of connections; for crr: at a time
    #[arg(short, long, value_name = "COUNT", env = "LOADTEST_CONNECTIONS", default_value_t = 50)]
    #[arg(value_parser = count(1..=10_000_000_u32), help_heading = LOAD)]
    pub connections: u32,
    /// Number of threads
    #[arg(short, long, value_name = "COUNT", env = "LOADTEST_THREADS", default_value_t = 1, help_heading = LOAD)]
    #[arg(value_parser = count(1..=1024_u32))]
    pub threads: u32,
    /// How long to measure [default: 10s; until the last point of --stages]
    #[arg(short, long, value_name = "TIME", env = "LOADTEST_DURATION", value_parser = positive_time, help_heading = LOAD)]
    pub duration: Option<Duration>,
    /// Messages a second in total, such as 500, 10k or 30/m, sent by a schedule (open loop) [default: closed loop, each
    /// message after the answer to the one before]
    #[arg(short = 'R', long, value_name = "RATE", env = "LOADTEST_RATE", value_parser = rate, help_heading = LOAD)]
    pub rate: Option<f64>,
    /// A rate that changes over the measured time, as TIME:RATE points: '0s:1k,30s:10k,5m:10k' rises to 10k a second within
    /// 30 s and stays there until 5 minutes; linear between the points, 0 is a pause
    #[arg(long, value_name = "POINTS", env = "LOADTEST_STAGES", value_parser = Profile::parse, help_heading = LOAD)]
    pub stages: Option<Profile>,
    /// When the messages of a rate are due: at equal distances, or at random as from independent clients [default:
    /// uniform]
    #[arg(long, value_name = "KIND", env = "LOADTEST_ARRIVAL", help_heading = LOAD)]
    pub arrival: Option<Arrival>,
    /// Messages in flight on a connection [default: 1; stream: 16]
    #[arg(long, value_name = "COUNT", env = "LOADTEST_DEPTH", help_heading = LOAD)]
    #[arg(value_parser = count(1..=65_536_u32))]
    pub depth: Option<u32>,
    /// Bytes of a message [default: 64; stream: 64KiB]
    #[arg(short, long, value_name = "SIZE", env = "LOADTEST_SIZE", value_parser = size, help_heading = LOAD)]
    pub size: Option<ByteSize>,
    /// Connects a second in total [default: as many as the target accepts]
    #[arg(long, value_name = "RATE", env = "LOADTEST_CONNECT_RATE", value_parser = rate, help_heading = LOAD)]
    pub connect_rate: Option<f64>,
    /// Time to run before measuring begins
    #[arg(long, value_name = "TIME", env = "LOADTEST_WARMUP", value_parser = time)]
    #[arg(default_value = "500ms", help_heading = LOAD)]
    pub warmup: Duration,

    /// Which addresses of a target's name get connections
    #[arg(long, value_name = "FAMILY", env = "LOADTEST_ADDRESS_FAMILY", default_value = "any", help_heading = NETWORK)]
    pub address_family: Family,
    /// Resolve the targets' names again this often: new addresses get their share of the connections, removed ones lose
    /// theirs [default: once, before the run]
    #[arg(long, value_name = "TIME", env = "LOADTEST_RESOLVE_EVERY", value_parser = positive_time)]
    #[arg(help_heading = NETWORK)]
    pub resolve_every: Option<Duration>,
    /// Connect from the addresses of this network [default: the system's choice, spread over 127.0.0.0/8 if needed]
    #[arg(long, value_name = "CIDR", env = "LOADTEST_SOURCE_IP", value_parser = network, help_heading = NETWORK)]
    pub source_ip: Option<IpNet>,
    /// Close with FIN, which leaves TIME-WAIT behind, instead of RST
    #[arg(long, env = "LOADTEST_TIME_WAIT", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    #[arg(help_heading = NETWORK)]
    pub time_wait: bool,
    /// Replace a lost connection, with pauses that grow from 10 ms to 1 s while that fails; a connection without an
    /// answer within --timeout counts as lost
    #[arg(long, env = "LOADTEST_RECONNECT", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    #[arg(help_heading = NETWORK)]
    pub reconnect: bool,
    /// Longest wait for a connect, for a TLS handshake, for answers after the end, and, with crr and --reconnect, for each answer
    #[arg(long, value_name = "TIME", env = "LOADTEST_TIMEOUT", value_parser = positive_time)]
    #[arg(default_value = "5s", help_heading = NETWORK)]
    pub timeout: Duration,
    /// PROXY header at the start of each connection
    #[arg(long, value_name = "VERSION", env = "LOADTEST_PROXY", default_value = "none", help_heading = NETWORK)]
    pub proxy: Proxy,
    /// Client addresses to put into the headers, one after the other [default: the connection's own address]
    #[arg(long, value_name = "CIDR", env = "LOADTEST_PROXY_SRC", value_parser = network, help_heading = NETWORK)]
    pub proxy_src: Option<IpNet>,
    /// A TLV of a version 2 header: TYPE=TEXT or TYPE=0xHEX; TYPE is a number or alpn, authority, unique-id, netns, or
    /// crc32c (without a value); may be given more than once
    #[arg(long, value_name = "TLV", env = "LOADTEST_TLV", value_delimiter = ',', help_heading = NETWORK)]
    pub tlv: Vec<String>,
    /// Whether the target sends the header back first, as a version 1 line
    #[arg(long, value_name = "WHEN", env = "LOADTEST_EXPECT_REFLECT", default_value = "auto", help_heading = NETWORK)]
    pub expect_reflect: ExpectReflect,

    /// TLS.
    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Resume sessions: a connection begins with what the server gave an earlier one of the same thread, as far as that goes
    /// [default: each handshake is a full one]
    #[cfg(feature = "tls")]
    #[arg(long, env = "LOADTEST_TLS_RESUME", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    #[arg(requires = "tls", help_heading = "TLS")]
    pub tls_resume: bool,

    /// Whether to compare every received byte with the byte sent
    #[arg(long, value_name = "HOW", env = "LOADTEST_VERIFY", default_value = "full", help_heading = CHECKS)]
    pub verify: Verify,
    /// Conditions, such as 'p99<2ms,errors=0', on p50 to p99.99, max, mean, rate, errors, unanswered, alive
    #[arg(long, value_name = "CONDITIONS", env = "LOADTEST_SLO", help_heading = CHECKS)]
    pub slo: Option<String>,
    /// For valid figures: the latest that 99% of the messages may be sent after they are due; pauses of the generator
    /// that are longer than this may take at most 1% of the time
    #[arg(long, value_name = "TIME", env = "LOADTEST_MAX_LAG", value_parser = time)]
    #[arg(default_value = "1ms", help_heading = CHECKS)]
    pub max_lag: Duration,

    /// For valid figures: the largest share of the time that a thread may wait for a core, or that other guests may
    /// take
    #[arg(long, value_name = "SHARE", env = "LOADTEST_MAX_WAIT", default_value_t = 0.1, help_heading = CHECKS)]
    pub max_wait: f64,

    /// Pin each thread to its own core
    #[arg(long, env = "LOADTEST_PIN", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    #[arg(help_heading = EXECUTION)]
    pub pin: bool,
    /// Spin instead of sleeping: uses whole cores, and keeps the schedule best
    #[arg(long, env = "LOADTEST_SPIN", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    #[arg(help_heading = EXECUTION)]
    pub spin: bool,
}

/// What to show and write. Without any of these options: a table on standard output.
#[derive(Clone, Debug, Default, Args)]
pub struct OutputArgs {
    /// Print the result as JSON instead of the table, or write it to FILE
    #[arg(long, value_name = "FILE", env = "LOADTEST_JSON", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-", default_value = "false", hide_default_value = true, help_heading = OUTPUT)]
    pub json: Json,
    /// Print a line of JSON for each second of the measured time while it runs, in place of the table, or write them to
    /// FILE,
    /// a named pipe, or /dev/stderr
    #[arg(long, value_name = "FILE", env = "LOADTEST_LIVE", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-", default_value = "false", hide_default_value = true, help_heading = OUTPUT)]
    pub live: Json,
    /// Write the latency's percentile distribution, for `HdrHistogram`'s plotter
    #[arg(long, value_name = "FILE", env = "LOADTEST_HGRM", help_heading = OUTPUT)]
    pub hgrm: Option<PathBuf>,
    /// Write the latency by interval, as `HdrHistogram`'s log
    #[arg(long, value_name = "FILE", env = "LOADTEST_HLOG", help_heading = OUTPUT)]
    pub hlog: Option<PathBuf>,
    /// Write the result as an HTML page in one file
    #[arg(long, value_name = "FILE", env = "LOADTEST_HTML", help_heading = OUTPUT)]
    pub html: Option<PathBuf>,
    /// Show neither the table nor progress
    #[arg(short, long, env = "LOADTEST_QUIET", action = ArgAction::SetTrue, help_heading = OUTPUT)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub quiet: bool,
    /// Show no progress: in a terminal, rate, latency and errors, once a second; elsewhere a line every 5 s on standard error, if
    /// standard output gets the table
    #[arg(long, env = "LOADTEST_NO_PROGRESS", action = ArgAction::SetTrue, help_heading = OUTPUT)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub no_progress: bool,
}

const LOAD: &str = "Load";
const NETWORK: &str = "Network";
const CHECKS: &str = "Checks";
const EXECUTION: &str = "Execution";
const OUTPUT: &str = "Output";

/// What to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Request and response.
    Rr,
    /// Connections.
    Crr,
    /// Bytes.
    Stream,
}

/// When messages of a rate are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrival {
    /// At equal distances.
    Uniform,
    /// At random, as from independent clients.
    Poisson,
}

/// The PROXY header to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Proxy {
    /// No header.
    None,
    /// The human-readable line.
    V1,
    /// The binary header.
    V2,
}

/// Whether the target sends the header back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExpectReflect {
    /// Find out from the first answer.
    Auto,
    /// It must send it back.
    Yes,
    /// It does not send it back.
    No,
}

/// Whether to compare bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// Compare all bytes.
    Full,
    /// Only count them.
    Off,
}

macro_rules! name_as_given {
    ($($type:ty),*) => {$(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
            }
        }
    )*};
}
name_as_given!(Workload, Arrival, Proxy, ExpectReflect, Verify);

fn pid(text: &str) -> Result<Option<u32>, String> {
    text.parse().map(Some).map_err(|_| "expected the number of a process".to_owned())
}

/// A network, or an address alone.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| IpNet::from(address)));
    network.map_err(|_| "expected a network such as 10.0.0.0/8, or an address".to_owned())
}
