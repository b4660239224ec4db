//! Tables: runs, ratios, steps of a search, and all distributions of times.

use super::super::document::{Part, Piece, Table, Text, count, fraction, known, optional, optional_time, rate};
use super::super::{Side, words};
use crate::result::{
    AddressResult, BesideResult, CompareResult, Figures, LETTERS, Samples, SearchResult, percentile_name,
};

/// Most rows in text of a table that may be long.
const ROWS_IN_TEXT: usize = 20;

/// The figures of each run, if there are several.
pub(super) fn runs(runs: &[Figures]) -> Option<Part> {
    let rows = runs.iter().enumerate().map(|(index, run)| {
        let mut row = vec![Text::from((index + 1).to_string())];
        row.extend(of_figures(&format!("/runs/{index}"), run));
        row
    });
    let header = ["run", "rate", "p50", "p99", "p99.9", "max", "errors"];
    (runs.len() > 1).then(|| table("Runs", &header, rows.collect(), false))
}

fn of_figures(pointer: &str, figures: &Figures) -> [Text; 6] {
    [
        optional(figures.rate, |per_second| rate(&format!("{pointer}/rate"), per_second)),
        optional_time(&format!("{pointer}/p50_ns"), figures.p50_ns),
        optional_time(&format!("{pointer}/p99_ns"), figures.p99_ns),
        optional_time(&format!("{pointer}/p999_ns"), figures.p999_ns),
        optional_time(&format!("{pointer}/max_ns"), figures.max_ns),
        count(&format!("{pointer}/errors"), figures.errors),
    ]
}

/// The column of the handshakes, after that of the connects.
const HANDSHAKE: usize = 7;

/// The results of each address, if there are several.
pub(super) fn addresses(sides: &[Side]) -> Option<Part> {
    let is_tls = sides.iter().any(|side| side.result.tls.is_some());
    let is_one = sides.iter().all(|side| side.result.by_address.len() < 2);
    let mut rows = Vec::new();
    for side in sides {
        for (index, address) in side.result.by_address.iter().enumerate() {
            let pointer = format!("{}/by_address/{index}", side.pointer);
            let mut name = words::sided(side.letter, &address.address);
            if address.is_gone {
                name.push_str(" (gone)");
            }
            let mut row = vec![Text::from(name)];
            row.extend(of_address(&pointer, address));
            if is_tls {
                let handshake = format!("{pointer}/handshake_time");
                row.insert(HANDSHAKE, known(&handshake, "p50", address.handshake_time.percentile(50.0)));
            }
            rows.push(row);
        }
    }
    let mut header =
        vec!["", "connections", "failed", "lost", "messages", "unanswered", "connect p50", "p50", "p99", "max"];
    if is_tls {
        header.insert(HANDSHAKE, "handshake p50");
    }
    (!is_one).then(|| table("Addresses", &header, rows, false))
}

fn of_address(pointer: &str, address: &AddressResult) -> [Text; 9] {
    let of = |name: &str, value: u64| count(&format!("{pointer}/{name}"), value);
    let (connect, latency) = (format!("{pointer}/connect_time"), format!("{pointer}/latency"));
    let percentile = |pointer: &str, samples: &Samples, p| known(pointer, &percentile_name(p), samples.percentile(p));
    [
        of("connections_opened", address.connections_opened),
        of("connections_failed", address.connections_failed),
        of("connections_lost", address.connections_lost),
        of("measured_completed", address.measured_completed),
        of("requests_unanswered", address.requests_unanswered),
        percentile(&connect, &address.connect_time, 50.0),
        percentile(&latency, &address.latency, 50.0),
        percentile(&latency, &address.latency, 99.0),
        known(&latency, "max", address.latency.max()),
    ]
}

/// The figures of runs side by side.
pub(super) fn beside(result: &BesideResult) -> Part {
    let mut rows = Vec::new();
    for (index, figure) in result.figures.iter().enumerate() {
        for (number, (value, run)) in figure.runs.iter().zip(&result.runs).enumerate() {
            let pointer = format!("/figures/{index}/runs/{number}");
            let at = |name: &str, value: f64, text: String| fraction(&format!("{pointer}/{name}"), value, text);
            let of = |name: &str, value: Option<f64>| optional(value, |value| at(name, value, words::ratio(value)));
            rows.push(vec![
                format!("{}, {}: {}", figure.figure, LETTERS[number], run.name).into(),
                optional(value.median, |median| at("median", median, words::value(median, &figure.unit))),
                if number == 0 { "".into() } else { of("ratio", value.ratio) },
                if number == 0 { "".into() } else { of("low", value.low) },
                if number == 0 { "".into() } else { of("high", value.high) },
                match (&value.unknown, value.ratio) {
                    (Some(why), _) => format!("unknown, because {why}").into(),
                    (None, Some(ratio)) if number > 0 => words::difference_of(ratio, value.difference_shown).into(),
                    _ => "".into(),
                },
            ]);
        }
    }
    let header = ["", "median", "to A's", "from", "to", "against A"].map(str::to_owned).into();
    let caption = "Figures side by side".to_owned();
    Part::Table(Table { caption, header, rows_in_text: rows.len(), rows, ends_in_words: true })
}

/// The ratios of B to A.
pub(super) fn ratios(result: &CompareResult) -> Option<Part> {
    let rows = result.ratios.iter().enumerate().map(|(index, ratio)| {
        let at = |name: &str, value: f64, text: String| fraction(&format!("/ratios/{index}/{name}"), value, text);
        let of = |name: &str, value: f64| at(name, value, words::ratio(value));
        vec![
            ratio.figure.as_str().into(),
            at("a", ratio.a, words::value(ratio.a, &ratio.unit)),
            at("b", ratio.b, words::value(ratio.b, &ratio.unit)),
            of("ratio", ratio.ratio),
            optional(ratio.low, |low| of("low", low)),
            optional(ratio.high, |high| of("high", high)),
            words::difference(ratio).into(),
        ]
    });
    let caption = format!("Medians of {} of runs", words::counted(result.pairs, "pair"));
    let header = ["", "A", "B", "B/A", "from", "to", "B against A"];
    (!result.ratios.is_empty()).then(|| table(&caption, &header, rows.collect(), true))
}

/// The steps of a search.
pub(super) fn steps(result: &SearchResult) -> Part {
    let rows = result.steps.iter().enumerate().map(|(index, step)| {
        let pointer = format!("/steps/{index}");
        let mut row = vec![rate(&format!("{pointer}/rate"), step.rate)];
        row.extend(of_figures(&format!("{pointer}/figures"), &step.figures));
        row.push(match step.met {
            Some(true) => "met".into(),
            Some(false) => format!("missed: {}", step.why).into(),
            None => format!("unknown: {}", step.why).into(),
        });
        row
    });
    let header = ["offered", "achieved", "p50", "p99", "p99.9", "max", "errors", "SLO"];
    table("What was tried", &header, rows.collect(), true)
}

/// Latency by rate, with bars on a logarithmic scale.
pub(super) fn curve(result: &SearchResult) -> Option<Part> {
    let curve = result.curve.as_ref().filter(|curve| !curve.points.is_empty())?;
    let latencies = || curve.points.iter().map(|point| point.latency_ns.max(1.0));
    let (low, high) = (latencies().fold(f64::INFINITY, f64::min), latencies().fold(1.0, f64::max));
    let rows = curve.points.iter().enumerate().map(|(index, point)| {
        let pointer = format!("/curve/points/{index}");
        let latency = fraction(&format!("{pointer}/latency_ns"), point.latency_ns, words::time(point.latency_ns));
        let share = if high > low { (point.latency_ns.max(1.0) / low).ln() / (high / low).ln() } else { 0.0 };
        vec![
            rate(&format!("{pointer}/rate"), point.rate),
            if point.is_at_least { Text::from("≥ ").and(latency) } else { latency },
            Text::from(Piece::Bar(1 + (share * 19.0).round() as usize)).and(words::on_curve(result, point)),
        ]
    });
    let header = ["offered", &curve.percentile, ""];
    Some(table("Latency by offered rate", &header, rows.collect(), true))
}

/// All distributions of times.
pub(super) fn times(sides: &[Side]) -> Option<Part> {
    let is_supported = |shown: &f64| {
        let mut all = sides.iter().flat_map(|side| words::times(side.result));
        all.any(|times| times.samples.percentile(*shown).is_some())
    };
    let shown: Vec<_> = words::SHOWN.into_iter().filter(is_supported).collect();
    let mut rows = Vec::new();
    for side in sides {
        for times in words::times(side.result) {
            let pointer = format!("{}{}", side.pointer, times.pointer);
            let samples = times.samples;
            let mut row = vec![Text::from(words::sided(side.letter, times.name))];
            row.extend(shown.iter().map(|&shown| known(&pointer, &percentile_name(shown), samples.percentile(shown))));
            row.push(known(&pointer, "max", samples.max()));
            row.push(known(&pointer, "mean", samples.mean()));
            row.push(count(&format!("{pointer}/count"), samples.count()));
            rows.push(row);
        }
    }
    let names: Vec<_> = shown.into_iter().map(percentile_name).collect();
    let mut header = vec![""];
    header.extend(names.iter().map(String::as_str));
    header.extend(["max", "mean", "count"]);
    (!rows.is_empty()).then(|| table("Times", &header, rows, false))
}

fn table(caption: &str, header: &[&str], rows: Vec<Vec<Text>>, ends_in_words: bool) -> Part {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    Part::Table(Table { caption: caption.to_owned(), header, rows, ends_in_words, rows_in_text: ROWS_IN_TEXT })
}
