//! Whether figures may be used, and what a run comes to.

use std::process::ExitCode;

use crate::plan::Plan;
use crate::result::{Report, RunResult};

/// The most of a core that a thread may use: beyond, messages wait for the generator.
const MAX_CPU: f64 = 0.9;
/// The part of what was due that may stay unsent though it could have been sent.
const MAX_WITHHELD: f64 = 0.01;
/// Pressure and steal that are worth a word.
const NOTABLE: f64 = 0.05;

/// What the program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Fine,
    /// The SLO was missed, verification failed, or connections or messages were lost.
    Failed,
    /// What was asked for makes no sense or cannot be done here.
    Usage,
    /// The generator was the limit.
    Invalid,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        ExitCode::from(match verdict {
            Verdict::Fine => 0,
            Verdict::Failed => 1,
            Verdict::Usage => 2,
            Verdict::Invalid => 3,
        })
    }
}

/// Fills in why `result` is invalid, what is worth a note, and whether the SLO is met. `withheld` messages were not sent
/// though they could have been.
pub fn judge(result: &mut RunResult, plan: &Plan, withheld: u64) {
    for (index, share) in result.generator.thread_cpu.iter().enumerate() {
        if *share > MAX_CPU {
            let percent = share * 100.0;
            result.invalid.push(format!(
                "generator thread {index} used {percent:.0}% of a core, over 90%: give it more threads (-t) or less load"
            ));
        }
    }
    let bound_ns = plan.max_lag.as_nanos() as u64;
    let lag = &result.generator.lag;
    let lag_ns = lag.percentile_ns(99.0).unwrap_or_else(|| lag.max_ns());
    if lag_ns > bound_ns {
        let (late, bound) = (lag_ns as f64 / 1e6, bound_ns as f64 / 1e6);
        result.invalid.push(format!(
            "1% of the messages were sent {late:.1} ms late or more (bound {bound} ms, --max-lag): try --spin or --pin"
        ));
    }
    let offered = plan.rate.unwrap_or(0.0) * result.measured_s;
    if withheld as f64 > offered * MAX_WITHHELD && withheld > 1 {
        result.invalid.push(format!("{withheld} messages were due and not sent although connections were free"));
    }
    note(result);
    result.slo = plan.slo.as_ref().map(|slo| slo.judge(result));
}

fn note(result: &mut RunResult) {
    let totals = &result.totals;
    let missing = totals.requests_unanswered + totals.requests_unsent;
    let mut notes = Vec::new();
    if missing > 0 {
        notes.push(format!(
            "{missing} messages have no latency ({} unanswered, {} never sent for want of a free connection): \
             the true percentiles are higher",
            totals.requests_unanswered, totals.requests_unsent
        ));
    }
    let environment = &result.environment;
    if environment.steal > NOTABLE {
        notes.push(format!("other guests took {:.0}% of the machine's time", environment.steal * 100.0));
    }
    if environment.cpu_pressure.is_some_and(|share| share > NOTABLE * 4.0) {
        let share = environment.cpu_pressure.unwrap_or(0.0) * 100.0;
        notes.push(format!("tasks waited for a core {share:.0}% of the time: generator and server may share cores"));
    }
    if environment.listen_overflows > 0 {
        notes.push(format!("{} connects met a full accept queue", environment.listen_overflows));
    }
    result.notes = notes;
}

/// What a run comes to.
#[must_use]
pub fn verdict_of_run(result: &RunResult) -> Verdict {
    if !result.invalid.is_empty() {
        Verdict::Invalid
    } else if result.totals.errors() > 0 || result.slo.as_ref().is_some_and(|slo| !slo.met) {
        Verdict::Failed
    } else {
        Verdict::Fine
    }
}

/// What a measurement comes to.
#[must_use]
pub fn verdict(report: &Report) -> Verdict {
    match report {
        Report::Run(result) => verdict_of_run(result),
        Report::Compare(result) if !result.invalid.is_empty() => Verdict::Invalid,
        Report::Compare(result) if result.a.totals.errors() + result.b.totals.errors() > 0 => Verdict::Failed,
        Report::Search(result) if result.generator_limited => Verdict::Invalid,
        Report::Search(result) if result.best_rate.is_none() => Verdict::Failed,
        Report::Compare(_) | Report::Search(_) => Verdict::Fine,
    }
}
