//! `report` of several files: shows runs side by side, and how each differs from the first.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::format;
use crate::result::{
    Beside, BesideFigure, BesideResult, BesideValue, FORMAT, Figures, LETTERS, NamedFigure, RunResult,
};
use crate::statistics::{CONFIDENCE, MIN_PAIRS, RatioInterval, median};

const FIGURES: [NamedFigure; 5] = [
    ("rate", "1/s", |figures| figures.rate),
    ("p50", "ns", |figures| figures.p50_ns.map(|ns| ns as f64)),
    ("p99", "ns", |figures| figures.p99_ns.map(|ns| ns as f64)),
    ("p99.9", "ns", |figures| figures.p999_ns.map(|ns| ns as f64)),
    ("server CPU per message", "ns", |figures| figures.server_cpu_ns),
];
/// Settings in which runs may differ: the targets are compared, and more runs only make the comparison more certain.
const FREE: [&str; 2] = ["target", "runs"];
/// Facts of the generator's machine that should be the same for all runs.
const MACHINE: [&str; 5] = ["host", "kernel", "cpu", "cores", "loadtest"];

/// Compares `runs`, each with the first one.
///
/// # Errors
///
/// A message, if there are too many runs or they cannot be compared.
pub fn beside(runs: Vec<Beside>) -> Result<BesideResult, String> {
    if runs.len() > LETTERS.len() {
        return Err(format!("at most {} runs can be shown side by side", LETTERS.len()));
    }
    if let Some(why) = incomparable(&runs) {
        return Err(why);
    }
    let figures = FIGURES.iter().filter_map(|figure| self::figure(&runs, figure)).collect();
    let unlike = unlike(&runs);
    let mut result = BesideResult { format: FORMAT, runs, confidence: CONFIDENCE, figures, unlike, verdict: None };
    widen(&mut result);
    Ok(result)
}

/// The reason why these runs cannot be compared, if there is one.
fn incomparable(runs: &[Beside]) -> Option<String> {
    let first = runs.first()?;
    let kind = |run: &Beside| run.result.settings.command.clone();
    let is_open = |run: &Beside| run.result.settings.rate.is_some();
    runs.iter().find_map(|run| {
        let (name, other) = (&run.name, &first.name);
        if let Some(shard) = run.result.shard {
            return Some(format!("{name}: it is shard {} of {}: merge the shards first", shard.index, shard.count));
        }
        if kind(run) != kind(first) {
            return Some(format!(
                "{name} is a run of {}, {other} of {}: they cannot be compared",
                kind(run),
                kind(first)
            ));
        }
        let word = |run| if is_open(run) { "open loop (at a rate)" } else { "closed loop (without a rate)" };
        (is_open(run) != is_open(first))
            .then(|| format!("{name} is {}, {other} {}: their latencies cannot be compared", word(run), word(first)))
    })
}

/// The settings and facts of the machine in which runs differ from the first one.
fn unlike(runs: &[Beside]) -> Vec<String> {
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    let facts = |run: &Beside| {
        let mut facts = values(&run.result.settings);
        facts.retain(|(name, _)| !FREE.contains(&name.as_str()));
        let machine = values(&run.result.environment).into_iter();
        facts.extend(machine.filter(|(name, _)| MACHINE.contains(&name.as_str())));
        facts
    };
    let expected = facts(first);
    let mut lines = Vec::new();
    for (run, letter) in others.iter().zip(&LETTERS[1..]) {
        let own = facts(run);
        let names = expected.iter().chain(&own).map(|(name, _)| name.as_str());
        for name in names.collect::<BTreeSet<_>>() {
            let of = |facts: &[(String, Value)]| {
                let found = facts.iter().find(|(other, _)| other == name);
                found.map_or(Value::Null, |(_, value)| value.clone())
            };
            let (value, wanted) = (of(&own), of(&expected));
            if value != wanted {
                let shown = name.trim_end_matches("_s").replace('_', "-");
                lines.push(format!("{letter}: {shown} is {}, A's is {}", words(name, &value), words(name, &wanted)));
            }
        }
    }
    lines
}

/// The members of an object's JSON.
fn values(object: &impl serde::Serialize) -> Vec<(String, Value)> {
    match serde_json::to_value(object) {
        Ok(Value::Object(members)) => members.into_iter().collect(),
        _ => Vec::new(),
    }
}

fn words(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::Bool(is_so) => if *is_so { "on" } else { "off" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => format::short(&format::number(number.as_f64().unwrap_or_default())),
        Value::Array(_) if name == "stages" => match serde_json::from_value::<Vec<_>>(value.clone()) {
            Ok(stages) if !stages.is_empty() => format::stages(&stages),
            _ => "not set".to_owned(),
        },
        other => other.to_string(),
    }
}

/// A figure of all runs, without confidence intervals; `None` if no run has it.
fn figure(runs: &[Beside], (name, unit, of): &NamedFigure) -> Option<BesideFigure> {
    let known = |run: &Beside| run.result.runs.iter().filter_map(of).filter(|value| *value > 0.0).collect::<Vec<_>>();
    let medians: Vec<_> =
        runs.iter().map(|run| Some(known(run)).filter(|all| !all.is_empty()).map(|all| median(&all))).collect();
    let first = medians.first().copied().flatten();
    let values: Vec<_> = medians
        .iter()
        .map(|&median| BesideValue {
            median,
            ratio: median.zip(first).map(|(value, first)| value / first),
            low: None,
            high: None,
            difference_shown: false,
            unknown: None,
        })
        .collect();
    medians.iter().any(Option::is_some).then(|| BesideFigure {
        figure: (*name).to_owned(),
        unit: (*unit).to_owned(),
        runs: values,
    })
}

/// Gives each difference its interval, or the reason why it has none.
fn widen(result: &mut BesideResult) {
    let values = |run: &RunResult, of: fn(&Figures) -> Option<f64>| run.runs.iter().map(of).collect::<Vec<_>>();
    let mut samples = Vec::new();
    for figure in &result.figures {
        let Some((.., of)) = FIGURES.iter().find(|(name, ..)| *name == figure.figure) else { continue };
        let all: Vec<_> = result.runs.iter().map(|run| values(&run.result, *of)).collect();
        let reason = |index: usize| why_unknown(LETTERS[index], &result.runs[index].result, &all[index]);
        let first = reason(0);
        samples.extend((1..all.len()).map(|index| match first.clone().or_else(|| reason(index)) {
            Some(why) => Err(why),
            None => Ok([0, index].map(|index| all[index].iter().copied().flatten().collect::<Vec<_>>())),
        }));
    }
    // Bonferroni correction: with the stated confidence, all intervals hold at once.
    let count = samples.iter().filter(|sample| sample.is_ok()).count().max(1);
    let each = 1.0 - (1.0 - CONFIDENCE) / count as f64;
    let values = result.figures.iter_mut().flat_map(|figure| figure.runs.iter_mut().skip(1));
    for (value, sample) in values.zip(samples) {
        let interval = sample.and_then(|[first, other]| {
            let interval = RatioInterval::of_separate(&first, &other, each);
            interval
                .and_then(RatioInterval::if_useful)
                .ok_or_else(|| "the runs differ too much among themselves".to_owned())
        });
        match interval {
            Ok(interval) => {
                value.ratio = Some(interval.ratio);
                (value.low, value.high) = (Some(interval.low), Some(interval.high));
                value.difference_shown = interval.shows_difference();
            }
            Err(why) => value.unknown = Some(why),
        }
    }
}

/// The reason why a run's `values` of a figure give no interval, if there is one.
fn why_unknown(letter: &str, run: &RunResult, values: &[Option<f64>]) -> Option<String> {
    if !run.invalid.is_empty() {
        Some(format!("{letter} is INVALID"))
    } else if values.iter().all(Option::is_none) {
        Some(format!("{letter} has no such figure"))
    } else if values.len() < MIN_PAIRS {
        Some(format!("{letter} has {}", format::counted(values.len() as u64, "run")))
    } else if values.iter().any(|value| value.is_none_or(|value| value <= 0.0)) {
        Some(format!("{letter} has it for some runs only"))
    } else {
        None
    }
}
