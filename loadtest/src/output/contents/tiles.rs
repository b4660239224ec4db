//! The main figures, shown large.

use super::super::document::{Piece, Text, Tile, bytes, count, figure, fraction, known, optional, quotient};
use super::super::words;
use crate::result::{CompareResult, RunResult, SearchResult, Totals, percentile_name};

/// The tiles of the run whose JSON is at `pointer`.
pub(super) fn of_run(result: &RunResult, pointer: &str) -> Vec<Tile> {
    let is_idle = result.settings.command == "idle";
    let mut tiles = if is_idle { connections(result, pointer) } else { vec![throughput(result, pointer)] };
    tiles.extend(latencies(result, pointer));
    tiles.push(errors(result, pointer));
    tiles
}

fn throughput(result: &RunResult, pointer: &str) -> Tile {
    let per = format!("{pointer}/measured_s");
    let completed = format!("{pointer}/totals/measured_completed");
    let unit = words::unit(&result.settings);
    let (rate, bytes) = (result.rate(), result.bytes_per_s());
    let rate = optional(rate, |rate| quotient(&completed, &per, rate, words::number(rate)));
    let received = format!("{pointer}/totals/measured_bytes");
    let bytes = optional(bytes, |bytes| quotient(&received, &per, bytes, words::bytes(bytes)));
    let all = count(&completed, result.totals.measured_completed);
    let measured = words::seconds(result.measured_s);
    let (figure, detail) = if result.settings.command == "stream" {
        (bytes, rate.and(format!(" {unit}/s")))
    } else {
        (rate, all.and(format!(" {unit} in {measured}, ")).and(bytes).and("/s"))
    };
    tile("Throughput", figure.and(Piece::Unit("/s")), detail)
}

/// The median, and the two highest percentiles that have enough samples; otherwise the maximum.
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
    let supported = shown.into_iter().filter_map(|(shown, detail)| {
        let (percentile, figure) = (percentile_name(shown), samples.percentile(shown)?);
        Some(tile(&format!("{name} {percentile}"), known(&pointer, &percentile, Some(figure)), detail.into()))
    });
    let mut tiles: Vec<_> = supported.collect();
    let all = Text::from("of ").and(count(&format!("{pointer}/count"), samples.count()));
    tiles.push(tile(&format!("{name} max"), known(&pointer, "max", samples.max()), all));
    tiles.into_iter().map(|tile| Tile { on_page_alone: true, ..tile }).collect()
}

fn connections(result: &RunResult, pointer: &str) -> Vec<Tile> {
    let totals = &result.totals;
    let opened = count(&format!("{pointer}/totals/connections_opened"), totals.connections_opened);
    let alive = count(&format!("{pointer}/totals/connections_alive"), totals.connections_alive);
    let detail = Text::from("of ").and(opened).and(format!(" opened, after {}", words::seconds(result.measured_s)));
    let is_bad = totals.connections_alive < totals.connections_opened;
    let mut tiles = vec![Tile { is_bad, ..tile("Connections alive", alive, detail) }];
    if let Some(server) = &result.server {
        let place = format!("{pointer}/server/rss_per_connection_bytes");
        let growth = optional(server.rss_per_connection_bytes, |growth| bytes(&place, growth));
        tiles.push(Tile { on_page_alone: true, ..tile("Server memory", growth, "a connection".into()) });
    }
    tiles
}

fn errors(result: &RunResult, pointer: &str) -> Tile {
    let pointers = Totals::ERRORS.map(|kind| format!("{pointer}/totals/{kind}")).join(" ");
    let errors = result.totals.errors();
    let kinds = words::errors(&result.totals);
    let is_verified = result.settings.verify != "off" && result.totals.bytes_received > 0;
    let detail = match (kinds.is_empty(), is_verified) {
        (true, true) => "every byte verified".to_owned(),
        (true, false) => "nothing failed or was lost".to_owned(),
        (false, _) => kinds.join(", "),
    };
    Tile { is_bad: errors > 0, ..tile("Errors", figure(&pointers, errors, words::count(errors)), detail.into()) }
}

pub(super) fn of_comparison(result: &CompareResult) -> Vec<Tile> {
    let ratios = result.ratios.iter().enumerate().map(|(index, ratio)| {
        let at = |name: &str, value: f64| fraction(&format!("/ratios/{index}/{name}"), value, words::ratio(value));
        let interval = match (ratio.low, ratio.high) {
            (Some(low), Some(high)) => Text::from(", ")
                .and(at("low", low))
                .and(" to ")
                .and(at("high", high))
                .and(format!(" at {}", words::short(&words::percent(result.confidence)))),
            _ => ", too few pairs for an interval".into(),
        };
        let detail = Text::from(Piece::Strong(words::difference(ratio))).and(interval);
        let figure = Text::from(Piece::Unit("×")).and(" ").and(at("ratio", ratio.ratio));
        Tile { on_page_alone: true, ..tile(&format!("{}, B to A", ratio.figure), figure, detail) }
    });
    ratios.collect()
}

pub(super) fn of_search(result: &SearchResult) -> Vec<Tile> {
    let best = result.best_rate.map_or_else(
        || words::NOTHING.into(),
        |rate| fraction("/best_rate", rate, words::number(rate)).and(Piece::Unit("/s")),
    );
    let is_bad = result.best_rate.is_none();
    let mut tiles = vec![Tile { is_bad, ..tile("Highest rate that met the SLO", best, result.slo.as_str().into()) }];
    if let Some(best) = &result.best {
        tiles.extend(latencies(best, "/best"));
        tiles.push(errors(best, "/best"));
    }
    tiles
}

fn tile(name: &str, figure: Text, detail: Text) -> Tile {
    Tile { name: name.to_owned(), figure, detail, is_bad: false, on_page_alone: false }
}
