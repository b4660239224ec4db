//! The tree for people: one line per group, and below it the missed cases, with what was expected and what happened.

use std::io::{self, Write};

use proxy::escape::Hex;

use super::{Counts, Report};
use crate::conform::verdict::{Judged, Seconds, Verdict};
use crate::decode::Decoded;

/// Headers longer than this, in bytes, are not explained: their beginning shows nothing that the sentence does not say.
const EXPLAINED: usize = 1024;

pub(super) fn print(report: &Report<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}\n", report.address)?;
    let mut heading = "";
    for (name, members) in report.groups() {
        let above = heading_of(name);
        if above != heading {
            writeln!(out, "{above}")?;
            heading = above;
        }
        let sections = sections(&members);
        let counts = Counts::of(members.iter().copied());
        writeln!(out, "  {} {name} ({sections}): {}", mark_of(&counts), words(&counts))?;
        for judged in members {
            if report.args.verbose || judged.verdict.is_missed() {
                one(judged, out)?;
            }
        }
    }
    writeln!(out, "\n{}", summary(report))
}

fn one(judged: &Judged, out: &mut impl Write) -> io::Result<()> {
    let (job, verdict) = (&judged.job, judged.verdict);
    writeln!(out, "    {} {}: {}", mark(verdict), job.id(), label(verdict))?;
    if !verdict.is_missed() {
        return writeln!(out, "        {}", judged.happened());
    }
    writeln!(out, "        section {}: {}", job.section(), job.why())?;
    writeln!(out, "        expected: {}", judged.expected())?;
    writeln!(out, "        happened: {}", judged.happened())?;
    if job.bytes.is_empty() {
        return writeln!(out, "        sent: no header");
    }
    writeln!(out, "        sent: {}", Hex(&job.bytes))?;
    if job.bytes.len() <= EXPLAINED {
        let explained = Decoded::new(&job.bytes).to_string();
        for line in explained.lines().filter(|line| !line.is_empty()) {
            writeln!(out, "          {line}")?;
        }
    }
    Ok(())
}

/// The title in the specification, shown above a group.
fn heading_of(group: &str) -> &'static str {
    match group.get(..2) {
        Some("v1") => "2.1. Human-readable header format (Version 1)",
        Some("v2") => "2.2. Binary header format (Version 2)",
        _ => "2. The PROXY protocol header",
    }
}

/// The sections of a group's cases.
fn sections(members: &[&Judged]) -> String {
    let mut sections: Vec<&str> = members.iter().map(|judged| judged.job.section()).collect();
    sections.sort_unstable();
    sections.dedup();
    match sections[..] {
        [one] => format!("section {one}"),
        _ => format!("sections {}", sections.join(", ")),
    }
}

fn mark_of(counts: &Counts) -> char {
    match counts {
        Counts { must_missed: 1.., .. } | Counts { misread: 1.., .. } => '✗',
        Counts { should_missed: 1.., .. } => '!',
        Counts { passed: 0, .. } => '-',
        _ => '✓',
    }
}

fn mark(verdict: Verdict) -> char {
    match verdict {
        Verdict::Passed => '✓',
        Verdict::MustMissed | Verdict::Misread => '✗',
        Verdict::ShouldMissed => '!',
        Verdict::Observed | Verdict::Skipped => '-',
    }
}

fn label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::MustMissed => "MUST missed",
        Verdict::ShouldMissed => "SHOULD missed",
        Verdict::Misread => "MISREAD",
        Verdict::Observed => "observed",
        Verdict::Skipped => "skipped",
    }
}

fn words(counts: &Counts) -> String {
    let named = [
        (counts.passed, "passed"),
        (counts.must_missed, "MUST missed"),
        (counts.should_missed, "SHOULD missed"),
        (counts.misread, "misread"),
        (counts.observed, "observed"),
        (counts.skipped, "skipped"),
    ];
    let named: Vec<String> =
        named.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    named.join(", ")
}

fn summary(report: &Report<'_>) -> String {
    let counts = Counts::of(report.judged.iter());
    let versions = match report.versions {
        [true, true] => "accepts versions 1 and 2",
        [true, false] => "accepts version 1 only",
        [false, true] => "accepts version 2 only",
        [false, false] => "accepts no version",
    };
    let verdict = match (report.code(), counts.should_missed) {
        (0, 0) => "conforms",
        (0, _) => "conforms, but misses what should be",
        _ => "does not conform",
    };
    format!("{} cases in {}: {}\n{versions}; {verdict}", report.judged.len(), Seconds(report.time), words(&counts))
}
