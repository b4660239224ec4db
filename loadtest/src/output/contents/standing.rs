//! The banners at the top: the verdict, and whether the figures are valid.

use super::super::document::{Banner, Tone};
use super::super::words;
use crate::result::{BesideResult, CompareResult, Judgement, LETTERS, RunResult, SearchResult, SloOutcome};

pub(super) fn of_run(result: &RunResult) -> Vec<Banner> {
    let mut banners = verdict(result.verdict.as_ref());
    banners.extend(invalid(&result.invalid));
    let totals = &result.totals;
    let mut errors = words::errors(totals);
    errors.extend(totals.errors.iter().map(|(what, times)| format!("{} × {what}", words::count(*times))));
    errors.extend(result.failures.iter().cloned());
    banners.extend(some(Tone::Bad, "Errors", errors));
    banners.extend(result.slo.as_ref().map(outcome));
    banners.extend(result.cut_short.iter().map(|why| banner(Tone::Plain, "Ended early", vec![why.clone()])));
    banners.extend(some(Tone::Plain, "Hints", result.hints.clone()));
    banners.extend(some(Tone::Plain, "Worth knowing", result.notes.clone()));
    banners
}

pub(super) fn of_comparison(result: &CompareResult) -> Vec<Banner> {
    let verdicts: Vec<_> = result.ratios.iter().map(|ratio| words::verdict(result, ratio)).collect();
    let mut banners = verdict(result.verdict.as_ref());
    banners.extend(invalid(&result.invalid));
    banners.extend(some(Tone::Plain, "Measured", verdicts));
    for (letter, side) in [("A", &result.a), ("B", &result.b)] {
        banners.extend(some(Tone::Bad, &words::sided(Some(letter), "errors"), words::errors(&side.totals)));
        banners.extend(some(Tone::Plain, &words::sided(Some(letter), "hints"), side.hints.clone()));
    }
    let pairs = words::counted(result.pairs, "pair");
    banners.push(banner(Tone::Plain, "Pairs", vec![format!("{pairs} of runs, in turn: {}", result.stopped)]));
    banners
}

pub(super) fn of_beside(result: &BesideResult) -> Vec<Banner> {
    let mut banners = verdict(result.verdict.as_ref());
    banners.extend(some(Tone::Bad, "Not alike: differences may come from this", result.unlike.clone()));
    for (run, letter) in result.runs.iter().zip(LETTERS) {
        let name = |what| words::sided(Some(letter), what);
        banners.extend(some(Tone::Bad, &name("INVALID: its figures must not be used"), run.result.invalid.clone()));
        banners.extend(some(Tone::Bad, &name("errors"), words::errors(&run.result.totals)));
    }
    banners.push(banner(Tone::Plain, "Worth knowing", vec![words::confidence(result)]));
    banners
}

pub(super) fn of_search(result: &SearchResult) -> Vec<Banner> {
    let reasons = if result.generator_limited {
        vec!["the generator was the limit: the target may do more".to_owned()]
    } else {
        result.best.as_ref().map_or(Vec::new(), |best| best.invalid.clone())
    };
    let mut banners = verdict(result.verdict.as_ref());
    banners.extend(invalid(&reasons));
    let stopped = vec![result.stopped.clone()];
    banners.push(match (&result.unknown, result.best_rate) {
        (Some(_), _) => banner(Tone::Plain, "Unknown", stopped),
        (None, Some(_)) => banner(Tone::Good, "Found", stopped),
        (None, None) => banner(Tone::Bad, "No rate met the SLO", stopped),
    });
    banners.extend(result.curve.iter().map(|curve| banner(Tone::Plain, "Knee", vec![words::knee(curve)])));
    banners
}

/// The verdict in one line.
fn verdict(verdict: Option<&Judgement>) -> Vec<Banner> {
    let of = |verdict: &Judgement| {
        let line = format!("{}; exit code {}", verdict.details.join("; "), verdict.exit_code);
        banner(if verdict.exit_code == 0 { Tone::Good } else { Tone::Bad }, &verdict.words, vec![line])
    };
    verdict.map(of).into_iter().collect()
}

fn invalid(reasons: &[String]) -> Vec<Banner> {
    some(Tone::Bad, "INVALID: these figures must not be used", reasons.to_vec()).into_iter().collect()
}

fn outcome(slo: &SloOutcome) -> Banner {
    let conditions = slo.conditions.iter().map(|condition| match condition.met {
        Some(met) => {
            let word = if met { "met" } else { "missed" };
            format!("{}: {word}, {} measured", condition.text, condition.measured)
        }
        None if condition.measured.starts_with("unknown") => format!("{}: {}", condition.text, condition.measured),
        None => format!("{}: unknown, {} measured", condition.text, condition.measured),
    });
    let (tone, words) = match slo.met {
        Some(true) => (Tone::Good, "SLO met"),
        Some(false) => (Tone::Bad, "SLO missed"),
        None => (Tone::Plain, "SLO unknown"),
    };
    banner(tone, words, conditions.collect())
}

fn banner(tone: Tone, words: &str, lines: Vec<String>) -> Banner {
    Banner { tone, words: words.to_owned(), lines }
}

/// A banner, or `None` if it has no lines.
fn some(tone: Tone, words: &str, lines: Vec<String>) -> Option<Banner> {
    (!lines.is_empty()).then(|| banner(tone, words, lines))
}
