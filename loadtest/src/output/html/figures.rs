//! The figures: the big ones first, then tables. Each says where in the JSON it is from.

use std::fmt::Write as _;

use super::super::words;
use super::Side;
use super::element::{count, escape, figure, fraction, optional_time, percentile, quotient, table, time};
use crate::result::{CompareResult, Figures, Report, RunResult, SearchResult, percentile_name};

/// The most runs, or steps of a search, that have a line.
const MOST_LINES: usize = 100;

/// The big figures, and the tables of runs, ratios and steps.
pub(super) fn of_report(report: &Report) -> String {
    match report {
        Report::Run(result) => tiles(&of_run(result, "")) + &runs(&result.runs),
        Report::Compare(result) => compare(result),
        Report::Search(result) => search(result),
    }
}

/// The table of all distributions of times.
pub(super) fn times(sides: &[Side]) -> String {
    let mut rows = Vec::new();
    for Side { letter, pointer, result } in sides {
        for times in words::times(result) {
            let pointer = format!("{pointer}{}", times.pointer);
            let mut row = vec![escape(&words::sided(*letter, times.name))];
            row.extend(words::SHOWN.map(|shown| percentile(&pointer, times.samples, shown)));
            row.push(time(&format!("{pointer}/max_ns"), times.samples.max_ns()));
            let mean_ns = times.samples.mean_ns();
            row.push(fraction(&format!("{pointer}/mean_ns"), mean_ns, &words::time(mean_ns)));
            row.push(count(&format!("{pointer}/count"), times.samples.count()));
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let names = words::SHOWN.map(percentile_name);
    let mut header = vec![""];
    header.extend(names.iter().map(String::as_str));
    header.extend(["max", "mean", "count"]);
    card(&table("Times", &header, &rows))
}

/// A big figure: what it is, the figure itself, and a word on it. The last two are HTML.
struct Tile {
    name: String,
    figure: String,
    detail: String,
    is_bad: bool,
}

fn tiles(tiles: &[Tile]) -> String {
    // Rows of three or of four, so that as few as can be are alone in the last.
    let class = if matches!(tiles.len() % 3, 1) { "tiles four" } else { "tiles" };
    let mut html = format!("<section class=\"{class}\">\n");
    for Tile { name, figure, detail, is_bad } in tiles {
        let class = if *is_bad { "tile bad" } else { "tile" };
        let name = escape(name);
        let _ =
            writeln!(html, r#"<div class="{class}"><h2>{name}</h2><p class="big">{figure}</p><p>{detail}</p></div>"#);
    }
    html + "</section>\n"
}

fn of_run(result: &RunResult, pointer: &str) -> Vec<Tile> {
    let mut tiles = Vec::new();
    if result.settings.command == "idle" {
        tiles.extend(connections(result, pointer));
    } else {
        tiles.push(throughput(result, pointer));
    }
    tiles.extend(latencies(result, pointer));
    tiles.push(errors(result, pointer));
    tiles
}

fn throughput(result: &RunResult, pointer: &str) -> Tile {
    let totals = &result.totals;
    let per = format!("{pointer}/measured_s");
    let unit = words::unit(&result.settings);
    let rate = result.rate();
    let rate = quotient(&format!("{pointer}/totals/measured_completed"), &per, rate, &words::number(rate));
    let bytes = result.bytes_per_s();
    let bytes = quotient(&format!("{pointer}/totals/measured_bytes"), &per, bytes, &words::bytes(bytes));
    let all = count(&format!("{pointer}/totals/measured_completed"), totals.measured_completed);
    let measured = words::seconds(result.measured_s);
    let (figure, detail) = if result.settings.command == "stream" {
        (format!("{bytes}<small>/s</small>"), format!("{rate} {unit}/s"))
    } else {
        (format!("{rate}<small>/s</small>"), format!("{all} {unit} in {measured}, {bytes}/s"))
    };
    Tile { name: "Throughput".to_owned(), figure, detail, is_bad: false }
}

/// The median, and the two highest percentiles that the sample supports; else the maximum.
fn latencies(result: &RunResult, pointer: &str) -> Vec<Tile> {
    let (name, samples, pointer) = if result.latency.is_empty() {
        ("Connect", &result.connect_time, format!("{pointer}/connect_time"))
    } else {
        ("Latency", &result.latency, format!("{pointer}/latency"))
    };
    if samples.is_empty() {
        return Vec::new();
    }
    let shown = [(50.0, "half took no longer"), (99.0, "1 in 100 took longer"), (99.9, "1 in 1,000 took longer")];
    let supported = shown.into_iter().filter(|(shown, _)| samples.percentile_ns(*shown).is_some());
    let mut tiles: Vec<_> = supported
        .map(|(shown, detail)| Tile {
            name: format!("{name} {}", percentile_name(shown)),
            figure: percentile(&pointer, samples, shown),
            detail: detail.to_owned(),
            is_bad: false,
        })
        .collect();
    tiles.push(Tile {
        name: format!("{name} max"),
        figure: time(&format!("{pointer}/max_ns"), samples.max_ns()),
        detail: format!("of {}", count(&format!("{pointer}/count"), samples.count())),
        is_bad: false,
    });
    tiles
}

fn connections(result: &RunResult, pointer: &str) -> Vec<Tile> {
    let totals = &result.totals;
    let opened = count(&format!("{pointer}/totals/connections_opened"), totals.connections_opened);
    let mut tiles = vec![Tile {
        name: "Connections alive".to_owned(),
        figure: count(&format!("{pointer}/totals/connections_alive"), totals.connections_alive),
        detail: format!("of {opened} opened, after {}", words::seconds(result.measured_s)),
        is_bad: totals.connections_alive < totals.connections_opened,
    }];
    if let Some(server) = &result.server {
        let growth = server.rss_per_connection_bytes;
        tiles.push(Tile {
            name: "Server memory".to_owned(),
            figure: fraction(&format!("{pointer}/server/rss_per_connection_bytes"), growth, &words::bytes(growth)),
            detail: "a connection".to_owned(),
            is_bad: false,
        });
    }
    tiles
}

fn errors(result: &RunResult, pointer: &str) -> Tile {
    // The kinds that `Totals::errors` adds.
    const KINDS: [&str; 8] = [
        "connections_failed",
        "connections_lost",
        "requests_unanswered",
        "verification/corrupted",
        "verification/lost",
        "verification/duplicated",
        "verification/crossed",
        "verification/header",
    ];
    let pointers = KINDS.map(|kind| format!("{pointer}/totals/{kind}")).join(" ");
    let errors = result.totals.errors();
    let kinds = words::errors(&result.totals);
    let is_verified = result.settings.verify != "off" && result.totals.bytes_received > 0;
    let detail = match (kinds.is_empty(), is_verified) {
        (true, true) => "every byte verified".to_owned(),
        (true, false) => "nothing failed or was lost".to_owned(),
        (false, _) => kinds.join(", "),
    };
    let figure = figure(&pointers, errors, &words::count(errors));
    Tile { name: "Errors".to_owned(), figure, detail: escape(&detail), is_bad: errors > 0 }
}

fn runs(runs: &[Figures]) -> String {
    if runs.len() < 2 {
        return String::new();
    }
    let rows: Vec<_> = runs
        .iter()
        .take(MOST_LINES)
        .enumerate()
        .map(|(index, run)| {
            let pointer = format!("/runs/{index}");
            let mut row = vec![(index + 1).to_string()];
            row.extend(of_figures(&pointer, run));
            row
        })
        .collect();
    card(&table("Runs", &["", "rate", "p50", "p99", "p99.9", "max", "errors"], &rows))
}

fn of_figures(pointer: &str, figures: &Figures) -> [String; 6] {
    [
        format!("{}/s", fraction(&format!("{pointer}/rate"), figures.rate, &words::number(figures.rate))),
        optional_time(&format!("{pointer}/p50_ns"), figures.p50_ns),
        optional_time(&format!("{pointer}/p99_ns"), figures.p99_ns),
        optional_time(&format!("{pointer}/p999_ns"), figures.p999_ns),
        time(&format!("{pointer}/max_ns"), figures.max_ns),
        count(&format!("{pointer}/errors"), figures.errors),
    ]
}

fn compare(result: &CompareResult) -> String {
    let mut big = Vec::new();
    let mut rows = Vec::new();
    for (index, ratio) in result.ratios.iter().enumerate() {
        let at = |name: &str, value: f64, text: &str| fraction(&format!("/ratios/{index}/{name}"), value, text);
        let [middle, low, high] = [("ratio", ratio.ratio), ("low", ratio.low), ("high", ratio.high)]
            .map(|(name, value)| at(name, value, &words::ratio(value)));
        let difference = escape(&words::difference(ratio));
        big.push(Tile {
            name: format!("{}, B to A", ratio.figure),
            figure: format!("<small>×</small> {middle}"),
            detail: format!(
                "<b>{difference}</b><br>{low} to {high} at {}",
                words::short(&words::percent(result.confidence))
            ),
            is_bad: false,
        });
        rows.push(vec![
            escape(&ratio.figure),
            at("a", ratio.a, &words::value(ratio.a, &ratio.unit)),
            at("b", ratio.b, &words::value(ratio.b, &ratio.unit)),
            difference,
        ]);
    }
    let pairs = words::counted(result.pairs, "pair");
    let mut html = tiles(&big);
    if !rows.is_empty() {
        html += &card(&table(&format!("Medians of {pairs} of runs"), &["", "A", "B", "B against A"], &rows));
    }
    html
}

fn search(result: &SearchResult) -> String {
    let best = result.best_rate.map_or_else(
        || words::NOTHING.to_owned(),
        |rate| format!("{}<small>/s</small>", fraction("/best_rate", rate, &words::number(rate))),
    );
    let mut big = vec![Tile {
        name: "Highest rate that met the SLO".to_owned(),
        figure: best,
        detail: escape(&result.slo),
        is_bad: result.best_rate.is_none(),
    }];
    if let Some(best) = &result.best {
        big.extend(latencies(best, "/best"));
        big.push(errors(best, "/best"));
    }
    let steps = result.steps.iter().take(MOST_LINES).enumerate();
    let rows: Vec<_> = steps
        .map(|(index, step)| {
            let pointer = format!("/steps/{index}");
            let rate = fraction(&format!("{pointer}/rate"), step.rate, &words::number(step.rate));
            let mut row = vec![format!("{rate}/s")];
            row.extend(of_figures(&format!("{pointer}/figures"), &step.figures));
            row.push(if step.met { "met".to_owned() } else { escape(&step.why) });
            row
        })
        .collect();
    let header = ["offered", "achieved", "p50", "p99", "p99.9", "max", "errors", "SLO"];
    tiles(&big) + &card(&table("What was tried", &header, &rows))
}

fn card(html: &str) -> String {
    format!("<section class=\"card\">{html}</section>\n")
}
