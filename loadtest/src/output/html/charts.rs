//! The pictures of a result, and their lines.

use super::super::timeline::{self, Placed};
use super::super::{Side, sides, words};
use super::axis::Axis;
use super::chart::{Chart, Dot, Line, Look};
use crate::result::{Curve, Report, RunResult, Samples, SearchResult, percentile_name};

/// Most points of a line over time; more could not be distinguished.
const MOST_POINTS: usize = 300;
/// Points for each halving of the distance to 100%.
const TICKS_PER_HALF_DISTANCE: f64 = 8.0;
/// Most points of a distribution: up to 1 in 2^40, for which no run has enough samples.
const MAX_TICKS: u32 = 320;

/// All pictures of `report`.
pub(super) fn of_report(report: &Report) -> String {
    let sides = sides(report);
    let search = if let Report::Search(result) = report { search(result) } else { None };
    let charts = [search, percentiles(&sides), throughput(&sides), latency_over_time(&sides)];
    charts.into_iter().flatten().map(|chart| chart.html()).collect()
}

fn percentiles(sides: &[Side]) -> Option<Chart> {
    let is_connects = sides.iter().all(|side| side.result.latency.is_empty());
    let mut named: Vec<(String, &Samples)> = Vec::new();
    for Side { letter, name, result, .. } in sides {
        if letter.is_some() {
            // Colours distinguish the targets, so that each has only one line.
            let samples = if is_connects { &result.connect_time } else { &result.latency };
            named.push((words::sided(*letter, name), samples));
            continue;
        }
        let shown = |name: &str| {
            if is_connects { name == "connect" } else { name.contains("latency") || name == "service time" }
        };
        let times = words::times(result).into_iter().filter(|times| shown(times.name));
        named.extend(times.map(|times| (times.name.to_owned(), times.samples)));
    }
    let lines: Vec<_> = named
        .iter()
        .zip(Look::SIDES)
        .map(|((name, samples), look)| Line { pieces: vec![distribution(samples)], ..line(name.clone(), look) })
        .map(told_if_empty)
        .collect();
    let mut dots: Vec<_> =
        named.iter().zip(Look::SIDES).flat_map(|((name, samples), look)| marked(name, look, samples)).collect();
    if sides.len() > 2 {
        dots.clear();
    } else if sides.len() == 1 {
        dots.iter_mut().filter(|dot| dot.look != Look::First).for_each(|dot| dot.label = None);
    }
    Some(Chart {
        heading: if is_connects { "Connect time by percentile" } else { "Latency by percentile" },
        explanation:
            "The share of messages that took no longer. Drawn where samples suffice and missing messages change nothing."
                .to_owned(),
        x: Axis::of_percentiles(bounds(&lines, |(x, _)| x)?.1),
        x_name: "percentile",
        y: time_axis(&lines)?,
        y_name: "time, logarithmic",
        lines,
        dots,
        dividers: Vec::new(),
        level: None,
    })
}

/// The percentiles that have enough samples and that missing messages cannot change.
fn distribution(samples: &Samples) -> Vec<(f64, f64)> {
    let ticks = (0..MAX_TICKS).map(|tick| 0.5_f64.powf(f64::from(tick) / TICKS_PER_HALF_DISTANCE));
    let points = ticks.map_while(|left| Some((1.0 / left, samples.percentile_ns(100.0 * (1.0 - left))? as f64)));
    let points: Vec<_> = points.collect();
    // A single point is not a distribution.
    if points.len() > 1 { points } else { Vec::new() }
}

/// A line without points.
fn line(name: String, look: Look) -> Line {
    Line { name, look, is_area: false, pieces: Vec::new() }
}

/// Names a line without points in the legend, because it is not in the picture.
fn told_if_empty(mut line: Line) -> Line {
    line.pieces.retain(|piece| !piece.is_empty());
    if line.pieces.is_empty() && !line.name.is_empty() {
        line.name.push_str(" (not known)");
    }
    line
}

/// Dots at the percentiles that the report gives as figures.
fn marked(name: &str, look: Look, samples: &Samples) -> Vec<Dot> {
    let shown =
        words::SHOWN.into_iter().filter_map(|percentile| Some((percentile, samples.percentile_ns(percentile)?)));
    let dots = shown.map(|(percentile, ns)| {
        let time = words::time(ns as f64);
        Dot {
            look,
            x: 100.0 / (100.0 - percentile),
            y: ns as f64,
            title: format!("{name}: {} {time}", percentile_name(percentile)),
            label: Some(time),
        }
    });
    dots.collect()
}

fn throughput(sides: &[Side]) -> Option<Chart> {
    let is_stream = sides.iter().all(|side| side.result.settings.command == "stream");
    let rate = |group: &Group| if is_stream { group.bytes / group.length_s } else { group.completed / group.length_s };
    let mut lines: Vec<_> = sides
        .iter()
        .zip(Look::SIDES)
        .map(|(Side { letter, name, result, .. }, look)| {
            let name = match letter {
                Some(_) => words::sided(*letter, name),
                // A single line is the subject of the picture and needs no name.
                None if result.settings.rate.is_none() => String::new(),
                None => "achieved".to_owned(),
            };
            told_if_empty(over_time(name, look, letter.is_none(), result, |group| Some(rate(group))))
        })
        .collect();
    let asked_of = |result: &RunResult| (result.settings.rate, result.settings.stages.clone());
    // Several may have been asked for different rates.
    let first = sides.first().map(|side| side.result);
    let first = first.filter(|first| sides.iter().all(|side| asked_of(side.result) == asked_of(first)));
    let is_staged = |result: &RunResult| !result.settings.stages.is_empty();
    if let Some(result) = first.filter(|result| is_staged(result)) {
        // Draw it on top, so that it can be seen between the steps of the asked rate.
        let bytes = if is_stream { result.settings.size as f64 } else { 1.0 };
        let look = if sides.len() > 1 { Look::Asked } else { Look::Second };
        let asked = |group: &Group| Some(group.asked? / group.length_s * bytes);
        lines.insert(0, told_if_empty(over_time("asked".to_owned(), look, false, result, asked)));
    }
    let offered = first.filter(|result| !is_staged(result)).and_then(|result| result.settings.rate);
    let offered = offered.filter(|_| !is_stream);
    let highest = bounds(&lines, |(_, y)| y)?.1;
    if highest <= 0.0 {
        return None;
    }
    let unit = sides.first().map_or("messages", |side| words::unit(&side.result.settings));
    Some(Chart {
        heading: "Throughput over time",
        explanation: String::new(),
        x: elapsed_axis(sides),
        x_name: "s since the start of measuring",
        y: Axis::from_zero(highest.max(offered.unwrap_or(0.0)), |value| {
            if is_stream { words::short(&words::bytes(value)) } else { words::short(&words::number(value)) }
        }),
        y_name: if is_stream {
            "bytes/s"
        } else if unit == "messages" {
            "messages/s"
        } else {
            "connections/s"
        },
        lines,
        dots: Vec::new(),
        dividers: dividers(sides),
        level: offered.map(|rate| (rate, format!("offered: {}/s", words::number(rate)))),
    })
}

fn latency_over_time(sides: &[Side]) -> Option<Chart> {
    let percentile = |percentile: f64| move |group: &Group| group.latency.percentile_ns(percentile).map(|ns| ns as f64);
    let max = |group: &Group| group.latency.max_ns().map(|ns| ns as f64);
    let mut lines = Vec::new();
    if let [Side { letter: None, result, .. }] = sides {
        lines.push(over_time("p50".to_owned(), Look::First, false, result, percentile(50.0)));
        lines.push(over_time("p99".to_owned(), Look::Second, false, result, percentile(99.0)));
        lines.push(over_time("max".to_owned(), Look::Third, false, result, max));
    } else {
        for (Side { letter, result, .. }, look) in sides.iter().zip(Look::SIDES) {
            lines.push(over_time(words::sided(*letter, "p50"), look, false, result, percentile(50.0)));
        }
    }
    let lines: Vec<_> = lines.into_iter().map(told_if_empty).collect();
    let is_all = sides.iter().all(|side| side.result.latency.missing() == 0);
    let heading = if sides.len() > 1 { "Median latency over time" } else { "Latency over time" };
    Some(Chart {
        heading,
        explanation: if is_all { "" } else { "Of the messages that came back, in the interval in which they did." }
            .to_owned(),
        x: elapsed_axis(sides),
        x_name: "s since the start of measuring",
        y: time_axis(&lines)?,
        y_name: "time, logarithmic",
        lines,
        dots: Vec::new(),
        dividers: dividers(sides),
        level: None,
    })
}

/// The curve of a search, with its knee and the highest rate that met the SLO marked.
fn search(result: &SearchResult) -> Option<Chart> {
    let curve = result.curve.clone().unwrap_or_else(|| Curve::of_steps(&result.steps));
    let percentile = &curve.percentile;
    let look = |met| match met {
        Some(true) => Look::First,
        Some(false) => Look::Bad,
        None => Look::Second,
    };
    let name = |look| match look {
        Look::First => "SLO met",
        Look::Bad => "SLO missed",
        _ => "not known whether met",
    };
    let dots: Vec<_> = curve
        .points
        .iter()
        .map(|point| {
            let (mark, is_bound) = (words::on_curve(result, point), if point.is_at_least { "≥ " } else { "" });
            let (rate, time) = (words::number(point.rate), words::time(point.latency_ns));
            let verdict = name(look(point.met));
            Dot {
                look: look(point.met),
                x: point.rate,
                y: point.latency_ns,
                title: format!("{rate}/s: {percentile} {is_bound}{time}, {verdict}"),
                label: Some(mark).filter(|mark| !mark.is_empty()),
            }
        })
        .collect();
    let mut lines: Vec<_> = [Look::First, Look::Bad, Look::Second]
        .map(|look| {
            let pieces = dots.iter().filter(|dot| dot.look == look).map(|dot| vec![(dot.x, dot.y)]).collect();
            Line { name: name(look).to_owned(), look, is_area: false, pieces }
        })
        .into();
    lines.retain(|line| !line.pieces.is_empty());
    let points = curve.points.iter().map(|point| (point.rate, point.latency_ns)).collect();
    lines.push(Line { pieces: vec![points], ..line(String::new(), Look::First) });
    let marked = dots.iter().filter(|dot| dot.label.is_some()).map(|dot| dot.x).collect();
    let bounds_are = if curve.points.iter().any(|point| point.is_at_least) {
        " Where messages are missing, it is a lower bound."
    } else {
        ""
    };
    Some(Chart {
        heading: "Latency by offered rate",
        explanation: format!(
            "The {percentile} at each rate that was tried.{bounds_are} Knee: {}.",
            words::knee(&curve)
        ),
        x: Axis::from_zero(bounds(&lines, |(x, _)| x)?.1, |rate| words::short(&words::number(rate))),
        x_name: "messages/s offered",
        y: time_axis(&lines)?,
        y_name: "time, logarithmic",
        lines,
        dots,
        dividers: marked,
        level: None,
    })
}

/// Intervals that form one point.
struct Group {
    start_s: f64,
    end_s: f64,
    length_s: f64,
    /// The asked rate, if it is known for all of them.
    asked: Option<f64>,
    completed: f64,
    bytes: f64,
    latency: Samples,
}

/// Steps of the `figure` of the intervals; broken where there is none, and between runs.
fn over_time(
    name: String,
    look: Look,
    is_area: bool,
    result: &RunResult,
    figure: impl Fn(&Group) -> Option<f64>,
) -> Line {
    let placed = timeline::place(&result.intervals);
    let at_once = placed.len().div_ceil(MOST_POINTS).max(1);
    let mut pieces = Vec::new();
    for run in placed.chunk_by(|_, next| !next.begins_run) {
        let mut piece = Vec::new();
        for group in run.chunks(at_once).map(group) {
            match figure(&group) {
                Some(value) => piece.extend([(group.start_s, value), (group.end_s, value)]),
                None => pieces.push(std::mem::take(&mut piece)),
            }
        }
        pieces.push(piece);
    }
    pieces.retain(|piece| !piece.is_empty());
    Line { name, look, is_area, pieces }
}

fn group(placed: &[Placed]) -> Group {
    let (start_s, end_s) = (placed.first().map_or(0.0, |first| first.start_s), placed.last().map_or(0.0, end_s));
    let mut latency = Samples::new();
    for one in placed {
        latency.add(&one.interval.latency);
    }
    Group {
        start_s,
        end_s,
        length_s: placed.iter().map(|one| one.interval.length_s).sum::<f64>().max(1e-9),
        asked: placed.iter().map(|one| one.interval.asked).sum(),
        completed: placed.iter().map(|one| one.interval.completed as f64).sum(),
        bytes: placed.iter().map(|one| one.interval.bytes as f64).sum(),
        latency,
    }
}

fn end_s(placed: &Placed) -> f64 {
    placed.start_s + placed.interval.length_s
}

fn elapsed_axis(sides: &[Side]) -> Axis {
    let ends = sides.iter().filter_map(|side| timeline::place(&side.result.intervals).last().map(end_s));
    Axis::to_exactly(ends.fold(0.0, f64::max), |time_s| words::short(&words::number(time_s)))
}

fn dividers(sides: &[Side]) -> Vec<f64> {
    let Some(longest) = sides.iter().max_by_key(|side| side.result.intervals.len()) else { return Vec::new() };
    let placed = timeline::place(&longest.result.intervals);
    placed.iter().skip(1).filter(|one| one.begins_run).map(|one| one.start_s).collect()
}

fn time_axis(lines: &[Line]) -> Option<Axis> {
    let (low, high) = bounds(lines, |(_, y)| y)?;
    Some(Axis::by_ratio(low, high, |ns| words::short(&words::time(ns))))
}

/// The smallest and the largest value of `of` over the points; `None` without points.
fn bounds(lines: &[Line], of: impl Fn((f64, f64)) -> f64) -> Option<(f64, f64)> {
    let values = || lines.iter().flat_map(|line| &line.pieces).flatten().map(|point| of(*point));
    values().next()?;
    Some((values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)))
}
