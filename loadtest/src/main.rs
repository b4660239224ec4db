//! The program: arguments, measurement, outputs, exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::Parser;
use clap::error::ErrorKind;
use loadtest::cli::Cli;
use loadtest::command::{self, CommandError};
use loadtest::judge::{Verdict, conclude, verdict};
use loadtest::output;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    match run(&cli) {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            complain(&format!("error: {error}"));
            error.verdict().into()
        }
    }
}

fn run(cli: &Cli) -> Result<Verdict, CommandError> {
    let interrupt = Arc::new(AtomicBool::new(false));
    let signal = watch(&interrupt).map_err(|error| CommandError::Failed(error.to_string()))?;
    output::check(command::output(&cli.command)).map_err(|error| CommandError::Usage(error.to_string()))?;
    let mut report = command::execute(&cli.command, &interrupt)?;
    // 0 is no signal.
    if let number @ 1.. = signal.load(Ordering::Relaxed) {
        conclude(&mut report, i32::try_from(number).ok());
    }
    let is_terminal = io::stdout().is_terminal();
    output::write_all(&report, command::output(&cli.command), is_terminal)
        .map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(verdict(&report))
}

/// Help as it is, and what is wrong with the arguments in one line.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // As clap has it: to standard output or error, with its exit code.
        error.exit()
    }
    let text = error.to_string();
    let what = text.split("\n\nUsage:").next().unwrap_or(&text).split("\n\nFor more").next().unwrap_or(&text);
    let words: Vec<_> = what.split_whitespace().collect();
    complain(&format!("{} (see --help)", words.join(" ")));
    Verdict::Usage.into()
}

/// That nobody can be told is no reason to panic.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The first signal ends the measurement, the second the program. Returns where the number of the signal will be.
fn watch(interrupt: &Arc<AtomicBool>) -> io::Result<Arc<AtomicUsize>> {
    let number = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, interrupt.clone())?;
        flag::register_usize(signal, number.clone(), signal.cast_unsigned() as usize)?;
        flag::register(signal, interrupt.clone())?;
    }
    Ok(number)
}
