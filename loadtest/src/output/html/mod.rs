//! The HTML page in one file: figures, pictures, circumstances, and the JSON that they come from.

mod axis;
mod chart;
mod charts;
mod element;

use std::io;

use self::element::escape;
use super::contents;
use super::document::Part;
use crate::result::Report;

/// The template of the page; each `{{name}}` is replaced by a part of the result.
const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// The page of `report`.
pub(super) fn page(report: &Report) -> io::Result<String> {
    let document = contents::of_report(report);
    let body = document.iter().map(|part| match part {
        Part::Heading(heading) => element::heading(heading),
        Part::Banner(banner) => element::banner(banner),
        Part::Tiles(tiles) => element::tiles(tiles),
        Part::Table(table) => element::table(table),
        Part::Pictures => charts::of_report(report),
        Part::Lists(lists, layout) => element::lists(lists, *layout),
    });
    let body: String = body.collect();
    let parts = [
        ("title", escape(&title(report))),
        ("style", STYLE.to_owned()),
        ("body", body),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        // Escape `<`, so that no text in the JSON can end the element.
        ("json", serde_json::to_string(report)?.replace('<', "\\u003c")),
    ];
    Ok(fill(TEMPLATE, &parts))
}

fn title(report: &Report) -> String {
    match report {
        Report::Run(result) => format!("{} {}", result.settings.command, result.settings.target),
        Report::Compare(result) => format!("{} and {}", result.a.settings.target, result.b.settings.target),
        Report::Search(result) => format!("search {}", result.slo),
        Report::Beside(result) => result.runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// Replaces each `{{name}}` of the template once; inserted text is not searched again.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len() + parts.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        filled.push_str(before);
        filled.push_str(parts.iter().find(|(part, _)| *part == name).map_or("", |(_, text)| text));
        rest = after;
    }
    filled + rest
}
