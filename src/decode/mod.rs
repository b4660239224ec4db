//! `proxy-echo decode`: explains a captured header field by field, and its errors.
//!
//! The parser decides whether the header is valid. This module reads the fields, up to the one with the byte at which
//! the parser stopped, and marks that field as wrong.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::DecodeArgs;
use proxy::escape::{Escaped, Hex};
use proxy::{Error, Header, Status};

mod hex;
mod report;
mod ssl;
mod v1;
mod v2;

pub use hex::HexError;

/// The longest input in bytes: many times the longest header, even as a dump.
pub const MAX_INPUT: u64 = 1024 * 1024;

/// An explained input.
#[derive(Debug)]
pub struct Decoded<'a> {
    input: &'a [u8],
    /// The fields in their order, up to the first that is wrong or unfinished.
    pub fields: Vec<Field>,
    /// Whether it is a header.
    pub outcome: Outcome<'a>,
}

/// A field of a header, or the bytes after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The offset of its first byte.
    pub offset: usize,
    /// The number of its bytes in the input.
    pub length: usize,
    /// Its nesting depth: the number of fields that contain it.
    pub depth: usize,
    /// Its name.
    pub name: &'static str,
    /// Its value in words.
    pub value: String,
    /// Whether it makes the header invalid.
    #[serde(rename = "wrong")]
    pub is_wrong: bool,
    /// Whether it breaks the specification in a place that receivers may skip. The header is still valid.
    #[serde(rename = "tolerated")]
    pub is_tolerated: bool,
}

/// Whether an input is a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It begins with a header.
    Valid(Header<'a>),
    /// More bytes can make it a header; their number, if it is known.
    Incomplete(Option<usize>),
    /// It cannot become a header, because of the byte at this offset.
    Invalid(Error, usize),
}

impl<'a> Decoded<'a> {
    /// Explains the header at the start of `input`.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        let outcome = match proxy::parse(input) {
            Ok(Status::Complete(header)) => Outcome::Valid(header),
            Ok(Status::Partial) => Outcome::Incomplete(v2::missing(input)),
            Err(error) => Outcome::Invalid(error, proxy::error_offset(input).unwrap_or(0)),
        };
        let mut fields = Fields { input, list: Vec::new(), outcome };
        match input.first() {
            Some(b'\r') => v2::read(&mut fields),
            Some(_) => v1::read(&mut fields),
            None => {}
        }
        if let Outcome::Valid(header) = outcome
            && let Some(rest) = input.get(header.len()..).filter(|rest| !rest.is_empty())
        {
            let (name, value) = report::describe_rest(rest);
            fields.list.push(Field {
                offset: header.len(),
                length: rest.len(),
                depth: 0,
                name,
                value,
                is_wrong: false,
                is_tolerated: false,
            });
        }
        Decoded { input, fields: fields.list, outcome }
    }
}

/// The fields read so far.
struct Fields<'a> {
    input: &'a [u8],
    list: Vec<Field>,
    outcome: Outcome<'a>,
}

impl<'a> Fields<'a> {
    /// Adds a field of `length` bytes; `describe` turns them into words. Returns whether the field is whole and right,
    /// so that the next one can be read.
    fn add(
        &mut self,
        depth: usize,
        name: &'static str,
        [offset, length]: [usize; 2],
        describe: impl FnOnce(&'a [u8]) -> String,
    ) -> bool {
        let end = (offset + length).min(self.input.len());
        let bytes = &self.input[offset.min(end)..end];
        let is_wrong = matches!(self.outcome, Outcome::Invalid(error, at)
            if error != Error::Crc32cMismatch && (offset..offset + length).contains(&at));
        let is_whole = bytes.len() == length;
        let value = match () {
            () if is_whole || is_wrong => describe(bytes),
            () if bytes.is_empty() => return false,
            () => format!("{} ({} of {length} bytes)", Hex(bytes), bytes.len()),
        };
        self.list.push(Field { offset, length: bytes.len(), depth, name, value, is_wrong, is_tolerated: false });
        is_whole && !is_wrong
    }

    /// Adds a field that breaks the specification without making the header invalid.
    fn tolerate(&mut self, depth: usize, name: &'static str, [offset, length]: [usize; 2], value: String) {
        self.list.push(Field { offset, length, depth, name, value, is_wrong: false, is_tolerated: true });
    }
}

/// The output of `decode`.
#[derive(Debug)]
pub struct Explained {
    /// The table and the verdict, for people.
    pub words: String,
    /// JSON, as docs/schema/decode-1.json describes it.
    pub json: String,
    /// Whether the input begins with a valid header.
    pub is_valid: bool,
}

/// Explains the input that the command line names.
///
/// # Errors
///
/// [`InputError`]: the input cannot be read.
pub fn run(args: &DecodeArgs) -> Result<Explained, InputError> {
    let bytes = match args.hex.as_deref() {
        Some("-") => hex::bytes(&String::from_utf8_lossy(&read(io::stdin())?))?,
        Some(text) => hex::bytes(text)?,
        None if args.file == Path::new("-") => read(io::stdin())?,
        None => {
            let file = File::open(&args.file).map_err(|error| InputError::open(error, &args.file))?;
            read(file).map_err(|error| error.of(&args.file))?
        }
    };
    let input = bytes.get(args.skip..).ok_or(InputError::Skip(bytes.len()))?;
    let decoded = Decoded::new(input);
    let (words, json) = (decoded.to_string(), format!("{}\n", decoded.json()));
    Ok(Explained { words, json, is_valid: matches!(decoded.outcome, Outcome::Valid(_)) })
}

fn read(from: impl Read) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    from.take(MAX_INPUT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_INPUT { Err(InputError::TooLong) } else { Ok(bytes) }
}

/// Why the input cannot be read.
#[derive(Debug)]
pub enum InputError {
    /// Standard input cannot be read.
    Io(io::Error),
    /// The file cannot be read.
    File(PathBuf, io::Error),
    /// The name of the file is a header itself. The text is the command that decodes it.
    HeaderAsFile(String),
    /// More than [`MAX_INPUT`].
    TooLong,
    /// The text is not hexadecimal.
    Hex(HexError),
    /// `--skip` is not below the input's length, given here.
    Skip(usize),
}

impl InputError {
    /// Explains a file that cannot be opened: its name may be meant as the header.
    fn open(error: io::Error, file: &Path) -> Self {
        let name = file.to_string_lossy();
        match &name {
            _ if error.kind() != io::ErrorKind::NotFound => InputError::File(file.to_owned(), error),
            name if name.starts_with("PROXY ") => {
                let line = name.trim_end_matches("\\n").trim_end_matches("\\r").trim_end();
                InputError::HeaderAsFile(format!("printf '{}\\r\\n' | proxy-echo decode", Escaped(line.as_bytes())))
            }
            name if hex::bytes(name).is_ok_and(|bytes| bytes.len() > 1) => {
                InputError::HeaderAsFile(format!("proxy-echo decode --hex '{name}'"))
            }
            _ => InputError::File(file.to_owned(), error),
        }
    }

    /// Adds the file's name to the error.
    fn of(self, file: &Path) -> Self {
        match self {
            InputError::Io(error) => InputError::File(file.to_owned(), error),
            other => other,
        }
    }
}

impl From<io::Error> for InputError {
    fn from(error: io::Error) -> Self {
        InputError::Io(error)
    }
}

impl From<HexError> for InputError {
    fn from(error: HexError) -> Self {
        InputError::Hex(error)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputError::Io(error) => write!(f, "standard input cannot be read: {error}"),
            InputError::File(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
            InputError::HeaderAsFile(command) => {
                write!(
                    f,
                    "the argument is the name of a file, and there is no such file; to decode a header itself: {command}"
                )
            }
            InputError::TooLong => {
                f.write_str("the input is over 1 MiB, and a header is at most 65551 bytes: give its beginning")
            }
            InputError::Hex(error) => error.fmt(f),
            InputError::Skip(length) => write!(f, "--skip leaves nothing of the {length} bytes"),
        }
    }
}

impl std::error::Error for InputError {}
