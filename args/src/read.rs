//! Reads arguments and environment with a clap command, and explains errors in one line.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::json;

/// The exit code for wrong arguments.
const USAGE: u8 = 2;

/// Why the program prints and ends.
#[derive(Debug)]
pub enum Stop {
    /// The text of `--help` or `--version`.
    Text(clap::Error),
    /// The error in one line.
    Usage(String),
}

impl Stop {
    /// Prints the help or the error, and returns the program's exit code.
    #[must_use]
    pub fn explain(self) -> ExitCode {
        // Do not panic if standard error is closed.
        match self {
            Stop::Text(text) => {
                let _ = text.print();
                ExitCode::from(u8::try_from(text.exit_code()).unwrap_or(USAGE))
            }
            Stop::Usage(line) => {
                let _ = writeln!(io::stderr(), "error: {line}");
                ExitCode::from(USAGE)
            }
        }
    }
}

/// Reads the program's arguments and environment.
///
/// An empty variable counts as unset. A command ignores the variables of the program itself, even wrong ones.
///
/// # Errors
///
/// [`Stop`]: the text of `--help` or `--version`, or what is wrong.
pub fn read(command: &Command) -> Result<ArgMatches, Stop> {
    let args: Vec<OsString> = env::args_os().collect();
    if let Some(line) = json::old_spelling(&args) {
        return Err(Stop::Usage(line));
    }
    // Made anew where an error is to be explained: a copy held meanwhile would stay in the heap of a server.
    let asked = || {
        let asked = without_variables(command.clone(), &|arg| value(arg).is_none_or(|value| value.is_empty()));
        if named(command, &args).is_some() { asked.mut_args(|arg| arg.env(None)) } else { asked }
    };
    match asked().try_get_matches_from(&args) {
        Ok(matches) => Ok(matches),
        Err(error) if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Ask the full command for the help, so that it shows all variables.
            Err(Stop::Text(command.clone().try_get_matches_from(&args).err().unwrap_or(error)))
        }
        Err(error) => Err(Stop::Usage(words(&error, &asked(), &args))),
    }
}

/// The options whose value came from a variable, so that a later error can name the variable.
#[derive(Clone, Debug, Default)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// Collects them from `command` and the `matches` that it gave.
    #[must_use]
    pub fn new(command: &Command, matches: &ArgMatches) -> Self {
        let is_from_variable =
            |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable);
        let pair = |arg: &Arg| Some((format!("--{}", arg.get_long()?), arg.get_env()?.to_string_lossy().into_owned()));
        Variables(command.get_arguments().filter(is_from_variable).filter_map(pair).collect())
    }

    /// The error's text, with the variable added after each option whose value came from one.
    #[must_use]
    pub fn explain(&self, error: &impl fmt::Display) -> String {
        let text = error.to_string();
        let name = |word: &str| self.0.iter().find(|(option, _)| option == word).map(|(_, variable)| variable);
        let words = text.split(' ').map(|word| {
            let (option, punctuation) = word.split_at(word.trim_end_matches([':', ',']).len());
            match name(option) {
                Some(variable) => format!("{option} (from the variable {variable}){punctuation}"),
                None => word.to_owned(),
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The command, without the variables of those arguments for which `is_left_out` is true.
fn without_variables(command: Command, is_left_out: &dyn Fn(&Arg) -> bool) -> Command {
    let command = command.mut_args(|arg| if is_left_out(&arg) { arg.env(None) } else { arg });
    command.mut_subcommands(|command| without_variables(command, is_left_out))
}

/// The value of the argument's variable.
fn value(arg: &Arg) -> Option<OsString> {
    env::var_os(arg.get_env()?)
}

/// The subcommand that the first of `args` names.
fn named<'a>(command: &'a Command, args: &[OsString]) -> Option<&'a Command> {
    command.find_subcommand(args.get(1)?)
}

/// The error in one line.
fn words(error: &clap::Error, command: &Command, args: &[OsString]) -> String {
    if let Some(line) = no_command(command, args) {
        return line;
    }
    // In the paragraphs after the first, clap explains the usage.
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let line = match (variable(error, command, args), error.get(ContextKind::InvalidArg)) {
        (Some(variable), Some(ContextValue::String(arg))) => {
            line.replacen(&format!("'{arg}'"), &format!("'{arg}' (from the variable {variable})"), 1)
        }
        _ => line.to_owned(),
    };
    let kinds = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    let advice = match kinds.into_iter().find_map(|kind| suggestion(error, kind)) {
        Some(suggestion) => format!(" (did you mean {suggestion}?)"),
        None if matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument) => {
            " (see --help)".to_owned()
        }
        None => String::new(),
    };
    line + &advice
}

fn suggestion(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(one) => Some(one.clone()),
        ContextValue::Strings(several) if !several.is_empty() => Some(several.join(" or ")),
        _ => None,
    }
}

/// The variable that the wrong value came from. It is found by reading again without that variable: the error then changes.
fn variable(error: &clap::Error, command: &Command, args: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else { return None };
    // clap can display an argument only after the command was built.
    let mut built = command.clone();
    built.build();
    let scope = named(&built, args).unwrap_or(&built);
    let arg = scope.get_arguments().find(|arg| arg.get_env().is_some() && arg.to_string() == *wrong)?;
    let without = without_variables(command.clone(), &|other| other.get_env() == arg.get_env());
    let again = without.try_get_matches_from(args).err();
    let is_same = again.is_some_and(|again| again.to_string() == error.to_string());
    (!is_same).then(|| arg.get_env().unwrap_or_default().to_string_lossy().into_owned())
}

/// The error for a first word that looks like a command and is not one. If the program takes an argument, clap would take
/// the word for that argument.
fn no_command(command: &Command, args: &[OsString]) -> Option<String> {
    let word = args.get(1)?.to_str().filter(|word| word.starts_with(|c: char| c.is_alphabetic()))?;
    if named(command, args).is_some() {
        return None;
    }
    // clap finds the most similar name.
    let names = command.get_subcommands().map(|command| Command::new(command.get_name().to_owned()));
    let asked = Command::new("program").disable_help_subcommand(true).subcommand_required(true).subcommands(names);
    let error = asked.try_get_matches_from(["program", word]).err()?;
    let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    let advice = match suggestion(&error, ContextKind::SuggestedSubcommand) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("the commands are {}", names.join(", ")),
    };
    Some(format!("there is no command '{word}': {advice}"))
}
