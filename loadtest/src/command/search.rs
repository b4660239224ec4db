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
use crate::result::{
    Curve, CurvePoint, FORMAT, INTERRUPTED, Report, RunResult, SearchResult, SearchStep, percentile_name,
};
use crate::slo::Slo;

/// Most rates to try.
const MAX_STEPS: usize = 40;
/// The lowest rate to try, in messages a second.
const LEAST_RATE: f64 = 1.0;
/// The default SLO.
const DEFAULT_SLO: &str = "p99<10ms,errors=0";
/// Most probes of one rate. A rate that misses the SLO only by chance seldom does so twice.
const MAX_TRIES: u32 = 5;
/// Most returns to a rate whose probes the generator spoiled, before that rate bounds the answer.
const MAX_RETURNS: u32 = 3;
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
    if plan.stages.is_some() {
        return Err(
            PlanError::Range("--stages", "search finds the rate; where it begins is --first-rate".into()).into()
        );
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
    let bar = Bar::new(&args.output);
    let mut search = Search { plan, bar, slo, interrupt, found: Found::default(), best: None, curve: Vec::new() };
    let end = search.run(args.first_rate, args.precision)?;
    search.bar.finish();
    Ok(Report::Search(Box::new(search.result(end))))
}

/// The end of a search in words, and whether the answer is known.
enum End {
    Known(String),
    Unknown(String),
}

/// The proof for a rate.
enum Proof {
    Met,
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
    /// The run at the highest rate that met the SLO.
    best: Option<RunResult>,
    /// The latencies of the probes.
    curve: Vec<CurvePoint>,
}

impl Search<'_> {
    fn run(&mut self, first_rate: f64, precision: f64) -> Result<End, CommandError> {
        let mut rate = first_rate;
        loop {
            match self.prove(rate)? {
                Proof::Interrupted => return Ok(End::Unknown(INTERRUPTED.to_owned())),
                proof => self.found.learn(rate, proof),
            }
            match self.found.next(rate, precision) {
                Ok(next) => rate = next,
                Err(end) => return Ok(end),
            }
        }
    }

    /// Probes `rate` until the result is conclusive, longer if samples are too few. A miss counts if it is clear or
    /// seen twice.
    fn prove(&mut self, rate: f64) -> Result<Proof, CommandError> {
        let asked = self.plan.duration;
        let most = (asked * MAX_LONGER).max(MAX_PROBE);
        let (mut misses, mut was_spoiled, mut last) = (0, false, Proof::Interrupted);
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
            let result = measure(&self.plan, &mut self.bar, &what, self.interrupt);
            self.plan.duration = asked;
            let result = result?;
            if self.interrupt.load(Ordering::Relaxed) {
                return Ok(Proof::Interrupted);
            }
            let (met, why) = judged(&result);
            if let Some(words) = dead_address(&result) {
                let slo = self.slo.text();
                return Err(CommandError::Failed(format!(
                    "{words}; with it no rate meets '{slo}': leave it out, or let --slo allow errors"
                )));
            }
            was_spoiled |= !result.invalid.is_empty();
            if result.invalid.is_empty() {
                self.curve.extend(CurvePoint::new(rate, met, &result.latency, self.percentile()));
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
                Some(true) => {
                    self.best = Some(result);
                    return Ok(Proof::Met);
                }
                Some(false) => {
                    misses += 1;
                    if misses == 2 || achieved < rate * FAR_BELOW {
                        return Ok(Proof::Missed(achieved));
                    }
                    Proof::Nothing {
                        why: "one probe missed the SLO, and no other confirms it".to_owned(),
                        by_generator: was_spoiled,
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

    /// The percentile whose curve is drawn.
    fn percentile(&self) -> f64 {
        self.slo.percentile().unwrap_or(99.0)
    }

    fn result(self, end: End) -> SearchResult {
        let curve = Curve::new(percentile_name(self.percentile()), &self.curve);
        let (stopped, unknown) = match end {
            End::Known(words) => (words, None),
            End::Unknown(why) => (format!("unknown, because {why}"), Some(why)),
        };
        let Found { steps, met, missed, unproven, .. } = self.found;
        let is_spoiled = unproven.last().is_some_and(|unproven| unproven.by_generator);
        SearchResult {
            format: FORMAT,
            target: self.plan.target_text(),
            slo: self.slo.text().to_owned(),
            signal: None,
            verdict: None,
            generator_limited: unknown.is_some() && is_spoiled,
            missed_rate: missed.map(|(rate, _)| rate).filter(|&rate| met.is_none_or(|met| rate > met)),
            steps,
            best_rate: met,
            best: self.best,
            curve: Some(curve),
            unknown,
            stopped,
        }
    }
}

/// The dead address, if the SLO allows fewer errors than there were. A share (`errors<1%`) may be met at a higher rate. The
/// generator's delays do not matter: an address that takes no connection is dead in an INVALID probe, too.
fn dead_address(result: &RunResult) -> Option<String> {
    let conditions = result.slo.iter().flat_map(|slo| &slo.conditions);
    let mut missed = conditions.filter(|condition| condition.met == Some(false)).map(|condition| &condition.text);
    let is_count = missed.any(|text| text.starts_with("errors") && !text.ends_with('%'));
    if is_count { judge::dead_address(&result.by_address) } else { None }
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
    /// The highest rate that met the SLO.
    met: Option<f64>,
    /// The lowest rate that missed, and the achieved rate.
    missed: Option<(f64, f64)>,
    /// Rates above `met` without a conclusive probe, from the highest to the lowest.
    unproven: Vec<Unproven>,
    returns: u32,
}

/// A rate without a conclusive probe, the reason, and whether the generator was the reason.
struct Unproven {
    rate: f64,
    why: String,
    by_generator: bool,
}

impl Found {
    fn learn(&mut self, rate: f64, proof: Proof) {
        match proof {
            Proof::Met => self.met = Some(rate),
            Proof::Missed(achieved) => {
                self.missed = Some((rate, achieved));
                // Higher rates need no proof any more.
                self.unproven.clear();
            }
            Proof::Nothing { why, by_generator } => self.unproven.push(Unproven { rate, why, by_generator }),
            Proof::Interrupted => {}
        }
    }

    /// The next rate to try after `rate`, or how the search ends. Before it ends without an answer, it returns to a rate that
    /// the generator spoiled: the disturbance may be over by now.
    fn next(&mut self, rate: f64, precision: f64) -> Result<f64, End> {
        let end = match self.narrow(rate, precision) {
            Ok(_) if self.steps.len() >= MAX_STEPS => End::Unknown(format!("{MAX_STEPS} probes are the limit")),
            Err(end @ End::Unknown(_)) => end,
            known => return known,
        };
        // If no lower rate met the SLO either, the cause was not the rate: start again at the highest.
        let spoiled = if self.met.is_some() { self.unproven.last() } else { self.unproven.first() };
        let has_probes = self.steps.len() + 2 * MAX_TRIES as usize <= MAX_STEPS && self.returns < MAX_RETURNS;
        match spoiled {
            Some(&Unproven { rate, by_generator: true, .. }) if has_probes => {
                self.returns += 1;
                self.unproven.clear();
                Ok(rate)
            }
            _ => Err(end),
        }
    }

    /// The next rate between the bounds.
    fn narrow(&self, rate: f64, precision: f64) -> Result<f64, End> {
        let upper = [self.missed.map(|(rate, _)| rate), self.unproven.last().map(|unproven| unproven.rate)];
        let upper = upper.into_iter().flatten().reduce(f64::min);
        let next = match (self.met, upper) {
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
            return Err(match self.unproven.last() {
                Some(Unproven { rate, why, .. }) => End::Unknown(format!("at {}/s {why}", number(*rate))),
                None => End::Known(format!("not even {}/s meets it", number(rate))),
            });
        }
        Ok(next)
    }

    /// Ends the search, because `met` and `upper` are close enough.
    fn end(&self, met: f64, upper: f64, precision: f64) -> End {
        let Some(Unproven { rate: unproven, why, .. }) = self.unproven.last().filter(|unproven| unproven.rate <= upper)
        else {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the generator spoils every probe of a rate; also gets the number of rates tried before.
    type IsSpoiled = fn(usize, f64) -> bool;

    /// Searches the capacity of a target, from 1,000 a second. Returns the highest rate met, how it ended, and the probes made.
    fn search(capacity: f64, is_spoiled: impl Fn(usize, f64) -> bool) -> (Option<f64>, End, usize) {
        let (mut found, mut rate, mut tried) = (Found::default(), 1000.0, 0);
        loop {
            let (proof, met, probes) = match rate <= capacity {
                _ if is_spoiled(tried, rate) => {
                    (Proof::Nothing { why: "INVALID: late".into(), by_generator: true }, None, MAX_TRIES)
                }
                true => (Proof::Met, Some(true), 1),
                false => (Proof::Missed(capacity), Some(false), 1),
            };
            for _ in 0..probes {
                let figures = crate::result::Figures::default();
                found.steps.push(SearchStep { rate, met, measured_s: 1.0, figures, why: String::new() });
            }
            found.learn(rate, proof);
            match found.next(rate, 0.05) {
                Ok(next) => rate = next,
                Err(end) => return (found.met, end, found.steps.len()),
            }
            tried += 1;
        }
    }

    #[test]
    fn a_rate_that_was_spoiled_once_does_not_bound_the_answer() {
        let faults: [(&str, f64, IsSpoiled); 6] = [
            ("the first rate", 100_000.0, |tried, _| tried < 1),
            ("the first two rates", 20_000.0, |tried, _| tried < 2),
            ("all rates down to the lowest", 20_000.0, |tried, _| tried < 5),
            ("the highest rate, once", 50_000.0, |tried, rate| tried < 6 && rate > 30_000.0),
            ("a rate below one that missed", 900.0, |tried, _| tried == 1),
            ("the lowest rates, once", 15.0, |tried, rate| tried < 6 && rate < 100.0),
        ];
        for (name, capacity, is_spoiled) in faults {
            let (met, end, probes) = search(capacity, is_spoiled);
            let words = match end {
                End::Known(words) => words,
                End::Unknown(why) => panic!("{name}: {met:?}, after {probes} probes: {why}"),
            };
            let met = met.expect(name);
            assert!(met <= capacity && met * 1.05 >= capacity, "{name}: {words}");
            assert!(probes <= MAX_STEPS, "{name}: {probes} probes");
        }
    }

    #[test]
    fn what_the_generator_never_does_ends_a_search_without_an_answer() {
        for limit in [0.0, 600.0, 70_000.0] {
            let (met, end, probes) = search(1e6, |_, rate| rate > limit);
            let End::Unknown(why) = end else { panic!("{limit}: {met:?} is known") };
            let is_named = why.ends_with("INVALID: late") || met.is_none() && why == "40 probes are the limit";
            assert!(is_named, "{limit}: {why}");
            assert!(met.is_none_or(|met| met <= limit && met * 1.05 >= limit), "{limit}: {met:?}");
            assert!(probes <= MAX_STEPS + MAX_TRIES as usize, "{limit}: {probes} probes");
        }
    }
}
