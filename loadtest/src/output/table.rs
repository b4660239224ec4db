//! The table for people: what was done, what came out, and whether to believe it.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, TableStyle};

use super::{Side, sides, words};
use crate::result::{CompareResult, Figures, Report, RunResult, SearchResult, SloOutcome, percentile_name};

/// The most lines of a list that may be long: runs, steps of a search.
const MOST_LINES: usize = 20;

/// Writes `report`.
pub(super) fn write(out: &mut dyn Write, report: &Report, is_coloured: bool) -> io::Result<()> {
    let paint = Paint { is_coloured };
    match report {
        Report::Run(result) => run(out, paint, result),
        Report::Compare(result) => compare(out, paint, result),
        Report::Search(result) => search(out, paint, result),
    }?;
    latencies(out, &sides(report))?;
    for side in sides(report) {
        facts(out, paint, side)?;
    }
    Ok(())
}

fn run(out: &mut dyn Write, paint: Paint, result: &RunResult) -> io::Result<()> {
    let shard = result.shard.map_or(String::new(), |shard| format!(" ({})", words::shard(shard)));
    let settings = &result.settings;
    let heading = format!("{} {}{shard}", words::plain(&settings.command), words::plain(&settings.target));
    writeln!(out, "{}\n{}", paint.bold(&heading), words::settings(settings))?;
    invalid(out, paint, &result.invalid)?;
    if let Some(why) = &result.cut_short {
        writeln!(out, "\n{}", paint.bold(&format!("Ended early: {}", words::plain(why))))?;
    }
    if result.runs.len() > 1 {
        runs(out, &result.runs)?;
    }
    Ok(())
}

fn compare(out: &mut dyn Write, paint: Paint, result: &CompareResult) -> io::Result<()> {
    writeln!(out, "{}", paint.bold("compare"))?;
    for (letter, side) in [("A", &result.a), ("B", &result.b)] {
        let settings = &side.settings;
        writeln!(out, "{letter}  {}\n   {}", words::plain(&settings.target), words::settings(settings))?;
    }
    invalid(out, paint, &result.invalid)?;

    let mut table = Columns::new(&["", "A", "B", "B/A", "from", "to", ""]);
    for ratio in &result.ratios {
        table.row([
            words::plain(&ratio.figure),
            words::value(ratio.a, &ratio.unit),
            words::value(ratio.b, &ratio.unit),
            words::ratio(ratio.ratio),
            words::ratio(ratio.low),
            words::ratio(ratio.high),
            words::difference(ratio),
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    for ratio in &result.ratios {
        writeln!(out, "{}", words::verdict(result, ratio))?;
    }
    let pairs = words::counted(result.pairs, "pair");
    writeln!(out, "{pairs} of runs, in turn: {}.", words::plain(&result.stopped))
}

fn search(out: &mut dyn Write, paint: Paint, result: &SearchResult) -> io::Result<()> {
    let target = result.best.as_ref().map_or(String::new(), |best| format!(" {}", words::plain(&best.settings.target)));
    writeln!(out, "{}", paint.bold(&format!("search{target}: {}", words::plain(&result.slo))))?;
    if let Some(best) = &result.best {
        writeln!(out, "{}", words::settings(&best.settings))?;
    }
    let mut table = Columns::new(&["offered", "achieved", "p50", "p99", "max", ""]);
    for step in result.steps.iter().take(MOST_LINES) {
        let verdict = if step.met { "met".to_owned() } else { words::plain(&step.why) };
        let figures = &step.figures;
        table.row([
            format!("{}/s", words::number(step.rate)),
            format!("{}/s", words::number(figures.rate)),
            optional(figures.p50_ns),
            optional(figures.p99_ns),
            words::time(figures.max_ns as f64),
            verdict,
        ]);
    }
    table.write(out)?;
    rest(out, result.steps.len())?;
    let answer = result.best_rate.map_or_else(
        || "No rate met the SLO.".to_owned(),
        |rate| format!("The highest rate that met the SLO is {}/s.", words::number(rate)),
    );
    writeln!(out, "\n{} {}.", paint.bold(&answer), words::plain(&result.stopped))?;
    if result.generator_limited {
        invalid(out, paint, &["the generator was the limit: the target may do more".to_owned()])?;
    }
    if let Some(best) = &result.best {
        invalid(out, paint, &best.invalid)?;
    }
    Ok(())
}

fn invalid(out: &mut dyn Write, paint: Paint, reasons: &[String]) -> io::Result<()> {
    if reasons.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.bad("INVALID: these figures must not be used"))?;
    reasons.iter().take(MOST_LINES).try_for_each(|reason| writeln!(out, "  - {}", words::plain(reason)))?;
    rest(out, reasons.len())
}

fn runs(out: &mut dyn Write, runs: &[Figures]) -> io::Result<()> {
    let mut table = Columns::new(&["run", "rate", "p50", "p99", "p99.9", "max", "errors"]);
    for (index, run) in runs.iter().take(MOST_LINES).enumerate() {
        table.row([
            (index + 1).to_string(),
            format!("{}/s", words::number(run.rate)),
            optional(run.p50_ns),
            optional(run.p99_ns),
            optional(run.p999_ns),
            words::time(run.max_ns as f64),
            words::count(run.errors),
        ]);
    }
    table.write(out)?;
    rest(out, runs.len())
}

fn rest(out: &mut dyn Write, lines: usize) -> io::Result<()> {
    if lines > MOST_LINES { writeln!(out, "… and {} more, in the JSON file", lines - MOST_LINES) } else { Ok(()) }
}

fn latencies(out: &mut dyn Write, sides: &[Side]) -> io::Result<()> {
    let rows: Vec<_> = sides
        .iter()
        .flat_map(|(letter, result)| {
            words::times(result).into_iter().map(|times| (words::sided(*letter, times.name), times.samples))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = words::SHOWN
        .into_iter()
        .filter(|percentile| rows.iter().any(|(_, samples)| samples.percentile_ns(*percentile).is_some()))
        .collect();
    let mut header = vec![String::new()];
    header.extend(shown.iter().map(|percentile| percentile_name(*percentile)));
    header.extend(["max".to_owned(), "count".to_owned()]);
    let mut table = Columns::new(&header);
    for (name, samples) in rows {
        let mut row = vec![name];
        row.extend(shown.iter().map(|percentile| optional(samples.percentile_ns(*percentile))));
        row.extend([words::time(samples.max_ns() as f64), words::count(samples.count())]);
        table.row(row);
    }
    table.write(out)
}

fn facts(out: &mut dyn Write, paint: Paint, (letter, result): Side) -> io::Result<()> {
    let totals = &result.totals;
    writeln!(out)?;
    let mut fact = |name: &str, text: &str| {
        let name = letter.map_or_else(|| name.to_owned(), |letter| format!("{letter} {name}"));
        writeln!(out, "{name:<14} {text}")
    };
    if totals.measured_completed > 0 {
        let rate = format!("{} {}/s", words::number(result.rate()), words::unit(&result.settings));
        let bytes = format!("{}/s", words::bytes(result.bytes_per_s()));
        let (first, second) = if result.settings.command == "stream" { (bytes, rate) } else { (rate, bytes) };
        let all = words::count(totals.measured_completed);
        fact(
            "throughput",
            &format!("{}, {second}: {all} in {}", paint.bold(&first), words::seconds(result.measured_s)),
        )?;
    }
    if result.settings.command == "idle" {
        let alive = format!("{} alive", words::count(totals.connections_alive));
        let opened = words::count(totals.connections_opened);
        fact("connections", &format!("{} of {opened} at the end", paint.bold(&alive)))?;
    }
    let errors = words::errors(totals);
    fact("errors", &if errors.is_empty() { "none".to_owned() } else { paint.bad(&errors.join(", ")) })?;
    for (what, count) in totals.errors.iter().take(MOST_LINES) {
        fact("", &format!("{} × {}", words::count(*count), words::plain(what)))?;
    }
    for failure in &result.failures {
        fact("", &words::plain(failure))?;
    }
    fact("generator", &words::generator(result))?;
    if let Some(server) = words::server(result) {
        fact("server", &server)?;
    }
    if let Some(slo) = &result.slo {
        fact("SLO", &outcome(paint, slo))?;
    }
    for note in result.notes.iter().take(MOST_LINES) {
        fact("note", &words::plain(note))?;
    }
    Ok(())
}

fn outcome(paint: Paint, slo: &SloOutcome) -> String {
    let of = |met: bool| {
        let conditions = slo.conditions.iter().filter(|condition| condition.met == met);
        let texts = conditions.map(|one| words::plain(&format!("{} ({})", one.text, one.measured)));
        texts.collect::<Vec<_>>().join(", ")
    };
    if slo.met { format!("met: {}", of(true)) } else { format!("{}: {}", paint.bad("MISSED"), of(false)) }
}

fn optional(ns: Option<u64>) -> String {
    ns.map_or_else(|| words::NOTHING.to_owned(), |ns| words::time(ns as f64))
}

/// Figures in columns, below an empty line. The first column is names; the last is words if it has no heading.
struct Columns {
    table: Table,
    last_is_words: bool,
}

impl Columns {
    fn new<T: AsRef<str>>(header: &[T]) -> Self {
        let mut table = Table::new();
        table.load_style(TableStyle::new()).set_header(header.iter().map(AsRef::as_ref));
        Columns { table, last_is_words: header.last().is_some_and(|name| name.as_ref().is_empty()) }
    }

    fn row<T: IntoIterator<Item = String>>(&mut self, cells: T) {
        self.table.add_row(cells.into_iter().collect::<Vec<_>>());
    }

    fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        let last = self.table.column_count().saturating_sub(1);
        for (index, column) in self.table.column_iter_mut().enumerate() {
            let is_left = index == 0 || (index == last && self.last_is_words);
            column.set_padding((0, 2));
            column.set_cell_alignment(if is_left { CellAlignment::Left } else { CellAlignment::Right });
        }
        writeln!(out, "\n{}", self.table.trim_fmt())
    }
}

/// Emphasis, where it is shown.
#[derive(Clone, Copy)]
struct Paint {
    is_coloured: bool,
}

impl Paint {
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
