//! The manual page and the shells' completions, for packages to install.

use std::io;

use clap::{Arg, Command, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

/// The commands that print them, for flattening into a program's commands.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Pages {
    /// Print the manual page, for man(1)
    Man,
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Pages {
    /// Renders the page for the program that `command` describes.
    #[must_use]
    pub fn render(&self, command: Command) -> Vec<u8> {
        match self {
            Pages::Man => manual(command),
            Pages::Completions { shell } => completions(*shell, command),
        }
    }
}

/// The manual page, in roff, with the commands on it.
fn manual(command: Command) -> Vec<u8> {
    // Writing to memory does not fail.
    render_manual(command).unwrap_or_default()
}

fn render_manual(command: Command) -> io::Result<Vec<u8>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let page = Man::new(command.clone());
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    page.render_extra_section(&mut out)?;
    for command in command.get_subcommands() {
        out.extend_from_slice(section(command)?.as_bytes());
    }
    Ok(String::from_utf8_lossy(&out).replace(" EXTRA\n", " \"EXIT STATUS\"\n").into_bytes())
}

/// A command's page as a section of the whole page.
fn section(command: &Command) -> io::Result<String> {
    let page = Man::new(command.clone());
    let mut out = Vec::new();
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    if command.get_after_help().is_some() {
        page.render_extra_section(&mut out)?;
    }
    let text = String::from_utf8_lossy(&out).replace("\n.SH ", "\n.SS ");
    Ok(format!(".SH \"COMMAND {}\"\n{text}", command.get_name().to_uppercase()))
}

/// The completions of `shell`.
fn completions(shell: Shell, command: Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut command = if shell == Shell::Zsh { without_positionals(command) } else { command };
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut out);
    if shell == Shell::Bash {
        // clap_complete writes the hyphen of a name in two ways, and so would complete nothing after a command
        // (clap-rs/clap#6421).
        let [wrong, right] = ["__subcmd__", "__"].map(|hyphen| name.replace('-', hyphen));
        return String::from_utf8_lossy(&out).replace(&wrong, &right).into_bytes();
    }
    out
}

/// The command without its own positional arguments, if it has commands too: zsh would take a command's name for one of them.
fn without_positionals(command: Command) -> Command {
    if !command.has_subcommands() {
        return command;
    }
    let options: Vec<Arg> = command.get_arguments().filter(|arg| !arg.is_positional()).cloned().collect();
    let version = command.get_version().unwrap_or_default().to_owned();
    let about = command.get_about().cloned().unwrap_or_default();
    Command::new(command.get_name().to_owned())
        .version(version)
        .about(about)
        .args(options)
        .subcommands(command.get_subcommands().cloned())
}
