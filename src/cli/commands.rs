//! What the program does besides serving: the arguments of its commands.

use clap::Subcommand;
use clap_complete::Shell;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the manual page, for man(1)
    Man,
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: Shell,
    },
}
