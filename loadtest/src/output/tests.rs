//! The outputs, read as the readers of each format read them.

use std::path::PathBuf;
use std::str;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use proxy_echo_args::json::Json;

use super::*;
use crate::judge;
use crate::result::{self, Samples};
use crate::{beside, held, profile};

#[path = "../../tests/page/sample.rs"]
mod sample;

fn shown(report: &Report) -> String {
    let mut out = Vec::new();
    text::write(&mut out, &contents::of_report(report), false).unwrap();
    String::from_utf8(out).unwrap()
}

fn of_run(result: RunResult) -> Report {
    Report::Run(Box::new(result))
}

/// The line that begins with `name`.
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no line {name:?} in:\n{text}"))
}

#[test]
fn the_table_has_every_figure_that_the_sample_supports() {
    let result = sample::stalling();
    let times = [50.0, 90.0, 99.0, 99.9].map(|one| words::time(result.latency.percentile_ns(one).unwrap() as f64));
    let count = words::count(result.latency.count());
    let rate = words::number(result.rate().unwrap());
    let text = shown(&of_run(result));
    let latency = line(&text, "latency, scheduled");
    for time in &times {
        assert!(latency.contains(time), "{time} is missing in: {latency}");
    }
    assert!(latency.trim_end().ends_with(&count), "{count} is missing in: {latency}");
    for name in ["service time", "generator late by", "connect", "Generator", "Server", "Worth knowing"] {
        line(&text, name);
    }
    assert!(line(&text, "Throughput").contains(&format!("{rate}/s")), "{text}");
    assert!(line(&text, "SLO missed").contains("p99<2ms: missed, 90ms measured"), "{text}");
    assert!(line(&text, "Errors").contains(" 0  every byte verified"), "{text}");
    assert!(!text.contains("INVALID"), "{text}");
}

#[test]
fn a_percentile_that_few_samples_make_is_not_shown() {
    let mut result = sample::steady();
    result.latency = Samples::new();
    (1..=100).for_each(|ms| result.latency.record(ms * 1_000_000));
    result.service_time = result.latency.clone();
    result.latency_corrected = None;
    result.connect_time = Samples::new();
    result.runs.truncate(1);
    let text = shown(&of_run(result));
    let header = text.lines().find(|line| line.contains("p50")).unwrap();
    assert_eq!(header.split_whitespace().collect::<Vec<_>>(), ["p50", "p90", "max", "mean", "count"]);
}

#[test]
fn closed_loop_shows_the_latency_once_and_what_a_schedule_would_have_seen() {
    let text = shown(&of_run(sample::steady()));
    line(&text, "latency ");
    line(&text, "latency, corrected");
    assert!(!text.contains("service time") && !text.contains("generator late by"), "{text}");
    assert!(line(&text, "SLO met").contains("p99<2ms: met, 1.2ms measured"), "{text}");
}

#[test]
fn what_is_missing_makes_lower_bounds_and_no_figures() {
    let mut report = of_run(sample::overloaded());
    judge::conclude(&mut report, None);
    let text = shown(&report);
    let verdict = text.lines().nth(3).unwrap();
    for words in ["RATE NOT ACHIEVED: asked 400,000/s", "the target was the limit", "; valid; no SLO; exit code 4"] {
        assert!(verdict.contains(words), "{words} is missing in: {verdict}");
    }
    let latency: Vec<_> = line(&text, "latency, scheduled").split("  ").filter(|cell| !cell.is_empty()).collect();
    // 56,000 messages were answered, each in less than 10 ms; lower bounds of the other 1,040,000 are evenly 2.6 ms to
    // 2.6 s.
    assert!(latency[1].trim().starts_with("≥ 1.2") && latency[1].ends_with(" s"), "{latency:?}");
    assert!(latency[2..6].iter().all(|cell| cell.trim().starts_with("≥ 2.")), "{latency:?}");
    // The page and the JSON do not have the percentile either.
    let Report::Run(result) = &report else { unreachable!() };
    let json = serde_json::to_value(result).unwrap();
    assert_eq!(json["latency"]["percentiles_ns"], serde_json::json!({}));
    assert_eq!(json["latency"]["max_ns"], serde_json::Value::Null);
}

/// The legends of the page's pictures, picture by picture.
fn legends(report: &Report) -> Vec<String> {
    let page = super::html::page(report).unwrap();
    let legends = page.split("<ul class=\"legend\">").skip(1).filter_map(|rest| rest.split("</ul>").next());
    legends.map(str::to_owned).collect()
}

#[test]
fn a_picture_names_its_lines_even_if_nothing_is_known_of_one() {
    let mut result = sample::comparison();
    result.b.latency = Samples::new();
    result.b.intervals.clear();
    let all = legends(&Report::Compare(Box::new(result)));
    assert_eq!(all.len(), 3);
    for legend in &all {
        assert!(legend.contains(">A: ") && legend.contains(">B: ") && legend.contains("(not known)"), "{legend}");
    }
    // In an overload only the fastest answers are known: no line may look like the latency of all.
    let all = legends(&of_run(sample::overloaded()));
    assert!(all[0].contains(">latency, scheduled (not known)<") && all[0].contains(">service time<"), "{all:?}");
}

#[test]
fn a_profile_is_judged_second_by_second() {
    let mut report = of_run(sample::staged());
    judge::conclude(&mut report, None);
    let text = shown(&report);
    let settings = line(&text, "50 connections");
    let points = "open loop at 1,000/s at 0 s, 10,000/s at 10 s, 10,000/s at 20 s, uniform arrivals";
    assert!(settings.contains(points), "{settings}");
    let verdict = line(&text, "FINE");
    let words = "asked 1,000/s to 10,000/s, 7,750/s on average, achieved 7,650/s, 19 of 20 seconds within 1% of the profile, \
                 the farthest at 16 s: 8,000/s of 10,000/s; valid";
    assert!(verdict.contains(words), "{verdict}");
    let legend = &legends(&report)[1];
    assert!(legend.contains(">asked<") && legend.contains(">achieved<"), "{legend}");
}

#[test]
fn a_target_that_lags_keeps_a_profile_and_one_that_is_short_does_not() {
    let mut result = sample::staged();
    let profile = profile::Profile::new(&result.settings.stages);
    for interval in &mut result.intervals {
        // Answers take 300 ms: while the rate rises, this many are still missing.
        let until = |time_s: f64| profile.count_until((time_s - 0.3).max(0.0));
        interval.completed = (until(interval.start_s + 1.0) - until(interval.start_s)) as u64;
        interval.latency = Samples::new();
        interval.latency.record_n(300_000_000, 100);
    }
    let lags = held::held(&result).unwrap();
    assert_eq!((lags.pieces, lags.within, lags.is_kept()), (20, 20, true), "{lags:?}");
    for interval in &mut result.intervals[12..14] {
        interval.completed = interval.completed * 98 / 100;
    }
    let short = held::held(&result).unwrap();
    assert_eq!((short.within, short.short, short.is_kept()), (18, 2, false), "{short:?}");
}

#[test]
fn nothing_measured_is_not_valid() {
    let mut result = sample::idle();
    result.settings.command = "rr".to_owned();
    let mut report = of_run(result);
    judge::conclude(&mut report, None);
    let text = shown(&report);
    assert!(text.contains("nothing measured; no SLO") && !text.to_lowercase().contains("valid"), "{text}");
}

#[test]
fn an_invalid_run_says_so_before_its_figures_and_why() {
    let text = shown(&of_run(sample::hostile()));
    let invalid = text.find("INVALID").unwrap();
    assert!(invalid < text.find("p50").unwrap(), "{text}");
    assert!(text.contains("generator thread 0 used 97% of a core"), "{text}");
    for words in
        ["12 connects failed", "7 messages unanswered", "3 places with changed bytes", "1 place with lost bytes"]
    {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
}

#[test]
fn nothing_from_outside_steers_the_terminal() {
    let text = shown(&of_run(sample::hostile()));
    assert!(text.chars().all(|character| !character.is_control() || character == '\n'), "{text:?}");
}

#[test]
fn an_idle_run_counts_connections() {
    let text = shown(&of_run(sample::idle()));
    assert!(line(&text, "Connections alive").contains("18,998  of 19,000 opened"), "{text}");
    assert!(line(&text, "Errors").contains("2 connections lost"), "{text}");
    assert!(!text.contains("Throughput"), "{text}");
}

#[test]
fn a_comparison_gives_ratio_interval_and_verdict() {
    let text = shown(&Report::Compare(Box::new(sample::comparison())));
    let rate: Vec<_> = line(&text, "rate").split_whitespace().collect();
    assert_eq!(rate, ["rate", "101,234/s", "61,021/s", "0.603", "0.591", "0.615", "39.7%", "lower"]);
    assert!(text.contains("B's rate is 39.7% lower than A's: 0.591 to 0.615 of A's at 95% confidence."), "{text}");
    assert!(text.contains("B's p50 is 2.08 times A's"), "{text}");
    assert!(text.contains("No difference shown in p99: B's is 0.981 to 1.158 of A's"), "{text}");
    assert!(text.contains("5 pairs of runs, in turn: the interval is tight enough"), "{text}");
    line(&text, "A Generator");
    line(&text, "B: latency");
}

#[test]
fn runs_beside_each_other_make_one_table_with_their_confidence() {
    let mut report = Report::Beside(Box::new(sample::beside()));
    judge::conclude(&mut report, None);
    let text = shown(&report);
    let cells =
        |name: &str| line(&text, name).split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
    assert_eq!(cells("rate, A: haproxy").len(), 2, "{text}");
    let envoy = cells("rate, C: envoy");
    assert_eq!(envoy.len(), 6, "{envoy:?}");
    let [ratio, low, high] = [envoy[2], envoy[3], envoy[4]].map(|cell| cell.parse::<f64>().unwrap());
    assert!(low < ratio && ratio < high && high < 1.0 && (0.78..0.82).contains(&ratio), "{envoy:?}");
    assert!(envoy[5].ends_with("% lower"), "{envoy:?}");
    assert_eq!(cells("p50, E: caddy").last(), Some(&"unknown, because E has 1 run"), "{text}");
    assert_eq!(cells("p99.9, E: caddy").last(), Some(&"unknown, because E has no such figure"), "{text}");
    let unlike = line(&text, "Not alike");
    assert!(unlike.ends_with("E: connections is 100, A's is 50"), "{text}");
    assert!(text.contains("have 99% confidence") && line(&text, "FINE").contains("A: "), "{text}");
    assert!(!text.contains("latency, scheduled") && !text.contains("Use of the machines"), "{text}");
    let all = legends(&report);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|legend| legend.matches("<li").count() == 5), "{all:?}");
}

#[test]
fn runs_that_cannot_be_compared_are_refused_with_the_reason() {
    type Change = fn(&mut RunResult);
    let runs = |change: Change| {
        let mut changed = sample::steady();
        change(&mut changed);
        let names = ["before", "after"].map(str::to_owned).into_iter();
        names.zip([sample::steady(), changed]).map(|(name, result)| result::Beside { name, result }).collect::<Vec<_>>()
    };
    let table: [(Change, &str); 3] = [
        (|run| run.settings.command = "crr".to_owned(), "after is a run of crr, before of rr: they cannot be compared"),
        (
            |run| run.settings.rate = Some(1000.0),
            "after is open loop (at a rate), before closed loop (without a rate): their latencies cannot be compared",
        ),
        (
            |run| run.shard = Some(result::Shard { index: 1, count: 2 }),
            "after: it is shard 1 of 2: merge the shards first",
        ),
    ];
    for (change, expected) in table {
        assert_eq!(beside::beside(runs(change)).unwrap_err(), expected);
    }
    // What differs otherwise is said, and of an INVALID run nothing is known.
    let result = beside::beside(runs(|run| {
        run.settings.size = 128;
        run.settings.depth = 4;
        run.environment.host = "bench-8".to_owned();
        run.invalid = vec!["late".to_owned()];
    }));
    let result = result.unwrap();
    assert_eq!(
        result.unlike,
        ["B: depth is 4, A's is 1", "B: host is bench-8, A's is bench-7", "B: size is 128, A's is 64"]
    );
    let unknown = result.figures.iter().map(|figure| figure.runs[1].unknown.clone());
    assert!(unknown.into_iter().all(|why| why.is_some_and(|why| why.contains("INVALID") || why.contains("run"))));
    let mut report = Report::Beside(Box::new(result));
    judge::conclude(&mut report, None);
    assert_eq!(judge::verdict(&report), judge::Verdict::Invalid);
}

#[test]
fn a_search_gives_the_rate_and_what_was_tried() {
    let text = shown(&Report::Search(Box::new(sample::search())));
    assert!(line(&text, "Highest rate that met the SLO").contains(" 90,000/s"), "{text}");
    assert!(line(&text, "140,000/s").trim_end().ends_with("missed: p99<2ms: 7.1ms measured"), "{text}");
}

#[test]
fn a_search_shows_its_curve_from_the_lowest_rate_with_the_knee() {
    let result = sample::search();
    let curve = result.curve.clone().unwrap();
    let text = shown(&Report::Search(Box::new(result)));
    let table = &text[text.rfind("offered").unwrap()..];
    let rows: Vec<_> = table.lines().skip(1).take(4).collect();
    for (row, point) in rows.iter().zip(&curve.points) {
        assert!(row.starts_with(&format!("{}/s", words::number(point.rate))), "{row}");
        assert!(row.contains(&words::time(point.latency_ns)), "{row}");
    }
    let bars: Vec<_> = rows.iter().map(|row| row.chars().filter(|&letter| letter == '█').count()).collect();
    assert!(bars.is_sorted() && (bars[0], bars[3]) == (1, 20), "{text}");
    assert!(rows[1].ends_with(" knee") && rows[2].ends_with(" highest that met the SLO"), "{table}");
    let knee = "40,000/s is the highest rate whose p99 is at most twice that at the lowest rate";
    assert!(line(&text, "Knee").contains(knee), "{text}");
}

#[test]
fn a_distribution_file_says_of_each_value_what_the_histogram_says() {
    let result = sample::stalling();
    let mut out = Vec::new();
    hgrm::write(&mut out, &result).unwrap();
    let text = str::from_utf8(&out).unwrap();
    let histogram = result.latency.histogram();

    // HdrHistogram's plotter reads lines with four columns of numbers and without '#'.
    let rows = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().map(|word| word.parse::<f64>().ok()).collect::<Option<Vec<_>>>());
    let rows: Vec<_> = rows.filter(|row| row.len() >= 3).collect();
    assert!(rows.len() > 50, "{text}");
    for row in &rows {
        let ns = (row[0] * hgrm::NS_PER_UNIT).round() as u64;
        assert!(histogram.equivalent(ns, histogram.value_at_quantile(row[1])), "{row:?}");
        assert_eq!(row[2] as u64, histogram.count_between(0, ns), "{row:?}");
        if let Some(inverse) = row.get(3) {
            assert!((inverse * (1.0 - row[1]) - 1.0).abs() < 0.01, "{row:?}");
        }
    }
    assert_eq!(rows.last().map(Vec::len), Some(3), "the last is the maximum, which nothing lies beyond");
    let footer: Vec<_> = text.lines().rev().take(3).collect();
    assert!(footer[1].contains(&format!("Total count    = {:12}", histogram.len())), "{footer:?}");
    assert!(footer[0].contains("SubBuckets     =         2048"), "{footer:?}");
}

/// Start in s, tag and histogram of each line.
fn read_log(bytes: &[u8]) -> Vec<(f64, Option<String>, Histogram<u64>)> {
    let entries = IntervalLogIterator::new(bytes).map(|entry| entry.expect("a log that can be read"));
    let intervals = entries.filter_map(|entry| match entry {
        LogEntry::Interval(interval) => {
            let histogram = BASE64.decode(interval.encoded_histogram()).unwrap();
            let histogram = Deserializer::new().deserialize(&mut histogram.as_slice()).unwrap();
            let tag = interval.tag().map(|tag| tag.as_str().to_owned());
            Some((interval.start_timestamp().as_secs_f64(), tag, histogram))
        }
        LogEntry::StartTime(since_epoch) | LogEntry::BaseTime(since_epoch) => {
            assert_eq!(since_epoch, Duration::from_millis(1_795_368_665_250));
            None
        }
    });
    intervals.collect()
}

#[test]
fn an_interval_log_gives_back_every_interval_of_every_run() {
    let result = sample::steady();
    let mut out = Vec::new();
    hlog::write(&mut out, &sides(&of_run(result.clone()))).unwrap();
    let read = read_log(&out);
    assert_eq!(read.len(), result.intervals.len());
    for (index, ((start_s, tag, histogram), interval)) in read.iter().zip(&result.intervals).enumerate() {
        assert!((start_s - index as f64).abs() < 1e-9, "runs follow each other: {start_s} is not {index}");
        assert_eq!((tag, histogram), (&None, interval.latency.histogram()));
    }
}

#[test]
fn an_interval_log_of_two_targets_has_tags_and_is_in_order() {
    let result = sample::comparison();
    let mut out = Vec::new();
    hlog::write(&mut out, &sides(&Report::Compare(Box::new(result.clone())))).unwrap();
    let read = read_log(&out);
    assert!(read.is_sorted_by(|(one, ..), (other, ..)| one <= other));
    for (letter, side) in [("A", &result.a), ("B", &result.b)] {
        let tagged = read.iter().filter(|(_, tag, _)| tag.as_deref() == Some(letter));
        assert!(tagged.map(|(.., histogram)| histogram).eq(side.intervals.iter().map(|one| one.latency.histogram())));
    }
}

#[test]
fn files_are_written_and_read_back_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let outputs = OutputArgs {
        live: Json::Off,
        json: Json::File(path("x.json")),
        hgrm: Some(path("x.hgrm")),
        hlog: Some(path("x.hlog")),
        html: Some(path("x.html")),
        quiet: true,
        no_progress: false,
    };
    let reports = [
        of_run(sample::hostile()),
        of_run(sample::idle()),
        Report::Compare(Box::new(sample::comparison())),
        Report::Search(Box::new(sample::search())),
    ];
    for report in reports {
        write_all(&report, &outputs, false).unwrap();
        let read = read_report(&path("x.json")).unwrap();
        let [read, written] = [read, report].map(|report| serde_json::to_string(&report).unwrap());
        let same = read.bytes().zip(written.bytes()).take_while(|(one, other)| one == other).count();
        assert!(read == written, "…{} was read back as …{}", &written[same - 60..][..100], &read[same - 60..][..100]);
    }
    // A comparison has a distribution for each side.
    for name in ["x.hgrm", "x.a.hgrm", "x.b.hgrm", "x.hlog", "x.html"] {
        assert!(path(name).metadata().unwrap().len() > 0, "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_the_others_are_still_written() {
    let directory = tempfile::tempdir().unwrap();
    let html = directory.path().join("x.html");
    let json = Json::File(directory.path().join("missing/x.json"));
    let outputs = OutputArgs { json, html: Some(html.clone()), quiet: true, ..OutputArgs::default() };
    let error = write_all(&of_run(sample::idle()), &outputs, false).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("missing/x.json: No such file"), "{error}");
    assert!(html.exists());
}

#[test]
fn what_cannot_be_done_is_told_in_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let newer = serde_json::to_string(&of_run(sample::idle())).unwrap().replacen(
        &format!("\"format\":{FORMAT}"),
        "\"format\":99",
        1,
    );
    let cases = [
        (directory.path().join("none.json"), "cannot read "),
        (file("empty.json", ""), "is no result of loadtest: EOF"),
        (file("other.json", "{\"kind\":\"run\"}"), "is no result of loadtest: missing field"),
        (file("newer.json", &newer), "has format 99, this loadtest knows up to 2"),
    ];
    for (path, words) in cases {
        let error = read_report(&path).unwrap_err().to_string();
        assert!(error.contains(words) && error.lines().count() == 1, "{error}");
    }

    let mut nothing = sample::search();
    (nothing.best, nothing.best_rate) = (None, None);
    let dash = || Some(PathBuf::from("-"));
    let cases = [
        (OutputArgs { hlog: dash(), quiet: true, ..OutputArgs::default() }, "no rate met the SLO"),
        (OutputArgs { hgrm: dash(), quiet: true, ..OutputArgs::default() }, "no rate met the SLO"),
    ];
    for (outputs, words) in cases {
        let error = write_all(&Report::Search(Box::new(nothing.clone())), &outputs, false).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
