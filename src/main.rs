//! The program: arguments, settings, server, exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use proxy_echo::check;
use proxy_echo::cli::{CheckArgs, Cli, Command, pages};
use proxy_echo::config::{Config, ConfigError, raise_file_limit};
use proxy_echo::decode;
use proxy_echo::server::{Error, Server};

/// As clap's own, for arguments that do not make sense.
const USAGE: u8 = 2;
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let mut cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return refuse(&first_paragraph(&error), USAGE),
        // --help or --version.
        Err(text) => text.exit(),
    };
    if let Some(command) = cli.command.take() {
        return run(&command);
    }
    match config(cli) {
        Ok(config) => match serve(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&format!("error: {error}"), FAILURE),
        },
        Err(error) => refuse(&format!("error: {error}"), USAGE),
    }
}

/// As many connections as the system lets us have.
fn config(cli: Cli) -> Result<Config, ConfigError> {
    raise_file_limit()?;
    Config::new(cli.into())
}

fn serve(config: &Config) -> Result<(), Error> {
    Server::as_program(config)?.run()
}

fn run(command: &Command) -> ExitCode {
    let (text, code) = match command {
        Command::Check(args) => return check(args),
        Command::Decode(args) => match decode::run(args) {
            Ok((text, is_valid)) => (text.into_bytes(), if is_valid { 0 } else { FAILURE }),
            Err(error) => return refuse(&format!("error: {error}"), USAGE),
        },
        Command::Man => (pages::manual(), 0),
        Command::Completions { shell } => (pages::completions(*shell), 0),
    };
    match print(&text) {
        Ok(()) => ExitCode::from(code),
        Err(error) => refuse(&format!("error: cannot print: {error}"), FAILURE),
    }
}

fn check(args: &CheckArgs) -> ExitCode {
    match check::run(args, &mut io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => refuse(&format!("error: cannot print: {error}"), FAILURE),
    }
}

/// Prints to a reader who may leave before the end.
fn print(text: &[u8]) -> io::Result<()> {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn refuse(line: &str, code: u8) -> ExitCode {
    // That nobody can be told is no reason to panic.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(code)
}

/// What is wrong, on one line: in the paragraphs behind it clap explains the usage.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}
