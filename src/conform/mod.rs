//! `proxy-echo conform`: plays the balancer against a receiver of the PROXY protocol, and reports whether it conforms.
//!
//! The cases are written byte by byte from the text of the specification. They are not made by this project's encoder
//! or judged by its parser: only the receiver's behaviour counts.

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Instant;

use crate::cli::ConformArgs;

mod case;
mod exchange;
mod report;
mod run;
mod sender;
mod setting;
mod verdict;

use report::Report;
use run::Runner;
use setting::Setting;

/// Runs the command, writes its findings to `out`, and returns the exit code.
///
/// # Errors
///
/// The settings cannot work, the receiver is not reached, or writing fails.
pub fn run(args: &ConformArgs, out: &mut impl Write) -> Result<u8, Error> {
    if args.list {
        out.write_all(case::CASES.as_bytes())?;
        return Ok(0);
    }
    if let Some(listen) = args.listen {
        return sender::run(args, listen, out);
    }
    let target = args.target.as_deref().unwrap_or_default().to_owned();
    let setting = Setting::new(args)?;
    let jobs = case::wanted(args)?;
    let unreachable = |error: io::Error| Error::Unreachable(target.clone(), error.to_string());
    let addresses: Vec<_> = target.to_socket_addrs().map_err(unreachable)?.collect();
    let start = Instant::now();
    let mut failure = Error::Unreachable(target.clone(), "the name has no address".to_owned());
    for address in addresses {
        let (timeout, parallel) = (args.timeout, usize::from(args.parallel));
        let runner = Runner { address, setting: &setting, timeout, parallel };
        match runner.prove() {
            // The next address may be of a family that this machine has.
            Err(error @ Error::Unreachable(..)) => failure = error,
            Err(error) => return Err(error),
            Ok(abilities) => {
                let versions = abilities.versions;
                let judged = runner.run(abilities, jobs.clone())?;
                let report = Report { args, address, versions, judged, time: start.elapsed() };
                report.write(out)?;
                return Ok(report.code());
            }
        }
    }
    Err(failure)
}

/// Why nothing was tested.
#[derive(Debug)]
pub enum Error {
    /// No case has this name, or none is in this section.
    NoCase(String),
    /// `--say` has an unknown escape, or is empty for an echo.
    Say(String),
    /// A pattern is not a regular expression.
    Pattern(String),
    /// Neither version's valid header was accepted; the outcome of each.
    NothingAccepted(String, String),
    /// Bytes that are not a header were accepted.
    EverythingAccepted(String),
    /// The file of cases is broken.
    Cases(String),
    /// The receiver, and why it is not reached.
    Unreachable(String, String),
    /// Listening on the address fails.
    Listen(SocketAddr, io::Error),
    /// Results cannot be written.
    Io(io::Error),
}

impl Error {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Error::Unreachable(..) => 3,
            Error::Io(_) | Error::Cases(_) | Error::Listen(..) => 1,
            _ => 2,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoCase(name) => write!(f, "no case is named '{name}': --list prints all"),
            Error::Say(text) if text.is_empty() => f.write_str("an echo needs words: --say is empty"),
            Error::Say(text) => write!(f, "--say '{text}' has an escape other than \\r, \\n, \\t, \\0, \\\\ and \\xNN"),
            Error::Pattern(error) => write!(f, "not a regular expression: {}", error.replace('\n', " ")),
            Error::NothingAccepted(one, two) => write!(
                f,
                "this setting cannot tell: a valid header is not accepted. Version 1: {one}. Version 2: {two}. \
                 Look at --preset, --say and --accepted, and whether the receiver trusts us"
            ),
            Error::EverythingAccepted(words) => write!(
                f,
                "this setting cannot tell: bytes that are not a header are accepted, too ({words}). Look at --accepted, and \
                 whether the receiver expects a header at all"
            ),
            Error::Cases(error) => write!(f, "the cases are unreadable: {error}"),
            Error::Unreachable(target, error) => write!(f, "{target} is not reached: {error}"),
            Error::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Error::Io(error) => write!(f, "cannot write: {error}"),
        }
    }
}

impl std::error::Error for Error {}
