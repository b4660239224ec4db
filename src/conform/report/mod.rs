//! The results: for people, for programs, and for CI systems.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use proxy_echo_args::json::Json;

use super::Error;
use super::verdict::{Judged, Verdict};
use crate::cli::ConformArgs;

mod json;
mod junit;
mod text;

/// The results of a run.
pub(super) struct Report<'a> {
    pub(super) args: &'a ConformArgs,
    pub(super) address: SocketAddr,
    /// Whether versions 1 and 2 are accepted.
    pub(super) versions: [bool; 2],
    pub(super) judged: Vec<Judged>,
    pub(super) time: Duration,
}

/// The number of cases with each verdict.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
struct Counts {
    passed: usize,
    must_missed: usize,
    should_missed: usize,
    misread: usize,
    observed: usize,
    skipped: usize,
}

impl Counts {
    fn of<'a>(judged: impl Iterator<Item = &'a Judged>) -> Counts {
        let mut counts = Counts::default();
        for judged in judged {
            *match judged.verdict {
                Verdict::Passed => &mut counts.passed,
                Verdict::MustMissed => &mut counts.must_missed,
                Verdict::ShouldMissed => &mut counts.should_missed,
                Verdict::Misread => &mut counts.misread,
                Verdict::Observed => &mut counts.observed,
                Verdict::Skipped => &mut counts.skipped,
            } += 1;
        }
        counts
    }
}

impl Report<'_> {
    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        u8::from(self.judged.iter().any(|judged| self.is_failed(judged)))
    }

    /// Whether the case shows that the receiver does not conform.
    fn is_failed(&self, judged: &Judged) -> bool {
        match judged.verdict {
            Verdict::MustMissed | Verdict::Misread => true,
            Verdict::ShouldMissed => self.args.strict,
            _ => false,
        }
    }

    /// Writes all outputs that the command line asks for.
    pub(super) fn write(&self, out: &mut impl Write) -> Result<(), Error> {
        if let Some(path) = &self.args.junit {
            fs::write(path, junit::render(self))?;
        }
        if self.args.json != Json::Off {
            self.args.json.write(json::render(self).as_bytes())?;
        }
        if !self.args.json.has_words() {
            return Ok(());
        }
        match text::print(self, out) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The groups in their order, each with its cases.
    fn groups(&self) -> Vec<(&str, Vec<&Judged>)> {
        let mut groups: Vec<(&str, Vec<&Judged>)> = Vec::new();
        for judged in &self.judged {
            let name = judged.job.group();
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, members)) => members.push(judged),
                None => groups.push((name, vec![judged])),
            }
        }
        groups
    }
}
