//! The content of a report: first the heading and the verdict, then the figures, then the circumstances.

mod lists;
mod standing;
mod tables;
mod tiles;

use super::document::{Document, Heading, Part, Table};
use super::{sides, words};
use crate::result::{BesideResult, CompareResult, LETTERS, Report, RunResult, SearchResult, Settings};

/// The whole content.
pub(super) fn of_report(report: &Report) -> Document {
    let mut document = match report {
        Report::Run(result) => run(result),
        Report::Compare(result) => compare(result),
        Report::Search(result) => search(result),
        Report::Beside(result) => beside(result),
    };
    let sides = sides(report);
    document.push(Part::Pictures);
    // The text of many runs has only one table.
    let is_short = matches!(report, Report::Beside(_));
    for part in [tables::addresses(&sides), tables::times(&sides)].into_iter().flatten() {
        document.push(match part {
            Part::Table(table) if is_short => Part::Table(Table { rows_in_text: 0, ..table }),
            part => part,
        });
    }
    document.extend(lists::of_sides(&sides, is_short));
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

fn beside(result: &BesideResult) -> Document {
    let named = result.runs.iter().zip(LETTERS).map(|(run, letter)| {
        let RunResult { settings: Settings { target, .. }, runs, started, .. } = &run.result;
        format!("{letter} is {}: {target}, {}, {started}", run.name, words::counted(runs.len() as u64, "run"))
    });
    let mut lines: Vec<_> = named.collect();
    // The other runs have the same settings, except those that the banner lists.
    lines.extend(result.runs.first().map(|first| format!("A: {}", words::settings(&first.result.settings))));
    let heading = Heading {
        kind: "report".to_owned(),
        title: format!("{} runs side by side", result.runs.len()),
        lines,
        when: String::new(),
    };
    let mut document = vec![Part::Heading(heading)];
    document.extend(standing::of_beside(result).into_iter().map(Part::Banner));
    document.push(tables::beside(result));
    document
}

fn when(result: &RunResult) -> String {
    format!("{} on {}", result.started, result.environment.host)
}
