//! The page in a browser, light, dark, on a telephone and on paper: no errors, no requests, and every figure on it
//! equals that of the JSON inside.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use loadtest::cli::OutputArgs;
use loadtest::output::write_all;
use loadtest::result::{self, Report};
use loadtest::{beside, held, profile};
use serde_json::{Value, json};

#[path = "../../tests/common/browser.rs"]
mod browser;
#[path = "page/sample.rs"]
mod sample;

use browser::Browser;

/// The views of the page: name, width in px, colour scheme, medium.
const VIEWS: [(&str, u32, &str, &str); 4] = [
    ("light", 1200, "light", "screen"),
    ("dark", 1200, "dark", "screen"),
    ("phone", 390, "light", "screen"),
    ("print", 720, "dark", "print"),
];

#[test]
fn an_open_loop_run_is_shown_as_it_was() {
    check("open", &Report::Run(Box::new(sample::stalling())));
}

#[test]
fn a_rate_that_changes_is_shown_as_it_was() {
    check("stages", &Report::Run(Box::new(sample::staged())));
}

#[test]
fn an_overload_is_shown_as_bounds() {
    check("overloaded", &Report::Run(Box::new(sample::overloaded())));
}

#[test]
fn a_closed_loop_run_is_shown_as_it_was() {
    check("closed", &Report::Run(Box::new(sample::steady())));
}

#[test]
fn an_idle_run_is_shown_as_it_was() {
    check("idle", &Report::Run(Box::new(sample::idle())));
}

#[test]
fn a_comparison_is_shown_as_it_was() {
    check("compare", &Report::Compare(Box::new(sample::comparison())));
}

#[test]
fn a_search_is_shown_as_it_was() {
    check("search", &Report::Search(Box::new(sample::search())));
}

#[test]
fn runs_beside_each_other_are_shown_as_they_were() {
    check("beside", &Report::Beside(Box::new(sample::beside())));
}

#[test]
fn texts_that_mean_no_good_are_merely_shown() {
    check("hostile", &Report::Run(Box::new(sample::hostile())));
}

/// Opens the page of `report` in each of [`VIEWS`], and leaves pictures for people in the target's directory.
fn check(name: &str, report: &Report) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&directory).expect("the target's directory can be written");
    let path = directory.join(format!("{name}.html"));
    let outputs = OutputArgs { html: Some(path.clone()), quiet: true, ..OutputArgs::default() };
    write_all(report, &outputs, false).expect("the page is written");

    let mut browser = Browser::start();
    for (view, width, scheme, medium) in VIEWS {
        browser.look(width, scheme, medium);
        let requests = browser.open(&format!("file://{}", path.display()));
        assert_eq!(requests.len(), 1, "the page stands alone, but asks for {requests:?}");

        assert_figures(&mut browser, report);
        assert_legible(&mut browser, view, width);
        browser.take_picture(&directory.join(format!("{name}-{view}.png")));
    }
    browser.print(&directory.join(format!("{name}.pdf")));
    assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
}

/// Asserts that every figure has the value at its place in the JSON, and that its text agrees to the last digit shown.
fn assert_figures(browser: &mut Browser, report: &Report) {
    let embedded = browser.evaluate("document.getElementById('result').textContent");
    let embedded: Value = serde_json::from_str(embedded.as_str().expect("text")).expect("JSON");
    assert!(embedded == serde_json::to_value(report).expect("JSON"), "the JSON within is not the result");

    let figures = browser.evaluate(
        "[...document.querySelectorAll('data')].map(e => [e.dataset.json, e.dataset.per ?? '', e.value, e.textContent])",
    );
    let figures: Vec<[String; 4]> = serde_json::from_value(figures).expect("texts");
    assert!(figures.len() > 25, "only {} figures are on the page", figures.len());
    for [pointers, per, value, text] in &figures {
        let at = |pointer: &str| {
            let found = embedded.pointer(pointer).and_then(Value::as_f64);
            found.unwrap_or_else(|| panic!("{text} is from {pointer}, where there is no figure"))
        };
        let expected = pointers.split(' ').map(at).sum::<f64>() / if per.is_empty() { 1.0 } else { at(per) };
        let value: f64 = value.parse().expect("a number");
        assert!((value - expected).abs() <= expected.abs() * 1e-12, "{pointers}: {value} is not {expected}");
        assert_says(text, expected);
    }

    // The important figures must be on the page.
    let shown: BTreeSet<_> = figures.iter().map(|[pointer, ..]| pointer.as_str()).collect();
    let wanted: &[&str] = match report {
        Report::Run(result) if result.settings.command == "idle" => {
            &["/totals/connections_alive", "/connect_time/percentiles_ns/p99.9", "/server/rss_per_connection_bytes"]
        }
        Report::Run(result) if result.latency.missing() > 0 => {
            &["/latency/at_least_ns/p50", "/latency/at_least_ns/max", "/totals/requests_unsent", "/latency/count"]
        }
        Report::Run(_) => &[
            "/totals/measured_completed",
            "/latency/percentiles_ns/p50",
            "/latency/percentiles_ns/p99",
            "/latency/percentiles_ns/p99.9",
            "/latency/max_ns",
            "/latency/count",
            "/generator/thread_cpu/0",
        ],
        Report::Compare(_) => &["/ratios/0/ratio", "/ratios/0/low", "/a/latency/max_ns", "/b/latency/max_ns"],
        Report::Search(_) => &["/best_rate", "/steps/2/figures/p99_ns", "/best/latency/percentiles_ns/p99"],
        Report::Beside(_) => &["/figures/0/runs/1/low", "/figures/1/runs/4/median", "/runs/4/result/latency/max_ns"],
    };
    for pointer in wanted {
        assert!(shown.contains(pointer), "{pointer} is not on the page");
    }
}

/// Asserts that `text` is `value`, rounded to the digits shown.
fn assert_says(text: &str, value: f64) {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let (number, scale) = match (number.strip_suffix('%'), unit) {
        (Some(number), "") => (number, 0.01),
        (None, "" | "ns" | "B" | "/s" | "1/s") => (number, 1.0),
        (None, "µs") => (number, 1e3),
        (None, "ms") => (number, 1e6),
        (None, "s") => (number, 1e9),
        (None, "KiB") => (number, 1024.0),
        (None, "MiB") => (number, 1024.0 * 1024.0),
        (None, "GiB") => (number, 1024.0 * 1024.0 * 1024.0),
        other => panic!("{text}: {other:?} is no figure"),
    };
    let number = number.trim_end_matches("/s").replace(',', "");
    let digits = number.split_once('.').map_or("", |(_, digits)| digits);
    let shown: f64 = number.parse().unwrap_or_else(|_| panic!("{text} is no figure"));
    let last_digit = digits.chars().fold(scale, |place, _| place / 10.0);
    assert!((shown * scale - value).abs() <= last_digit * 0.5001, "{text} is shown for {value}");
}

/// Script in the page: the labels of a picture that touch each other or leave the picture.
const COLLISIONS: &str = "[...document.querySelectorAll('svg')].filter(e => e.checkVisibility()).flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    const labels = [...svg.querySelectorAll('text')].map(e => ({words: e.textContent, box: e.getBoundingClientRect()}));
    const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2;
    const outside = labels.filter(({box}) => box.left < frame.left - 1 || box.right > frame.right + 1);
    const pairs = labels.flatMap((a, i) => labels.slice(i + 1).filter(b => touch(a.box, b.box)).map(b => [a, b]));
    return [...outside.map(a => a.words + ' is cut'), ...pairs.map(([a, b]) => a.words + ' touches ' + b.words)];
})";

/// Asserts that the page is not wider than the window, that each picture is shown once with letters large enough to
/// read, and that labels do not touch. Words below a row must be within the screen, however wide the table is.
fn assert_legible(browser: &mut Browser, view: &str, width: u32) {
    let wide = browser.evaluate("document.documentElement.scrollWidth");
    assert!(wide.as_u64().is_some_and(|wide| wide <= u64::from(width)), "{view}: the page is {wide} px wide");
    let letters = browser.evaluate(
        "[...document.querySelectorAll('svg')].filter(e => e.checkVisibility())
         .map(e => 13 * e.getBoundingClientRect().width / e.viewBox.baseVal.width)",
    );
    let pictures = browser.evaluate("document.querySelectorAll('figure').length");
    let letters = letters.as_array().expect("sizes");
    assert_eq!(json!(letters.len()), pictures, "{view}: each picture is shown once");
    assert!(
        letters.iter().all(|size| size.as_f64().is_some_and(|size| size > 9.5)),
        "{view}: letters of {letters:?} px"
    );
    assert_eq!(browser.evaluate(COLLISIONS), json!([]), "{view}");
    let below = browser.evaluate(
        "[...document.querySelectorAll('.below div')].map(e => e.getBoundingClientRect())
         .filter(e => e.left < 0 || e.right > innerWidth || e.width == 0).length",
    );
    assert_eq!(below, json!(0), "{view}: reasons are out of sight");
}
