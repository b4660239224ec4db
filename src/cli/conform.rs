//! The arguments of `proxy-echo conform`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use proxy_echo_args::address::{listen_one, target};
use proxy_echo_args::json::Json;
use proxy_echo_args::values::{count, positive_time};

/// A test of conformance to the PROXY protocol.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 it conforms; 1 it does not; 2 usage, or settings that cannot tell acceptance from refusal; 3 it is not reached, or no header came."
)]
pub struct ConformArgs {
    /// The receiver: ADDRESS:PORT or NAME:PORT
    #[arg(value_name = "HOST:PORT", value_parser = target, required_unless_present_any = ["listen", "list"])]
    pub target: Option<String>,

    /// Judge a sender instead: listen here, and judge the header of each connection that comes
    #[arg(long, value_name = "ADDR:PORT", env = "PROXY_ECHO_CONFORM_LISTEN", conflicts_with = "target")]
    #[arg(value_parser = listen_one)]
    pub listen: Option<SocketAddr>,

    /// With --listen: end after this number of headers [default: end at Ctrl-C]
    #[arg(long, value_name = "COUNT", env = "PROXY_ECHO_CONFORM_COUNT", requires = "listen")]
    #[arg(value_parser = count(1..=u32::MAX))]
    pub count: Option<u32>,

    /// The protocol that the receiver speaks after the header
    #[arg(long, value_name = "NAME", env = "PROXY_ECHO_CONFORM_PRESET", default_value = "proxy-echo")]
    pub preset: Preset,

    /// The bytes to send after the header; \r, \n, \t, \0, \\ and \xNN are escapes [default: the preset's]
    #[arg(long, value_name = "TEXT", env = "PROXY_ECHO_CONFORM_SAY", allow_hyphen_values = true)]
    pub say: Option<String>,

    /// A regular expression for the answer of a receiver that accepted the header [default: the preset's]
    #[arg(long, value_name = "PATTERN", env = "PROXY_ECHO_CONFORM_ACCEPTED")]
    pub accepted: Option<String>,

    /// A regular expression for the answer of a receiver that refused it, if it does not just close [default: the
    /// preset's]
    #[arg(long, value_name = "PATTERN", env = "PROXY_ECHO_CONFORM_REJECTED")]
    pub rejected: Option<String>,

    /// The answer must show the header's source address, or the named part; otherwise the header was misread
    #[arg(long, value_name = "WHAT", env = "PROXY_ECHO_CONFORM_SHOWS_CLIENT")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "address")]
    pub shows_client: Option<Shows>,

    /// Only these cases; may be given more than once
    #[arg(long, value_name = "ID", env = "PROXY_ECHO_CONFORM_ONLY", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Only the cases of this section of the specification and of those below it, such as 2.1
    #[arg(long, value_name = "NUMBER", env = "PROXY_ECHO_CONFORM_SECTION", value_delimiter = ',')]
    pub section: Vec<String>,

    /// How to send every case; may be given more than once [default: together, and a few cases in each other way]
    #[arg(long, value_name = "NAME", env = "PROXY_ECHO_CONFORM_DELIVERY", value_delimiter = ',')]
    pub delivery: Vec<Delivery>,

    /// Count a missed SHOULD like a missed MUST
    #[arg(long, env = "PROXY_ECHO_CONFORM_STRICT", action = ArgAction::SetTrue)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub strict: bool,

    /// Number of connections at a time; 1 for a receiver that serves one after the other
    #[arg(long, value_name = "COUNT", env = "PROXY_ECHO_CONFORM_PARALLEL", default_value_t = 16)]
    #[arg(value_parser = count(1..=256_u16))]
    pub parallel: u16,

    /// Longest time to open a connection, and to wait for an answer
    ///
    /// A case that seems to be missed is tried again with twice the time.
    #[arg(long, value_name = "TIME", env = "PROXY_ECHO_CONFORM_TIMEOUT", default_value = "2s")]
    #[arg(value_parser = positive_time)]
    pub timeout: Duration,

    /// Print every case, not only the missed ones
    #[arg(long, short, env = "PROXY_ECHO_CONFORM_VERBOSE", action = ArgAction::SetTrue)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub verbose: bool,

    /// Print the cases themselves, as JSON, for other programs
    #[arg(long, action = ArgAction::SetTrue, conflicts_with_all = ["target", "listen"])]
    pub list: bool,

    /// Print a JSON object instead, or write it to FILE
    #[arg(long, value_name = "FILE", env = "PROXY_ECHO_CONFORM_JSON", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "-", default_value = "false", hide_default_value = true)]
    pub json: Json,

    /// Write the results to a file that CI systems read
    #[arg(long, value_name = "FILE", env = "PROXY_ECHO_CONFORM_JUNIT", conflicts_with = "listen")]
    pub junit: Option<PathBuf>,
}

/// The protocol that a receiver speaks after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// proxy-echo, or one behind the receiver: it reflects the header that reaches it
    ProxyEcho,
    /// An echo: the bytes sent come back, perhaps after a line that shows the client
    Echo,
    /// HTTP: 400 and 5xx mean that the receiver refused the header
    Http,
    /// SMTP: the server speaks first
    Smtp,
    /// IMAP: the server speaks first
    Imap,
    /// `MySQL` and `MariaDB`: the server speaks first
    Mysql,
}

/// The part of the header that an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Shows {
    /// The source address
    Address,
    /// The source address and port
    Port,
    /// Source and destination, with their ports
    Ends,
}

/// How a header and the payload after it are split into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Delivery {
    /// Header and payload in one segment
    Together,
    /// The header in one segment, the payload in the next
    Apart,
    /// A byte at a time; only the first 300 bytes of long headers
    Bytewise,
    /// All but the header's last byte, then that byte with the payload
    Split,
    /// Half of the header, then the rest after three seconds
    Held,
    /// Nothing for three seconds, then header and payload in one segment
    Late,
}
