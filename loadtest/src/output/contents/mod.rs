//! The content of a report: first the heading and the verdict, then the figures, then the circumstances.

mod lists;
mod standing;
mod tables;
mod tiles;

use super::document::{Document, Heading, Part};
use super::{Side, sides, words};
use crate::result::{CompareResult, Report, RunResult, SearchResult};

/// The whole content.
pub(super) fn of_report(report: &Report) -> Document {
    let mut document = match report {
        Report::Run(result) => run(result),
        Report::Compare(result) => compare(result),
        Report::Search(result) => search(result),
    };
    let sides = sides(report);
    document.push(Part::Pictures);
    let is_search = matches!(report, Report::Search(_));
    document.extend(tables::addresses(&sides, is_search));
    document.extend(tables::times(&sides, is_search));
    document.extend(lists::of_sides(&sides, is_search));
    document
}

fn run(result: &RunResult) -> Document {
    let shard = result.shard.map_or(String::new(), |shard| format!(" ({})", words::shard(shard)));
    let settings = &result.settings;
    let heading = Heading {
        kind: settings.command.clone(),
        title: settings.target.clone(),
        lines: vec![format!("{}{shard}", words::settings(settings))],
        when: when(result),
    };
    let mut document = vec![Part::Heading(heading)];
    document.extend(standing::of_run(result).into_iter().map(Part::Banner));
    document.push(Part::Tiles(tiles::of_run(result, "")));
    document.extend(tables::runs(&result.runs));
    document
}

fn compare(result: &CompareResult) -> Document {
    let [a, b] = [&result.a, &result.b].map(|side| words::settings(&side.settings));
    let lines = if a == b {
        vec![
            format!("A is {}", result.a.settings.target),
            format!("B is {}", result.b.settings.target),
            format!("Both: {a}"),
        ]
    } else {
        vec![format!("A is {}: {a}", result.a.settings.target), format!("B is {}: {b}", result.b.settings.target)]
    };
    let heading = Heading {
        kind: "compare".to_owned(),
        title: format!("{} against {}", result.b.settings.target, result.a.settings.target),
        lines,
        when: when(&result.a),
    };
    let mut document = vec![Part::Heading(heading)];
    document.extend(standing::of_comparison(result).into_iter().map(Part::Banner));
    document.push(Part::Tiles(tiles::of_comparison(result)));
    document.extend(tables::ratios(result));
    document
}

fn search(result: &SearchResult) -> Document {
    let best = result.best.as_ref();
    let heading = Heading {
        kind: "search".to_owned(),
        title: best.map_or(&result.target, |best| &best.settings.target).clone(),
        lines: best.map(|best| format!("{}: {}", result.slo, words::settings(&best.settings))).into_iter().collect(),
        when: best.map_or_else(String::new, when),
    };
    let mut document = vec![Part::Heading(heading)];
    document.extend(standing::of_search(result).into_iter().map(Part::Banner));
    document.push(Part::Tiles(tiles::of_search(result)));
    document.push(tables::steps(result));
    document.extend(tables::curve(result));
    document
}

fn when(result: &RunResult) -> String {
    format!("{} on {}", result.started, result.environment.host)
}

/// The place of a side's result in the JSON.
fn pointer((letter, _): &Side, is_search: bool) -> &'static str {
    match letter {
        Some("A") => "/a",
        Some(_) => "/b",
        None if is_search => "/best",
        None => "",
    }
}
