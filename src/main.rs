//! The program: arguments, settings, server, exit code.

use std::process::ExitCode;

use clap::Parser;
use proxy_echo::cli::Cli;
use proxy_echo::config::Config;
use proxy_echo::server::{Error, Server};

/// As clap's own, for arguments that do not make sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let config = match Config::new(Cli::parse()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &Config) -> Result<(), Error> {
    Server::bind(config)?.run()
}
