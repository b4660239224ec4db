//! The program: arguments, settings, server, exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use proxy_echo::check;
use proxy_echo::cli::{CheckArgs, Cli, Command, ConformArgs, DecodeArgs, LimitsArgs};
use proxy_echo::config::{Config, ConfigError, raise_file_limit};
use proxy_echo::conform;
use proxy_echo::decode;
use proxy_echo::server::{Error, Server};
use proxy_echo_args::print;
use proxy_echo_limits::{Limits, Load, this_machine};

/// The exit code for wrong arguments, the same as clap's, and for files that cannot be read or written.
const USAGE: u8 = 2;
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let (mut cli, variables) = match Cli::read() {
        Ok(read) => read,
        Err(stop) => return stop.explain(),
    };
    if let Some(command) = cli.command.take() {
        return run(&command);
    }
    match config(cli) {
        Ok(config) => match serve(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error, FAILURE),
        },
        Err(error) => refuse(&variables.explain(&error), USAGE),
    }
}

/// The server's configuration, after raising the limit on open files.
fn config(cli: Cli) -> Result<Config, ConfigError> {
    raise_file_limit()?;
    Config::new(cli.into())
}

fn serve(config: &Config) -> Result<(), Error> {
    Server::as_program(config)?.run()
}

fn run(command: &Command) -> ExitCode {
    match command {
        Command::Check(args) => check(args),
        Command::Conform(args) => conform(args),
        Command::Decode(args) => decode(args),
        Command::Limits(args) => limits(args),
        Command::Pages(pages) => printed(print(&pages.render(Cli::command())), 0),
    }
}

fn check(args: &CheckArgs) -> ExitCode {
    match check::run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => printed(Err(error), USAGE),
    }
}

fn conform(args: &ConformArgs) -> ExitCode {
    match conform::run(args, &mut io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => refuse(&error, error.code()),
    }
}

fn decode(args: &DecodeArgs) -> ExitCode {
    let explained = match decode::run(args) {
        Ok(explained) => explained,
        Err(error) => return refuse(&error, USAGE),
    };
    let words = if args.json.has_words() { print(explained.words.as_bytes()) } else { Ok(()) };
    let written = args.json.write(explained.json.as_bytes()).and(words);
    printed(written, if explained.is_valid { 0 } else { FAILURE })
}

/// Prints the limits. The hard limit on open files counts, because the server raises its soft limit itself.
fn limits(args: &LimitsArgs) -> ExitCode {
    let report = Load::server(args.connections).judge(&Limits::read(this_machine));
    let words = if args.json.has_words() { print(report.to_string().as_bytes()) } else { Ok(()) };
    printed(args.json.write(report.json().as_bytes()).and(words), u8::from(report.stands_in_the_way()))
}

/// Returns `code`, the command's verdict, if its output was written. Otherwise returns a code that is not a verdict.
fn printed(result: io::Result<()>, code: u8) -> ExitCode {
    match result {
        Ok(()) => ExitCode::from(code),
        Err(error) => refuse(&error, USAGE),
    }
}

fn refuse(error: &impl Display, code: u8) -> ExitCode {
    // Do not panic if standard error is closed.
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::from(code)
}
