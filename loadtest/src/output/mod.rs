//! Writes a finished measurement to the outputs asked for: standard output, files, a page.

mod contents;
mod document;
mod hgrm;
mod hlog;
mod html;
mod text;
mod timeline;
mod words;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use proxy_echo_args::json::Json;

use crate::cli::OutputArgs;
use crate::result::{FORMAT, LETTERS, Report, RunResult};

/// Checks that the files of `outputs` can be written. Call it before a long measurement.
///
/// # Errors
///
/// A file cannot be written.
pub fn check(outputs: &OutputArgs) -> Result<(), OutputError> {
    let paths = paths(outputs);
    if paths.iter().filter(|path| is_stdout(path)).count() > 1 {
        return Err(OutputError::TwoOnStdout);
    }
    for path in &paths {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let found = directory.map_or(Ok(()), |directory| directory.read_dir().map(drop));
        found.map_err(|error| OutputError::Write(path.clone(), error))?;
        if path.is_dir() {
            return Err(OutputError::Write(path.clone(), io::ErrorKind::IsADirectory.into()));
        }
    }
    Ok(())
}

/// Whether standard output gets the table.
#[must_use]
pub fn has_table(outputs: &OutputArgs) -> bool {
    !outputs.quiet && !paths(outputs).iter().any(|path| is_stdout(path))
}

fn paths(outputs: &OutputArgs) -> Vec<PathBuf> {
    let others = [&outputs.hgrm, &outputs.hlog, &outputs.html].into_iter().flatten().cloned();
    [&outputs.json, &outputs.live].into_iter().filter_map(json_path).chain(others).collect()
}

fn json_path(json: &Json) -> Option<PathBuf> {
    match json {
        Json::Off => None,
        Json::Stdout => Some(STDOUT.into()),
        Json::File(path) => Some(path.clone()),
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new(STDOUT)
}

/// Shows `report` and writes the files of `outputs`. `is_terminal` says whether standard output is a terminal.
///
/// The table comes first, so that a full disk cannot lose the figures. Every file is tried, even after one has failed.
/// For the path `-`, standard output gets that format instead of the table.
///
/// # Errors
///
/// The first error. A closed standard output is not an error.
pub fn write_all(report: &Report, outputs: &OutputArgs, is_terminal: bool) -> Result<(), OutputError> {
    let mut written = Vec::new();
    if has_table(outputs) {
        let is_coloured = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        written.push(write(Path::new(STDOUT), |out| text::write(out, &contents::of_report(report), is_coloured)));
    }
    if let Some(path) = json_path(&outputs.json) {
        written.push(write(&path, |out| json(out, report)));
    }
    if let Some(path) = &outputs.hgrm {
        written.push(write_hgrm(path, report));
    }
    if let Some(path) = &outputs.hlog {
        let sides = sides(report);
        let has_run = if sides.is_empty() { Err(OutputError::NoRun(path.clone())) } else { Ok(()) };
        written.push(has_run.and_then(|()| write(path, |out| hlog::write(out, &sides))));
    }
    if let Some(path) = &outputs.html {
        written.push(write(path, |out| out.write_all(html::page(report)?.as_bytes())));
    }
    written.into_iter().collect()
}

/// Reads the JSON file of an earlier measurement.
///
/// # Errors
///
/// The file cannot be read, is not a result, or has a later format.
pub fn read_report(path: &Path) -> Result<Report, OutputError> {
    let text = std::fs::read(path).map_err(|error| OutputError::Read(path.to_owned(), error))?;
    let report = serde_json::from_slice(&text).map_err(|error| OutputError::NoReport(path.to_owned(), error))?;
    let format = match &report {
        Report::Run(result) => result.format,
        Report::Compare(result) => result.format,
        Report::Search(result) => result.format,
        Report::Beside(result) => result.format,
    };
    if format > FORMAT { Err(OutputError::TooNew(path.to_owned(), format)) } else { Ok(report) }
}

/// The path that is standard output.
const STDOUT: &str = "-";

/// The result of one target, or one of several runs.
struct Side<'a> {
    /// `None` if it is the only one.
    letter: Option<&'static str>,
    /// The letter that names it among others.
    name: &'a str,
    /// The JSON pointer to it in the report's JSON.
    pointer: String,
    result: &'a RunResult,
}

fn sides(report: &Report) -> Vec<Side<'_>> {
    fn side<'a>(letter: Option<&'static str>, pointer: &str, result: &'a RunResult) -> Side<'a> {
        Side { letter, name: &result.settings.target, pointer: pointer.to_owned(), result }
    }
    match report {
        Report::Run(result) => vec![side(None, "", result)],
        Report::Compare(result) => vec![side(Some("A"), "/a", &result.a), side(Some("B"), "/b", &result.b)],
        Report::Search(result) => result.best.iter().map(|best| side(None, "/best", best)).collect(),
        Report::Beside(result) => {
            let pointers = (0..).map(|index| format!("/runs/{index}/result"));
            let all = result.runs.iter().zip(LETTERS).zip(pointers);
            all.map(|((run, letter), pointer)| Side {
                letter: Some(letter),
                name: &run.name,
                pointer,
                result: &run.result,
            })
            .collect()
        }
    }
}

fn json(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    out.write_all(b"\n")
}

/// The format has one distribution per file: two targets give two files, `x.a.hgrm` and `x.b.hgrm`.
fn write_hgrm(path: &Path, report: &Report) -> Result<(), OutputError> {
    match sides(report).as_slice() {
        [] => Err(OutputError::NoRun(path.to_owned())),
        [side] => write(path, |out| hgrm::write(out, side.result)),
        all if path == Path::new(STDOUT) => {
            write(path, |out| all.iter().try_for_each(|side| hgrm::write(out, side.result)))
        }
        all => all.iter().try_for_each(|side| {
            write(&path_of_side(path, side.letter.unwrap_or_default()), |out| hgrm::write(out, side.result))
        }),
    }
}

fn path_of_side(path: &Path, letter: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".");
    name.push(letter.to_ascii_lowercase());
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
    let failed = |error| OutputError::Write(path.to_owned(), error);
    if path == Path::new(STDOUT) {
        let mut out = BufWriter::new(io::stdout().lock());
        return match content(&mut out).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(failed),
        };
    }
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    content(&mut out).and_then(|()| out.flush()).map_err(failed)
}

/// Why an output was not written.
#[derive(Debug)]
pub enum OutputError {
    /// The file cannot be written.
    Write(PathBuf, io::Error),
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// The file is not a result of loadtest.
    NoReport(PathBuf, serde_json::Error),
    /// The file has a later format than this program knows.
    TooNew(PathBuf, u32),
    /// A search that found no rate has no latencies.
    NoRun(PathBuf),
    /// Two outputs would be mixed on standard output.
    TwoOnStdout,
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputError::Write(path, error) if path == Path::new(STDOUT) => {
                write!(f, "cannot write to standard output: {error}")
            }
            OutputError::Write(path, error) => write!(f, "cannot write {}: {error}", path.display()),
            OutputError::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            OutputError::NoReport(path, error) => write!(f, "{} is no result of loadtest: {error}", path.display()),
            OutputError::TooNew(path, format) => {
                write!(f, "{} has format {format}, this loadtest knows up to {FORMAT}", path.display())
            }
            OutputError::NoRun(path) => {
                write!(f, "{} is not written: no rate met the SLO, so there are no latencies", path.display())
            }
            OutputError::TwoOnStdout => {
                f.write_str("only one of --json, --hgrm, --hlog and --html can go to standard output")
            }
        }
    }
}

impl std::error::Error for OutputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OutputError::Write(_, error) | OutputError::Read(_, error) => Some(error),
            OutputError::NoReport(_, error) => Some(error),
            OutputError::TooNew(..) | OutputError::NoRun(_) | OutputError::TwoOnStdout => None,
        }
    }
}

#[cfg(test)]
mod tests;
