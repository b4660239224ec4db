//! What the program does besides serving: the arguments of its commands.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand};
use clap_complete::Shell;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Explain a captured header, of either version, field by field
    Decode(DecodeArgs),
    /// Print the manual page, for man(1)
    Man,
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// A captured header.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 the header is valid; 1 it is invalid or incomplete; 2 usage, or input that cannot be read."
)]
pub struct DecodeArgs {
    /// The file with the header's bytes; - is standard input
    #[arg(value_name = "FILE", default_value = "-", conflicts_with = "hex")]
    pub file: PathBuf,

    /// The bytes in hexadecimal, as digits or as a dump of xxd, hexdump -C or tcpdump -X; - reads that from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub hex: Option<String>,

    /// Bytes to skip, such as the headers of a captured packet
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub skip: usize,

    /// Print a JSON object
    #[arg(long, env = "PROXY_ECHO_DECODE_JSON", action = ArgAction::SetTrue)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub json: bool,
}
