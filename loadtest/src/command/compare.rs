//! `compare`: measures two targets under the same load, in turn, until the difference is known with the wanted
//! precision.

use std::sync::atomic::{AtomicBool, Ordering};

use super::CommandError;
use super::run::measure;
use crate::cli::{CompareArgs, Proxy, Workload};
use crate::join::{How, join};
use crate::plan::{Kind, Plan, PlanError};
use crate::progress::Bar;
use crate::result::{CompareResult, FORMAT, Figures, NamedFigure, Ratio, Report, RunResult};
use crate::slo::Slo;
use crate::statistics::{CONFIDENCE, MIN_PAIRS, RatioInterval, median};

const FIGURES: [NamedFigure; 4] = [
    ("rate", "1/s", |figures| figures.rate),
    ("p50", "ns", |figures| figures.p50_ns.map(|ns| ns as f64)),
    ("p99", "ns", |figures| figures.p99_ns.map(|ns| ns as f64)),
    ("server CPU per message", "ns", |figures| figures.server_cpu_ns),
];

pub(super) fn compare(args: &CompareArgs, interrupt: &AtomicBool) -> Result<Report, CommandError> {
    let plans = [plan(args, 0)?, plan(args, 1)?];
    let precision = args.precision;
    if !(precision > 0.0 && precision < 1.0) {
        return Err(PlanError::Range("--precision", "more than 0 and less than 1".into()).into());
    }
    if args.max_pairs < args.min_pairs {
        return Err(PlanError::Range("--max-pairs", "no less than --min-pairs".into()).into());
    }
    let mut bar = Bar::new(&args.output);
    let mut results: [Vec<RunResult>; 2] = [Vec::new(), Vec::new()];
    let mut first = None;
    let stopped = loop {
        let pair = results[0].len();
        // In the order A B, B A, A B a drift of the machine affects both alike.
        for side in if pair.is_multiple_of(2) { [0, 1] } else { [1, 0] } {
            let what = format!("pair {} {}", pair + 1, ["A", "B"][side]);
            let result = measure(&plans[side], &mut bar, &what, interrupt)?;
            if interrupt.load(Ordering::Relaxed) {
                // Half a pair is of no use for a comparison. Keep the result only if it is the first.
                first = first.or(Some(result));
                break;
            }
            results[side].push(result);
        }
        if interrupt.load(Ordering::Relaxed) {
            let whole = results[0].len().min(results[1].len());
            for side in &mut results {
                side.truncate(whole);
            }
            break "interrupted".to_owned();
        }
        let pairs = results[0].len() as u32;
        if pairs >= args.min_pairs && is_tight(&results, plans[0].rate.is_some(), precision) {
            break format!("the interval is within {:.1}%", precision * 100.0);
        }
        if pairs >= args.max_pairs {
            break format!("{pairs} pairs are the limit (--max-pairs)");
        }
    };
    bar.finish();
    if results[0].is_empty() {
        let none = || CommandError::Failed("interrupted before the first pair was complete".to_owned());
        return Ok(Report::Run(Box::new(first.ok_or_else(none)?)));
    }
    Ok(Report::Compare(Box::new(put_together(results, plans[0].slo.as_ref(), stopped))))
}

/// The plan for A or B.
fn plan(args: &CompareArgs, side: usize) -> Result<Plan, CommandError> {
    let kind = match args.workload {
        Workload::Rr => Kind::Rr,
        Workload::Crr => Kind::Crr,
        Workload::Stream => Kind::Stream,
    };
    let mut load = args.load.clone();
    load.proxy = [args.proxy_a, args.proxy_b][side].unwrap_or(load.proxy);
    if load.proxy != Proxy::V2 {
        load.tlv.clear();
    }
    if load.proxy == Proxy::None && (args.proxy_a.is_some() || args.proxy_b.is_some()) {
        load.proxy_src = None;
    }
    if args.server_pid.concat().len() > 2 {
        return Err(PlanError::Range("--server-pid", "one process for each of A and B".into()).into());
    }
    let mut plan = Plan::new(kind, std::slice::from_ref([&args.a, &args.b][side]), &load)?;
    plan.server_pid = args.server_pid.concat().get(side).copied();
    Ok(plan)
}

/// Whether the interval is narrow enough: of the rate, or, if the rate is fixed, of the median latency.
fn is_tight(results: &[Vec<RunResult>; 2], is_rate_fixed: bool, precision: f64) -> bool {
    let figure = FIGURES[usize::from(is_rate_fixed)].2;
    let pairs = pairs(results, figure);
    RatioInterval::of(&pairs, CONFIDENCE).is_some_and(|interval| interval.half_width() <= precision)
}

fn pairs(results: &[Vec<RunResult>; 2], figure: fn(&Figures) -> Option<f64>) -> Vec<(f64, f64)> {
    let of = |result: &RunResult| result.runs.first().and_then(figure);
    results[0].iter().zip(&results[1]).filter_map(|(a, b)| Some((of(a)?, of(b)?))).collect()
}

/// The interval of a ratio, if there are enough pairs for a useful one.
fn interval(pairs: &[(f64, f64)], confidence: f64) -> Option<RatioInterval> {
    RatioInterval::of(pairs, confidence).filter(|_| pairs.len() >= MIN_PAIRS)?.if_useful()
}

fn put_together(results: [Vec<RunResult>; 2], slo: Option<&Slo>, stopped: String) -> CompareResult {
    let count = results[0].len();
    let known: Vec<_> = FIGURES
        .iter()
        .map(|&(figure, unit, of)| (figure, unit, pairs(&results, of)))
        .filter(|(.., pairs)| pairs.len() == count && pairs.iter().all(|&(a, b)| a > 0.0 && b > 0.0))
        .collect();
    // Bonferroni: all intervals hold at the same time with the stated confidence.
    let each = 1.0 - (1.0 - CONFIDENCE) / known.len().max(1) as f64;
    let ratios = known.into_iter().map(|(figure, unit, pairs)| {
        let interval = interval(&pairs, each);
        let ratio = pairs.iter().map(|(a, b)| (b / a).ln()).sum::<f64>() / pairs.len() as f64;
        let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        Ratio {
            figure: figure.to_owned(),
            unit: unit.to_owned(),
            a: median(&a),
            b: median(&b),
            ratio: ratio.exp(),
            low: interval.map(|interval| interval.low),
            high: interval.map(|interval| interval.high),
            difference_shown: interval.is_some_and(|interval| interval.shows_difference()),
        }
    });
    let ratios = ratios.collect();
    let mut sides = results.map(|side| join(side, How::OneAfterTheOther));
    for side in &mut sides {
        side.slo = slo.map(|slo| slo.judge(side));
    }
    let [a, b] = sides;
    let mut invalid = Vec::new();
    for (name, side) in [("A", &a), ("B", &b)] {
        invalid.extend(side.invalid.iter().map(|why| format!("{name}: {why}")));
    }
    CompareResult {
        format: FORMAT,
        a,
        b,
        pairs: count as u64,
        confidence: CONFIDENCE,
        ratios,
        signal: None,
        verdict: None,
        stopped,
        invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pairs_make_no_absurd_interval() {
        let [two, three] = [vec![(100.0, 101.0), (100.0, 140.0)], vec![(100.0, 101.0), (100.0, 140.0), (100.0, 90.0)]];
        // By Student's t it would reach from 0.00… to millions.
        assert!(RatioInterval::of(&two, 0.9975).is_some_and(|interval| interval.high / interval.low > 1e6));
        assert_eq!((interval(&two, 0.9975), interval(&three, 0.9975)), (None, None));
        let steady = [(100.0, 101.0), (100.0, 102.0), (100.0, 101.5)];
        assert!(interval(&steady, 0.9975).is_some());
    }
}
