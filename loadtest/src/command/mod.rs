//! The commands.

mod compare;
mod merge;
mod run;
mod search;

use std::fmt;
use std::sync::atomic::AtomicBool;

use proxy_echo_args::json::Json;

use crate::cli::{Command, OutputArgs};
use crate::engine::EngineError;
use crate::judge::{self, Verdict};
use crate::plan::{Kind, PlanError};
use crate::result::Report;

/// Runs `command`. If `interrupt` becomes true, it ends early with the results so far.
///
/// # Errors
///
/// There is nothing to report.
pub fn execute(command: &Command, interrupt: &AtomicBool) -> Result<Report, CommandError> {
    let is_run = matches!(command, Command::Rr(_) | Command::Crr(_) | Command::Stream(_) | Command::Idle(_));
    if !is_run && output(command).live != Json::Off {
        return Err(CommandError::Usage(
            "--live is for rr, crr, stream and idle: one load that runs for a while".to_owned(),
        ));
    }
    let mut report = match command {
        Command::Rr(args) => run::run(Kind::Rr, args, interrupt),
        Command::Crr(args) => run::run(Kind::Crr, args, interrupt),
        Command::Stream(args) => run::run(Kind::Stream, args, interrupt),
        Command::Idle(args) => run::run(Kind::Idle, args, interrupt),
        Command::Search(args) => search::search(args, interrupt),
        Command::Compare(args) => compare::compare(args, interrupt),
        Command::Merge(args) => merge::merge(args),
        Command::Report(args) => return merge::report(args),
        Command::Limits(_) | Command::Pages(_) => {
            return Err(CommandError::Usage("there is nothing to measure".to_owned()));
        }
    }?;
    judge::conclude(&mut report, None);
    Ok(report)
}

/// The outputs that the command asks for.
#[must_use]
pub fn output(command: &Command) -> OutputArgs {
    match command {
        Command::Rr(args) | Command::Crr(args) | Command::Stream(args) | Command::Idle(args) => args.output.clone(),
        Command::Search(args) => args.output.clone(),
        Command::Compare(args) => args.output.clone(),
        Command::Merge(args) => args.output.clone(),
        Command::Report(args) => args.output.clone(),
        Command::Limits(_) | Command::Pages(_) => OutputArgs::default(),
    }
}

/// Why there is nothing to report.
#[derive(Debug)]
pub enum CommandError {
    /// The arguments make no sense.
    Usage(String),
    /// The measurement failed.
    Failed(String),
}

impl CommandError {
    /// The verdict, for the exit code.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            CommandError::Usage(_) => Verdict::Usage,
            CommandError::Failed(_) => Verdict::Failed,
        }
    }
}

impl From<PlanError> for CommandError {
    fn from(error: PlanError) -> Self {
        CommandError::Usage(error.to_string())
    }
}

impl From<EngineError> for CommandError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Plan(_) | EngineError::Server(..) => CommandError::Usage(error.to_string()),
            EngineError::System(_) | EngineError::Lost => CommandError::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Usage(what) | CommandError::Failed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for CommandError {}
