//! `search`: finds the highest rate that meets an SLO. It doubles the rate until the SLO is missed, then halves the
//! interval. Only conclusive probes count: one that is INVALID or has too few samples is repeated, and never bounds the
//! answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::CommandError;
use super::run::measure;
use crate::cli::SearchArgs;
use crate::format::number;
use crate::judge;
use crate::plan::{Kind, Plan, PlanError};
use crate::progress::Bar;
use crate::result::{FORMAT, INTERRUPTED, Report, RunResult, SearchResult, SearchStep};
use crate::slo::Slo;

/// Most rates to try.
const MAX_STEPS: usize = 40;
/// The lowest rate to try, in messages a second.
const LEAST_RATE: f64 = 1.0;
/// The default SLO.
const DEFAULT_SLO: &str = "p99<10ms,errors=0";
/// Most probes of one rate. A rate that misses the SLO only by chance seldom does so twice.
const MAX_TRIES: u32 = 5;
/// If probes inside the interval are inconclusive, it may be this many times as wide as the wanted precision.
const WIDER: f64 = 2.0;
/// A repeated probe is at most this many times as long.
const MAX_STRETCH: u32 = 3;
/// A target that answers less than this share of the rate did not miss by chance.
const FAR_BELOW: f64 = 0.8;
/// To have enough samples, a probe may last this many times as long as asked for.
const MAX_LONGER: u32 = 10;
/// A probe may always last this long.
const MAX_PROBE: Duration = Duration::from_secs(60);

pub(super) fn search(args: &SearchArgs, interrupt: &AtomicBool) -> Result<Report, CommandError> {
    let mut plan = Plan::new(Kind::Rr, &args.target, &args.load)?;
    plan.server_pid = args.server_pid;
    if !(args.precision > 0.0 && args.precision < 1.0) {
        return Err(PlanError::Range("--precision", "more than 0 and less than 1".into()).into());
    }
    if plan.rate.is_some() {
        return Err(PlanError::Range("--rate", "search finds it; where it begins is --first-rate".into()).into());
    }
    plan.rate = Some(args.first_rate);
    plan.check()?;
    let slo = match plan.slo.take() {
        Some(slo) => slo,
        None => Slo::parse(DEFAULT_SLO).map_err(PlanError::from)?,
    };
    plan.slo = Some(slo.clone());
    let bar = Bar::new(args.output.quiet);
    let mut search = Search { plan, bar, slo, interrupt, found: Found::default() };
    let end = search.run(args.first_rate, args.precision)?;
    search.bar.finish();
    Ok(Report::Search(Box::new(search.found.result(&search.plan.target_text(), search.slo.text(), end))))
}

/// The end of a search in words, and whether the answer is known.
enum End {
    Known(String),
    Unknown(String),
}

/// The proof for a rate.
enum Proof {
    Met(Box<RunResult>),
    /// The SLO was missed, with the achieved rate.
    Missed(f64),
    Nothing {
        why: String,
        by_generator: bool,
    },
    Interrupted,
}

struct Search<'a> {
    plan: Plan,
    bar: Bar,
    slo: Slo,
    interrupt: &'a AtomicBool,
    found: Found,
}

impl Search<'_> {
    fn run(&mut self, first_rate: f64, precision: f64) -> Result<End, CommandError> {
        let mut rate = first_rate;
        loop {
            match self.prove(rate)? {
                Proof::Met(result) => self.found.best = Some((rate, *result)),
                Proof::Missed(achieved) => {
                    self.found.missed = Some((rate, achieved));
                    // Higher rates need no proof any more.
                    self.found.unproven = None;
                }
                Proof::Nothing { why, by_generator } => self.found.unproven = Some((rate, why, by_generator)),
                Proof::Interrupted => return Ok(End::Unknown(INTERRUPTED.to_owned())),
            }
            match self.found.next(rate, precision) {
                Ok(next) => rate = next,
                Err(end) => return Ok(end),
            }
            if self.found.steps.len() >= MAX_STEPS {
                return Ok(End::Unknown(format!("{MAX_STEPS} probes are the limit")));
            }
        }
    }

    /// Probes `rate` until the result is conclusive, longer if samples are too few. A miss counts if it is clear or
    /// seen twice.
    fn prove(&mut self, rate: f64) -> Result<Proof, CommandError> {
        let asked = self.plan.duration;
        let most = (asked * MAX_LONGER).max(MAX_PROBE);
        let (mut misses, mut last) = (0, Proof::Interrupted);
        for attempt in 1..=MAX_TRIES {
            let samples_s = self.slo.samples_needed() / rate * 1.02;
            // A probe that the generator spoiled is also repeated for longer.
            let longer = Duration::from_secs_f64(samples_s.min(most.as_secs_f64())).max(asked);
            let longer = if matches!(last, Proof::Nothing { .. }) {
                (longer * attempt.min(MAX_STRETCH)).min(most)
            } else {
                longer
            };
            self.plan.rate = Some(rate);
            self.plan.duration = longer;
            let what = format!("step {} at {}/s", self.found.steps.len() + 1, number(rate));
            let result = measure(&self.plan, &self.bar, &what, self.interrupt);
            self.plan.duration = asked;
            let result = result?;
            if self.interrupt.load(Ordering::Relaxed) {
                return Ok(Proof::Interrupted);
            }
            let (met, why) = judged(&result);
            if met == Some(false)
                && why.starts_with("errors")
                && let Some(words) = judge::dead_address(&result.by_address)
            {
                let slo = self.slo.text();
                return Err(CommandError::Failed(format!(
                    "{words}; with it no rate meets '{slo}': leave it out, or let --slo allow errors"
                )));
            }
            self.found.steps.push(SearchStep {
                rate,
                met,
                measured_s: result.measured_s,
                figures: result.figures(),
                why: why.clone(),
            });
            let achieved = result.rate().unwrap_or(0.0);
            last = match met {
                Some(true) => return Ok(Proof::Met(Box::new(result))),
                Some(false) => {
                    misses += 1;
                    if misses == 2 || achieved < rate * FAR_BELOW {
                        return Ok(Proof::Missed(achieved));
                    }
                    Proof::Nothing {
                        why: "one probe missed the SLO, and no other confirms it".to_owned(),
                        by_generator: false,
                    }
                }
                // A further probe would not have more samples than the longest one.
                None if result.invalid.is_empty() && longer == most => {
                    return Ok(Proof::Nothing { why, by_generator: false });
                }
                None => Proof::Nothing { why, by_generator: !result.invalid.is_empty() },
            };
        }
        Ok(last)
    }
}

/// Whether a probe met its SLO; if not, or if that is unknown, why.
fn judged(result: &RunResult) -> (Option<bool>, String) {
    if let Some(why) = result.invalid.first() {
        return (None, format!("INVALID: {why}"));
    }
    let conditions = result.slo.iter().flat_map(|slo| &slo.conditions);
    let (mut missed, mut unknown) = (None, None);
    for condition in conditions {
        let words = format!("{}: {}", condition.text, condition.measured);
        match condition.met {
            Some(true) => {}
            Some(false) => missed = missed.or(Some(words)),
            None => unknown = unknown.or(Some(words)),
        }
    }
    let limit = result.achieved.as_ref().and_then(|achieved| {
        let limit = achieved.limit.as_ref()?;
        Some(format!("{}/s came back: {limit}", number(achieved.achieved_per_s)))
    });
    match (missed.or(limit), unknown) {
        (Some(why), _) => (Some(false), [why].iter().chain(&result.hints).cloned().collect::<Vec<_>>().join("; ")),
        (None, Some(why)) => (None, why),
        (None, None) => (Some(true), String::new()),
    }
}

/// The results so far.
#[derive(Default)]
struct Found {
    steps: Vec<SearchStep>,
    best: Option<(f64, RunResult)>,
    /// The lowest rate that missed, and the achieved rate.
    missed: Option<(f64, f64)>,
    /// The lowest rate without a conclusive probe, the reason, and whether the generator was the reason.
    unproven: Option<(f64, String, bool)>,
}

impl Found {
    /// The next rate to try after `rate`, or how the search ends.
    fn next(&self, rate: f64, precision: f64) -> Result<f64, End> {
        let met = self.best.as_ref().map(|(rate, _)| *rate);
        let upper = [self.missed.map(|(rate, _)| rate), self.unproven.as_ref().map(|(rate, ..)| *rate)];
        let upper = upper.into_iter().flatten().reduce(f64::min);
        let next = match (met, upper) {
            (Some(met), Some(upper)) if upper / met <= 1.0 + precision => return Err(self.end(met, upper, precision)),
            // The geometric mean, because precision is relative.
            (Some(met), Some(upper)) => (met * upper).sqrt(),
            (Some(met), None) => met * 2.0,
            (None, Some(upper)) => {
                let achieved = self.missed.filter(|(missed, _)| *missed <= upper).map_or(0.0, |(_, achieved)| achieved);
                (achieved * 0.9).clamp(upper / 4.0, upper / 1.5)
            }
            (None, None) => rate / 2.0,
        };
        if next < LEAST_RATE {
            return Err(match &self.unproven {
                Some((rate, why, _)) => End::Unknown(format!("at {}/s {why}", number(*rate))),
                None => End::Known(format!("not even {}/s meets it", number(rate))),
            });
        }
        Ok(next)
    }

    /// Ends the search, because `met` and `upper` are close enough.
    fn end(&self, met: f64, upper: f64, precision: f64) -> End {
        let Some((unproven, why, _)) = self.unproven.as_ref().filter(|(unproven, ..)| *unproven <= upper) else {
            return End::Known(self.between(met, upper));
        };
        match self.missed {
            // If a rate that is known to miss is close enough, the answer is known with less precision.
            Some((missed, _)) if missed / met <= 1.0 + precision * WIDER => {
                End::Known(format!("{}; nothing nearer is proved: {why}", self.between(met, missed)))
            }
            _ => {
                let (met, unproven) = (number(met), number(*unproven));
                End::Unknown(format!("{met}/s meets it, and whether {unproven}/s does is not known: {why}"))
            }
        }
    }

    /// The interval in words, with the probes that prove its ends.
    fn between(&self, met: f64, missed: f64) -> String {
        let probe = |wanted: f64, met| {
            let is_it = |step: &SearchStep| step.rate.to_bits() == wanted.to_bits() && step.met == Some(met);
            self.steps.iter().rposition(is_it).map_or(0, |index| index + 1)
        };
        let (proof, disproof) = (probe(met, true), probe(missed, false));
        let (met, missed) = (number(met), number(missed));
        format!("between {met}/s (met, probe {proof}) and {missed}/s (missed, probe {disproof})")
    }

    fn result(self, target: &str, slo: &str, end: End) -> SearchResult {
        let (stopped, unknown) = match end {
            End::Known(words) => (words, None),
            End::Unknown(why) => (format!("unknown, because {why}"), Some(why)),
        };
        let is_above = |rate: f64| self.best.as_ref().is_none_or(|(best, _)| rate > *best);
        SearchResult {
            format: FORMAT,
            target: target.to_owned(),
            slo: slo.to_owned(),
            signal: None,
            verdict: None,
            generator_limited: unknown.is_some()
                && self.unproven.as_ref().is_some_and(|(.., by_generator)| *by_generator),
            missed_rate: self.missed.map(|(rate, _)| rate).filter(|&rate| is_above(rate)),
            steps: self.steps,
            best_rate: self.best.as_ref().map(|(rate, _)| *rate),
            best: self.best.map(|(_, result)| result),
            unknown,
            stopped,
        }
    }
}
