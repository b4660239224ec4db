//! The results as JSON, as docs/schema/conform-1.json describes it.

use proxy::escape::Hex;
use serde::Serialize;

use super::{Counts, Report};
use crate::conform::case::{Expect, Level, SPECIFICATION, delivery_name};
use crate::conform::exchange::{Heard, Outcome};
use crate::conform::verdict::{Judged, Verdict};

pub(super) fn render(report: &Report<'_>) -> String {
    let versions = [1, 2].into_iter().filter(|&version: &u8| report.versions[usize::from(version) - 1]);
    let document = Document {
        schema: "conform-1",
        program: crate::VERSION,
        specification: SPECIFICATION,
        target: report.args.target.as_deref().unwrap_or_default(),
        address: report.address.to_string(),
        exit_code: report.code(),
        conforms: report.code() == 0,
        seconds: report.time.as_secs_f64(),
        versions: versions.collect(),
        counts: Counts::of(report.judged.iter()),
        cases: report.judged.iter().map(CaseJson::new).collect(),
    };
    // Cannot fail: all keys of its maps are strings.
    serde_json::to_string(&document).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    program: &'static str,
    specification: &'static str,
    target: &'a str,
    address: String,
    exit_code: u8,
    conforms: bool,
    seconds: f64,
    versions: Vec<u8>,
    counts: Counts,
    cases: Vec<CaseJson<'a>>,
}

#[derive(Serialize)]
struct CaseJson<'a> {
    id: String,
    group: &'a str,
    section: &'a str,
    level: Level,
    delivery: String,
    expect: Expect,
    verdict: Verdict,
    /// The receiver's reaction; absent if the case was not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    expected: String,
    happened: String,
    why: String,
    length: usize,
    /// The header's bytes; only the beginning of long ones.
    bytes: String,
}

impl<'a> CaseJson<'a> {
    fn new(judged: &'a Judged) -> Self {
        let job = &judged.job;
        CaseJson {
            id: job.id(),
            group: job.group(),
            section: job.section(),
            level: job.level(),
            delivery: delivery_name(job.delivery),
            expect: job.case.expect,
            verdict: judged.verdict,
            outcome: judged.heard.as_ref().map(outcome),
            expected: judged.expected(),
            happened: judged.happened(),
            why: job.why(),
            length: job.bytes.len(),
            bytes: Hex(&job.bytes).to_string(),
        }
    }
}

fn outcome(heard: &Heard) -> &'static str {
    match (&heard.outcome, &heard.fault) {
        (Outcome::Accepted, None) => "accepted",
        (Outcome::Accepted, Some(_)) => "misread",
        (Outcome::Refused, _) => "refused",
        (Outcome::Closed, _) => "closed",
        (Outcome::Reset, _) => "reset",
        (Outcome::Silent(_), _) => "silent",
        (Outcome::Unreachable(_), _) => "unreachable",
    }
}
