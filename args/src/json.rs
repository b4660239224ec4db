//! Where JSON is written: `--json` alone means standard output, `--json=FILE` a file.
//!
//! ```
//! use clap::Parser;
//! use proxy_echo_args::json::Json;
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
//!     #[arg(default_value = "false", hide_default_value = true)]
//!     json: Json,
//! }
//!
//! assert_eq!(Cli::parse_from(["program"]).json, Json::Off);
//! assert_eq!(Cli::parse_from(["program", "--json"]).json, Json::Stdout);
//! assert_eq!(Cli::parse_from(["program", "--json=x.json"]).json, Json::File("x.json".into()));
//! ```

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use crate::print;

/// Whether JSON is wanted, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// Not wanted.
    #[default]
    Off,
    /// On standard output, in place of words.
    Stdout,
    /// In a file.
    File(PathBuf),
}

/// `-` is standard output. As for the variable of a flag, `true` and its synonyms turn it on, `false` and its synonyms off.
impl FromStr for Json {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "-" | "true" | "yes" | "on" | "1" => Json::Stdout,
            "" | "false" | "no" | "off" | "0" => Json::Off,
            _ => Json::File(text.into()),
        })
    }
}

impl Json {
    /// Whether to print words: yes, unless JSON takes their place on standard output.
    #[must_use]
    pub fn has_words(&self) -> bool {
        *self != Json::Stdout
    }

    /// Writes `text` to standard output or the file; nothing if JSON is not wanted.
    ///
    /// # Errors
    ///
    /// Writing failed. A broken pipe is not an error.
    pub fn write(&self, text: &[u8]) -> io::Result<()> {
        match self {
            Json::Off => Ok(()),
            Json::Stdout => print(text),
            Json::File(path) => fs::write(path, text).map_err(|error| {
                io::Error::new(error.kind(), format!("{} cannot be written: {error}", path.display()))
            }),
        }
    }
}

/// The new spelling, if a file follows a bare `--json` in `args` as it did in earlier versions.
pub(crate) fn old_spelling(args: &[OsString]) -> Option<String> {
    let options = args.split(|arg| arg == "--").next()?;
    let pair = options.windows(2).find(|pair| pair[0] == "--json" && is_file(&pair[1]))?;
    let file = pair[1].to_string_lossy();
    Some(match file.as_ref() {
        "-" => "--json alone writes to standard output: leave out the -".to_owned(),
        _ => format!("--json takes a file after an equals sign: --json={file}"),
    })
}

fn is_file(arg: &OsString) -> bool {
    arg == "-" || arg.to_string_lossy().ends_with(".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_spelling_is_seen() {
        let old = |args: &[&str]| old_spelling(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(old(&["p", "--json", "x.json"]).is_some_and(|words| words.ends_with(": --json=x.json")));
        assert!(old(&["p", "--json", "-"]).is_some_and(|words| words.contains("leave out the -")));
        for fine in
            [&["p", "--json"][..], &["p", "--json=x.json"], &["p", "--json", "host:1"], &["p", "--", "--json", "-"]]
        {
            assert_eq!(old(fine), None, "{fine:?}");
        }
    }
}
