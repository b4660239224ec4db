//! Judges a measurement: whether its figures are valid, how much of the asked rate was achieved, and the verdict.

use std::process::ExitCode;

use crate::format::{count, counted, number, time};
use crate::held;
use crate::plan::Plan;
use crate::result::{Achieved, AddressResult, Judgement, LETTERS, Report, RunResult, SloOutcome, Stage};

/// Largest share of a core that a thread may use. Above it, messages wait for the generator.
const MAX_CPU: f64 = 0.9;
/// Largest share of the due messages that may be unsent although connections were free.
const MAX_WITHHELD: f64 = 0.01;
/// Largest share of the measured time in which a thread may be paused or the generator throttled.
const MAX_PAUSED: f64 = 0.01;
/// Shortest measured time whose shares are judged, in s. A run may end early because the target is gone.
const MIN_JUDGED_S: f64 = 0.02;
/// The share of the asked rate that must be sent and answered.
const ACHIEVED: f64 = 0.99;
/// An address is slow if its median latency is this many times the fastest address's.
const SLOW: f64 = 2.0;
/// Fewest messages of an address for that judgement.
const MIN_COMPARED: u64 = 100;
/// Pressure and steal from this share on get a note.
const NOTABLE: f64 = 0.05;

/// The verdict on a measurement. If several are true, the first of interrupted, invalid, failed, not achieved and
/// unknown counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No problem was found.
    Fine,
    /// The SLO was missed, verification failed, or connections or messages were lost.
    Failed,
    /// The arguments make no sense, or this machine cannot do it.
    Usage,
    /// The generator was the limit.
    Invalid,
    /// The asked rate was not sent, or not answered at that rate.
    NotAchieved,
    /// Nothing was measured, or the answer is unknown.
    Unknown,
    /// A signal with this number ended it early. The results until then are kept.
    Interrupted(i32),
}

impl Verdict {
    /// The program's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Fine => 0,
            Verdict::Failed => 1,
            Verdict::Usage => 2,
            Verdict::Invalid => 3,
            Verdict::NotAchieved => 4,
            Verdict::Unknown => 5,
            // The exit code that shells show for a program ended by a signal.
            Verdict::Interrupted(signal) => 128 + signal as u8,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Verdict::Fine => "FINE",
            Verdict::Failed => "FAILED",
            Verdict::Usage => "USAGE",
            Verdict::Invalid => "INVALID",
            Verdict::NotAchieved => "RATE NOT ACHIEVED",
            Verdict::Unknown => "UNKNOWN",
            Verdict::Interrupted(_) => "INTERRUPTED",
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        verdict.exit_code().into()
    }
}

/// Completes `result`: why it is invalid, how much of the rate was achieved, notes, and whether the SLO was met.
/// `withheld` messages were not sent although a connection was free.
pub fn judge(result: &mut RunResult, plan: &Plan, withheld: u64) {
    result.invalid = invalid(result, plan, withheld);
    result.achieved = achieved(result, plan);
    note(result);
    result.slo = plan.slo.as_ref().map(|slo| slo.judge(result));
}

fn invalid(result: &RunResult, plan: &Plan, withheld: u64) -> Vec<String> {
    let generator = &result.generator;
    let (measured_s, bound_ms) = (result.measured_s, plan.max_lag.as_secs_f64() * 1e3);
    let mut reasons = Vec::new();
    if measured_s < MIN_JUDGED_S {
        return reasons;
    }
    for (index, share) in generator.thread_cpu.iter().enumerate().filter(|(_, share)| **share > MAX_CPU) {
        reasons.push(format!(
            "generator thread {index} used {:.0}% of a core, over 90%: give it more threads (-t) or less load",
            share * 100.0
        ));
    }
    let lag_ns = generator.lag.percentile_ns(99.0).or(generator.lag.max_ns()).unwrap_or(0);
    if lag_ns > plan.max_lag.as_nanos() as u64 {
        let late_ms = lag_ns as f64 / 1e6;
        reasons.push(format!(
            "1% of the messages were sent {late_ms:.1} ms late or more (bound {bound_ms} ms, --max-lag): try --spin or --pin"
        ));
    }
    for (index, share) in generator.thread_paused.iter().enumerate().filter(|(_, share)| **share > MAX_PAUSED) {
        let longest_ms = generator.longest_pause_ns.unwrap_or(0) as f64 / 1e6;
        reasons.push(format!(
            "generator thread {index} did not run for {:.1}% of the time although it was due to run, over 1% (pauses over {bound_ms} \
             ms count, --max-lag; the longest was {longest_ms:.0} ms): it was stopped, suspended, or short of a core",
            share * 100.0
        ));
    }
    if let Some(throttled) = generator.throttled.filter(|throttled| throttled.time_s > measured_s * MAX_PAUSED) {
        reasons.push(format!(
            "the CPU quota of the generator's control group held it back for {:.2} s in {}, over 1% of the time: raise the quota",
            throttled.time_s,
            counted(throttled.periods, "period")
        ));
    }
    let max_wait = plan.max_wait * 100.0;
    for (index, share) in generator.thread_waited.iter().enumerate() {
        if let Some(share) = share.filter(|share| *share > plan.max_wait) {
            reasons.push(format!(
                "generator thread {index} waited for a core {:.0}% of the time, over {max_wait:.0}% (--max-wait): leave it more of \
                 the machine",
                share * 100.0
            ));
        }
    }
    if let Some(steal) = result.environment.steal.filter(|steal| *steal > plan.max_wait) {
        let percent = steal * 100.0;
        reasons
            .push(format!("other guests took {percent:.0}% of the machine's time, over {max_wait:.0}% (--max-wait)"));
    }
    let offered = plan.own_due(0.0, measured_s).unwrap_or(0.0);
    if withheld as f64 > offered * MAX_WITHHELD && withheld > 1 {
        reasons.push(format!("{} messages were due and not sent although connections were free", count(withheld)));
    }
    reasons
}

/// How much of a rate was achieved. A burst of late answers at the end does not count as a missed rate: in at least
/// half of the intervals too few messages must have come back. A profile is judged second by
/// second.
fn achieved(result: &RunResult, plan: &Plan) -> Option<Achieved> {
    let (asked_per_s, achieved_per_s) = (plan.own_rate_between(0.0, result.measured_s)?, result.rate()?);
    let held = held::held(result);
    let unsent = result.totals.requests_unsent;
    let due = result.latency.count() + result.latency.missing();
    let is_sent = unsent as f64 <= due as f64 * (1.0 - ACHIEVED) || unsent <= 1;
    let keeps_up = result.intervals.iter().filter(|interval| {
        let expected = asked_per_s * interval.length_s;
        let chance = if result.settings.arrival == "poisson" { expected.sqrt() } else { 0.0 };
        interval.completed as f64 >= expected * ACHIEVED - 1.0 - chance
    });
    let is_kept = keeps_up.count() * 2 > result.intervals.len();
    let is_answered = match &held {
        Some(held) => held.is_kept(),
        None => result.totals.measured_completed as f64 >= due as f64 * ACHIEVED - 1.0 || is_kept,
    };
    let limit = if !(is_sent && is_answered || result.invalid.is_empty()) {
        Some("the generator was the limit")
    } else if !is_sent {
        Some("the target was the limit: every connection was owed an answer (or open more: -c, --depth)")
    } else if !is_answered {
        Some("the target was the limit: answers came slower than messages were sent")
    } else {
        None
    };
    let limit = limit.map(str::to_owned);
    Some(Achieved { asked_per_s, achieved_per_s, due, unsent, met: limit.is_none(), limit, held })
}

fn note(result: &mut RunResult) {
    let environment = &result.environment;
    let mut notes = Vec::new();
    let missing = result.latency.missing();
    if missing > 0 {
        let (unanswered, unsent) = (count(result.totals.requests_unanswered), count(result.totals.requests_unsent));
        let verb = if missing == 1 { "has" } else { "have" };
        notes.push(format!(
            "{} {verb} no latency ({unanswered} unanswered, {unsent} never sent for want of a free connection): figures that \
             could be changed by that are given as lower bounds",
            counted(missing, "message")
        ));
    }
    if let Some(steal) = environment.steal.filter(|steal| *steal > NOTABLE) {
        notes.push(format!("other guests took {:.0}% of the machine's time", steal * 100.0));
    }
    if let Some(share) = environment.cpu_pressure.filter(|share| *share > NOTABLE * 4.0) {
        notes.push(format!(
            "tasks waited for a core {:.0}% of the time: generator and server may share cores",
            share * 100.0
        ));
    }
    if let (Some(longest_ns), true) = (result.generator.longest_pause_ns, result.invalid.is_empty()) {
        notes.push(format!(
            "the generator was paused {}, for {} at most: these pauses may show in latencies beyond p99",
            counted(result.generator.pauses, "time"),
            time(longest_ns as f64)
        ));
    }
    if let Some(overflows) = environment.machine_listen_overflows.filter(|&overflows| overflows > 0) {
        let connects = counted(overflows, "connect");
        notes.push(format!("{connects} on this machine met a full accept queue, of this target or another"));
    }
    result.notes = notes;
}

/// Notes on addresses that take no connections, have other errors, are slow, or got no connection. They are made for
/// the whole result, after its parts are joined.
#[must_use]
pub fn on_addresses(all: &[AddressResult]) -> Vec<String> {
    if all.len() < 2 {
        return Vec::new();
    }
    let median = |address: &AddressResult| {
        address.latency.percentile_ns(50.0).filter(|_| address.latency.count() >= MIN_COMPARED)
    };
    let fastest = all.iter().filter_map(median).min();
    let of = |address: &AddressResult| {
        let name = &address.address;
        let tried = address.connections_opened + address.connections_failed;
        if address.errors() > 0 {
            return Some(failing(address));
        }
        if tried == 0 && !address.is_gone {
            return Some(format!("{name} got no connection: there are fewer than addresses (-c)"));
        }
        let (median, fastest) = (median(address)? as f64, fastest? as f64);
        (median > fastest * SLOW)
            .then(|| format!("{name} is slow: its median is {}, the fastest address's {}", time(median), time(fastest)))
    };
    all.iter().filter_map(of).collect()
}

/// The errors of an address in words.
fn failing(address: &AddressResult) -> String {
    let (name, whys) = (&address.address, reasons(address));
    if address.is_dead() {
        return format!("{name} took no connection{whys}: the figures are those of the other addresses");
    }
    format!("{name} had {}{whys}", counted(address.errors(), "error"))
}

/// Why connects failed and connections were lost, in brackets.
fn reasons(address: &AddressResult) -> String {
    let whys: Vec<_> = address.errors.iter().map(|(why, times)| format!("{} × {why}", count(*times))).collect();
    if whys.is_empty() { String::new() } else { format!(" ({})", whys.join(", ")) }
}

/// The verdict on a run.
#[must_use]
pub fn verdict_of_run(result: &RunResult) -> Verdict {
    let is_idle = result.settings.command == "idle";
    let slo = result.slo.as_ref().map(|slo| slo.met);
    if let Some(signal) = result.signal {
        Verdict::Interrupted(signal)
    } else if !result.invalid.is_empty() {
        Verdict::Invalid
    } else if result.totals.errors() > 0 || slo == Some(Some(false)) {
        Verdict::Failed
    } else if result.achieved.as_ref().is_some_and(|achieved| !achieved.met) {
        Verdict::NotAchieved
    } else if slo == Some(None) || (!is_idle && result.totals.measured_completed == 0) {
        Verdict::Unknown
    } else {
        Verdict::Fine
    }
}

/// The verdict on a measurement.
#[must_use]
pub fn verdict(report: &Report) -> Verdict {
    match report {
        Report::Run(result) => verdict_of_run(result),
        Report::Compare(result) => match result.signal {
            Some(signal) => Verdict::Interrupted(signal),
            None if !result.invalid.is_empty() => Verdict::Invalid,
            None => worst(&[verdict_of_run(&result.a), verdict_of_run(&result.b)]),
        },
        Report::Beside(result) => {
            let verdicts: Vec<_> = result.runs.iter().map(|run| verdict_of_run(&run.result)).collect();
            worst(&verdicts)
        }
        Report::Search(result) => match (result.signal, &result.unknown, result.best_rate) {
            (Some(signal), ..) => Verdict::Interrupted(signal),
            (None, Some(_), _) => {
                if result.generator_limited {
                    Verdict::Invalid
                } else {
                    Verdict::Unknown
                }
            }
            (None, None, Some(_)) if result.best.as_ref().is_some_and(has_dead_address) => Verdict::Failed,
            (None, None, Some(_)) => Verdict::Fine,
            (None, None, None) => Verdict::Failed,
        },
    }
}

/// The first of interrupted, invalid, failed, not achieved and unknown that is among `verdicts`.
fn worst(verdicts: &[Verdict]) -> Verdict {
    let interrupted = verdicts.iter().copied().find(|verdict| matches!(verdict, Verdict::Interrupted(_)));
    let order = [Verdict::Invalid, Verdict::Failed, Verdict::NotAchieved, Verdict::Unknown];
    let found = order.into_iter().find(|verdict| verdicts.contains(verdict));
    interrupted.or(found).unwrap_or(Verdict::Fine)
}

/// The first of several addresses that took no connection, in words.
#[must_use]
pub fn dead_address(all: &[AddressResult]) -> Option<String> {
    let address = all.iter().find(|address| address.is_dead())?;
    Some(format!("{} took no connection{}", address.address, reasons(address)))
}

fn has_dead_address(result: &RunResult) -> bool {
    result.by_address.iter().any(AddressResult::is_dead)
}

/// Writes the verdict into `report`. `signal` is the signal that ended it early, if any.
pub fn conclude(report: &mut Report, signal: Option<i32>) {
    match report {
        Report::Run(result) => result.signal = signal,
        Report::Compare(result) => result.signal = signal,
        Report::Search(result) => result.signal = signal,
        // Its results have their own signals already.
        Report::Beside(_) => {}
    }
    match report {
        Report::Run(result) => note_addresses(result),
        Report::Compare(result) => [&mut result.a, &mut result.b].into_iter().for_each(note_addresses),
        Report::Search(result) => result.best.iter_mut().for_each(note_addresses),
        Report::Beside(result) => result.runs.iter_mut().for_each(|run| note_addresses(&mut run.result)),
    }
    let verdict = verdict(report);
    let details = match report {
        Report::Run(result) => details(result),
        Report::Compare(result) => {
            vec![format!("A: {}", details(&result.a).join(", ")), format!("B: {}", details(&result.b).join(", "))]
        }
        Report::Search(result) => vec![result.stopped.clone()],
        Report::Beside(result) => {
            let all = result.runs.iter().zip(LETTERS);
            all.map(|(run, letter)| format!("{letter}: {}", verdict_of_run(&run.result).words())).collect()
        }
    };
    let words = verdict.words().to_owned();
    let judgement = Some(Judgement { exit_code: verdict.exit_code(), words, details });
    match report {
        Report::Run(result) => result.verdict = judgement,
        Report::Compare(result) => result.verdict = judgement,
        Report::Search(result) => result.verdict = judgement,
        Report::Beside(result) => result.verdict = judgement,
    }
}

/// Adds the notes on addresses, each once.
fn note_addresses(result: &mut RunResult) {
    for words in on_addresses(&result.by_address) {
        if !result.notes.contains(&words) {
            result.notes.push(words);
        }
    }
}

/// The details of the verdict: asked and achieved rate, validity, and the SLO.
fn details(result: &RunResult) -> Vec<String> {
    let per_second = |rate: f64| format!("{}/s", number(rate));
    let mut lines = Vec::new();
    match (&result.achieved, result.rate()) {
        (Some(achieved), _) => {
            let (asked, done) = (per_second(achieved.asked_per_s), per_second(achieved.achieved_per_s));
            let limit = achieved.limit.as_ref().map_or(String::new(), |limit| format!(" ({limit})"));
            lines.push(match &achieved.held {
                Some(held) => {
                    let range = range(&result.settings.stages);
                    format!("asked {range}, {asked} on average, achieved {done}, {}{limit}", held.words())
                }
                None => format!("asked {asked}, achieved {done}{limit}"),
            });
        }
        (None, _) if result.settings.command == "idle" => {
            let totals = &result.totals;
            let opened = counted(result.settings.connections, "connection");
            lines.push(format!("{} of {opened} alive", count(totals.connections_alive)));
        }
        (None, Some(rate)) if result.totals.measured_completed > 0 => {
            let asked =
                result.settings.rate.map_or("closed loop".to_owned(), |rate| format!("asked {}", per_second(rate)));
            lines.push(format!("{asked}, achieved {}", per_second(rate)));
        }
        _ => lines.push("nothing measured".to_owned()),
    }
    let is_measured = result.settings.command == "idle" || result.totals.measured_completed > 0;
    match (result.invalid.is_empty(), is_measured) {
        (false, _) => lines.push("INVALID".to_owned()),
        (true, true) => lines.push("valid".to_owned()),
        // Without messages it is neither.
        (true, false) => {}
    }
    lines.push(slo_in_words(result.slo.as_ref()).to_owned());
    let errors = result.totals.errors();
    if errors > 0 {
        lines.push(counted(errors, "error"));
    }
    if result.by_address.len() > 1 {
        let dead = result.by_address.iter().filter(|address| address.is_dead());
        lines.extend(dead.map(|address| format!("{} took no connection", address.address)));
    }
    lines
}

/// The lowest and the highest of the rates of a profile.
fn range(stages: &[Stage]) -> String {
    let rates = || stages.iter().map(|stage| stage.rate);
    let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    if low < high { format!("{}/s to {}/s", number(low), number(high)) } else { format!("{}/s", number(high)) }
}

fn slo_in_words(slo: Option<&SloOutcome>) -> &'static str {
    match slo.map(|slo| slo.met) {
        None => "no SLO",
        Some(Some(true)) => "SLO met",
        Some(Some(false)) => "SLO missed",
        Some(None) => "SLO unknown",
    }
}
