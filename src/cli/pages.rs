//! The manual page and the shells' completions, for packages to install.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

/// The manual page, in roff, with the commands on it.
#[must_use]
pub fn manual() -> Vec<u8> {
    // Writing to memory does not fail.
    render().unwrap_or_default()
}

fn render() -> io::Result<Vec<u8>> {
    let mut command = Cli::command().disable_help_subcommand(true);
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

/// A command's own page as a section of the whole.
fn section(command: &clap::Command) -> io::Result<String> {
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
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "proxy-echo", &mut out);
    if shell == Shell::Bash {
        // clap_complete has two ways to write the hyphen of our name, so that nothing behind a command would be completed
        // (clap-rs/clap#6421).
        return String::from_utf8_lossy(&out).replace("proxy__subcmd__echo", "proxy__echo").into_bytes();
    }
    out
}
