//! `search`: the highest rate that meets an SLO, by doubling until it is missed and halving what is left.

use std::sync::atomic::{AtomicBool, Ordering};

use super::CommandError;
use super::run::measure;
use crate::cli::SearchArgs;
use crate::plan::{Kind, Plan, PlanError};
use crate::progress::Bar;
use crate::result::{FORMAT, Report, RunResult, SearchResult, SearchStep};
use crate::slo::Slo;

/// Where to begin, in messages a second, if nothing else is said.
const FIRST_RATE: f64 = 1000.0;
/// The most rates that are tried.
const MAX_STEPS: usize = 40;
/// Below that, in messages a second, there is nothing to be found.
const LEAST_RATE: f64 = 1.0;
/// The part of what is offered that must come back.
const ACHIEVED: f64 = 0.99;
/// What is asked for if nothing is.
const DEFAULT_SLO: &str = "p99<10ms,errors=0";

pub(super) fn search(args: &SearchArgs, interrupt: &AtomicBool) -> Result<Report, CommandError> {
    let mut plan = Plan::new(Kind::Rr, &args.target, &args.load)?;
    plan.server_pid = args.server_pid;
    if !(args.precision > 0.0 && args.precision < 1.0) {
        return Err(PlanError::Range("--precision", "more than 0 and less than 1".into()).into());
    }
    let slo = match plan.slo.take() {
        Some(slo) => slo,
        None => Slo::parse(DEFAULT_SLO).map_err(PlanError::from)?,
    };
    plan.slo = Some(slo.clone());
    let bar = Bar::new(args.output.quiet);
    let mut found = Found::default();
    let mut rate = plan.rate.unwrap_or(FIRST_RATE);
    let stopped = loop {
        plan.rate = Some(rate);
        let result = measure(&plan, &bar, &format!("step {} at {rate:.0}/s", found.steps.len() + 1), interrupt)?;
        if interrupt.load(Ordering::Relaxed) {
            break "interrupted".to_owned();
        }
        found.note(rate, result);
        rate = match (found.met_rate(), found.missed_rate) {
            (Some(met), None) => met * 2.0,
            (None, Some(missed)) => missed / 4.0,
            (Some(met), Some(missed)) if missed / met <= 1.0 + args.precision => {
                break format!("the answer is within {:.0}%", args.precision * 100.0);
            }
            // The geometric middle: the search is for a factor.
            (Some(met), Some(missed)) => (met * missed).sqrt(),
            (None, None) => rate / 2.0,
        };
        if found.steps.len() == MAX_STEPS {
            break format!("{MAX_STEPS} steps are the limit");
        }
        if rate < LEAST_RATE {
            break "not even one message a second meets it".to_owned();
        }
    };
    bar.finish();
    Ok(Report::Search(Box::new(SearchResult {
        format: FORMAT,
        slo: slo.text().to_owned(),
        generator_limited: found.is_generator_limited(),
        steps: found.steps,
        best_rate: found.best.as_ref().map(|(rate, _)| *rate),
        best: found.best.map(|(_, result)| result),
        stopped,
    })))
}

/// What is known.
#[derive(Default)]
struct Found {
    steps: Vec<SearchStep>,
    best: Option<(f64, RunResult)>,
    missed_rate: Option<f64>,
    /// Whether the lowest rate that was missed was missed by the generator.
    missed_by_generator: bool,
}

impl Found {
    fn met_rate(&self) -> Option<f64> {
        self.best.as_ref().map(|(rate, _)| *rate)
    }

    fn note(&mut self, rate: f64, result: RunResult) {
        let why = why_missed(rate, &result);
        self.steps.push(SearchStep {
            rate,
            met: why.is_none(),
            figures: result.figures(),
            why: why.clone().unwrap_or_default(),
        });
        if why.is_none() {
            self.best = Some((rate, result));
        } else if self.missed_rate.is_none_or(|missed| rate < missed) {
            self.missed_rate = Some(rate);
            self.missed_by_generator = !result.invalid.is_empty();
        }
    }

    fn is_generator_limited(&self) -> bool {
        self.missed_by_generator
    }
}

/// Why `rate` does not count as met.
fn why_missed(rate: f64, result: &RunResult) -> Option<String> {
    if let Some(why) = result.invalid.first() {
        return Some(format!("INVALID: {why}"));
    }
    let missed = result.slo.as_ref().and_then(|slo| slo.conditions.iter().find(|condition| !condition.met));
    if let Some(condition) = missed {
        return Some(format!("{} was {}", condition.text, condition.measured));
    }
    if result.rate() < rate * ACHIEVED {
        return Some(format!("{:.0} of {rate:.0} messages a second came back", result.rate()));
    }
    None
}
