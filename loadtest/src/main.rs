//! The program: arguments, measurement, outputs, exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::CommandFactory;
use loadtest::cli::{Cli, Command, LimitsArgs};
use loadtest::command::{self, CommandError};
use loadtest::judge::{Verdict, conclude, verdict};
use loadtest::output;
use proxy_echo_args::print;
use proxy_echo_limits::{Limits, Load, this_machine};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

fn main() -> ExitCode {
    let (cli, variables) = match Cli::read() {
        Ok(read) => read,
        Err(stop) => return stop.explain(),
    };
    if let Command::Pages(pages) = &cli.command {
        return match print(&pages.render(Cli::command())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("error: {error}"));
                Verdict::Failed.into()
            }
        };
    }
    if let Command::Limits(args) = &cli.command {
        return match limits(args) {
            Ok(stands_in_the_way) => ExitCode::from(u8::from(stands_in_the_way)),
            Err(error) => {
                complain(&format!("error: {error}"));
                Verdict::Failed.into()
            }
        };
    }
    match run(&cli) {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            complain(&format!("error: {}", variables.explain(&error)));
            error.verdict().into()
        }
    }
}

/// Prints the limits that stand in the way of connections, and returns whether there are any.
fn limits(args: &LimitsArgs) -> io::Result<bool> {
    let load = Load::client(args.connections, args.sources, args.destinations);
    let report = load.judge(&Limits::read(this_machine));
    if args.json.has_words() {
        print(report.to_string().as_bytes())?;
    }
    args.json.write(report.json().as_bytes())?;
    Ok(report.stands_in_the_way())
}

fn run(cli: &Cli) -> Result<Verdict, CommandError> {
    let interrupt = Arc::new(AtomicBool::new(false));
    let signal = watch(&interrupt).map_err(|error| CommandError::Failed(error.to_string()))?;
    let outputs = command::output(&cli.command);
    output::check(&outputs).map_err(|error| CommandError::Usage(error.to_string()))?;
    let mut report = command::execute(&cli.command, &interrupt)?;
    // 0 means that no signal came.
    if let number @ 1.. = signal.load(Ordering::Relaxed) {
        conclude(&mut report, i32::try_from(number).ok());
    }
    let is_terminal = io::stdout().is_terminal();
    output::write_all(&report, &outputs, is_terminal).map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(verdict(&report))
}

/// Writes to standard error, and does not panic if it is closed.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The first signal ends the measurement, the second the program. Returns the variable that will hold the signal's
/// number.
fn watch(interrupt: &Arc<AtomicBool>) -> io::Result<Arc<AtomicUsize>> {
    let number = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal)) {
        flag::register_conditional_shutdown(signal, 128 + signal, interrupt.clone())?;
        flag::register_usize(signal, number.clone(), signal.cast_unsigned() as usize)?;
        flag::register(signal, interrupt.clone())?;
    }
    Ok(number)
}

/// Whether the program was started with `signal` ignored, as nohup(1) does with SIGHUP.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
