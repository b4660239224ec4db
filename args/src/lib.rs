//! The argument types that both programs share, so that a time, an address or an error is written the same way in both.
//!
//! - [`read`]: arguments and environment; an error is one line that names the variable it came from, or suggests a name.
//! - [`values`]: times, sizes, counts, rates and lists. [`address`]: addresses to listen on and to connect to.
//! - [`json`]: `--json` and `--json=FILE`.
//! - [`pages`]: the commands `man` and `completions`.

pub mod address;
pub mod json;
pub mod pages;
mod read;
pub mod values;

use std::io::{self, ErrorKind, Write};

pub use read::{Stop, Variables, read};

/// The commit that the programs were built from, if it is known.
pub const COMMIT: Option<&str> = option_env!("PROXY_ECHO_COMMIT");

/// The version, with the commit in parentheses if it is known.
pub const VERSION: &str = env!("PROXY_ECHO_VERSION");

/// Prints to standard output. If the reader closes the pipe early, that is not an error.
///
/// # Errors
///
/// Writing failed. A broken pipe is not an error.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
