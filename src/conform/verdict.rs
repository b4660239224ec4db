//! The verdicts: compares the outcome of a case with the specification's rule.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use proxy::escape::Escaped;
use serde::Serialize;

use super::case::{Case, Expect, Job, Level};
use super::exchange::{Heard, Outcome};

/// A verdict on one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Passed,
    /// A MUST is missed.
    MustMissed,
    /// A SHOULD is missed.
    ShouldMissed,
    /// The header was accepted, but with a wrong client or payload.
    Misread,
    /// The specification leaves the outcome open.
    Observed,
    /// Not judged: the receiver does not support the feature under test.
    Skipped,
}

impl Verdict {
    pub(super) fn is_missed(self) -> bool {
        matches!(self, Verdict::MustMissed | Verdict::ShouldMissed | Verdict::Misread)
    }
}

/// A case, its outcome, and the verdict.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) job: Job,
    /// The outcome; `None` if the case was not sent.
    pub(super) heard: Option<Heard>,
    pub(super) verdict: Verdict,
    /// Why it was skipped.
    pub(super) reason: Option<String>,
}

/// The abilities of a receiver.
#[derive(Clone, Debug, Default)]
pub(super) struct Abilities {
    /// Whether it accepts versions 1 and 2.
    pub(super) versions: [bool; 2],
    /// Whether the cases that others depend on were accepted.
    pub(super) accepted: BTreeMap<String, bool>,
}

impl Abilities {
    /// The reason not to judge `case`, if there is one.
    pub(super) fn reason_to_skip(&self, case: &Case) -> Option<String> {
        let is_spoken = |version: u8| self.versions[usize::from(version) - 1];
        if let Some(version) = case.version().filter(|&version| !is_spoken(version)) {
            return Some(format!("version {version} is not accepted here at all"));
        }
        let given = case.given.as_ref()?;
        let is_accepted = self.accepted.get(&given.id).copied()?;
        (is_accepted != given.is_accepted).then(|| {
            format!("{} is {}", given.id, if is_accepted { "accepted" } else { "refused, as the receiver may" })
        })
    }
}

/// The verdict on `job` with the outcome `heard`.
pub(super) fn judge(job: &Job, heard: &Heard) -> Verdict {
    let missed = if job.level() == Level::Must { Verdict::MustMissed } else { Verdict::ShouldMissed };
    match (job.case.expect, &heard.outcome) {
        (Expect::Observe, _) => Verdict::Observed,
        (Expect::Accept, Outcome::Accepted) if heard.fault.is_some() => Verdict::Misread,
        (Expect::Accept, Outcome::Accepted) => Verdict::Passed,
        // A receiver that no longer accepts connections may have crashed on the header.
        (_, Outcome::Unreachable(_)) | (Expect::Accept, _) | (Expect::Reject | Expect::Wait, Outcome::Accepted) => {
            missed
        }
        // "It is recommended to abort the connection as soon as possible" (section 2.1).
        (Expect::Reject, Outcome::Silent(_)) if !job.case.silence_fits => Verdict::ShouldMissed,
        (Expect::Reject | Expect::Wait, _) => Verdict::Passed,
    }
}

impl Judged {
    pub(super) fn new(job: Job, heard: Heard) -> Self {
        let verdict = judge(&job, &heard);
        Judged { job, heard: Some(heard), verdict, reason: None }
    }

    pub(super) fn skipped(job: Job, reason: String) -> Self {
        Judged { job, heard: None, verdict: Verdict::Skipped, reason: Some(reason) }
    }

    /// The expected outcome in words.
    pub(super) fn expected(&self) -> String {
        let word = if self.job.level() == Level::Must { "must" } else { "should" };
        match (self.job.case.expect, self.job.case.client) {
            (Expect::Accept, Some(client)) => format!("it {word} be accepted, and the client is {client}"),
            (Expect::Accept, None) => format!("it {word} be accepted"),
            (Expect::Reject, _) => format!("it {word} be refused, and the connection closed"),
            (Expect::Wait, _) => "it must not be served".to_owned(),
            (Expect::Observe, _) => "the specification leaves it open".to_owned(),
        }
    }

    /// The outcome in words.
    pub(super) fn happened(&self) -> String {
        match (&self.heard, &self.reason) {
            (Some(heard), _) => heard.to_string(),
            (None, Some(reason)) => reason.clone(),
            (None, None) => String::new(),
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 160;
        match (&self.outcome, &self.fault) {
            (Outcome::Accepted, Some(fault)) => write!(f, "accepted, but misread: {fault}")?,
            (Outcome::Accepted, None) => f.write_str("accepted")?,
            (Outcome::Refused, _) => f.write_str("refused by its answer")?,
            (Outcome::Closed, _) => f.write_str("closed")?,
            (Outcome::Reset, _) => f.write_str("reset")?,
            (Outcome::Silent(time), _) => write!(f, "silence for {}", Seconds(*time))?,
            (Outcome::Unreachable(error), _) => write!(f, "no connection: {error}")?,
        }
        if self.answer.is_empty() {
            return Ok(());
        }
        let more = if self.answer.len() > SHOWN { "..." } else { "" };
        write!(f, "; the answer: \"{}\"{more}", Escaped(&self.answer[..self.answer.len().min(SHOWN)]))
    }
}

/// Displays seconds, with as many decimals as needed.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", (self.0.as_secs_f64() * 1000.0).round() / 1000.0)
    }
}
