//! Checks that must hold for the page whatever it shows.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::browser::Browser;
use crate::site::{Site, until};

/// Asserts that every figure equals that of /status.json, and that its text agrees to the last digit shown.
pub fn assert_figures(browser: &mut Browser, site: &Site) {
    let before = site.get("/status.json");
    let is_new = format!("Number(find('[data-json=uptime_seconds]').value) >= {}", before["uptime_seconds"]);
    until(browser, "find('#now').click()", &is_new);
    let figures = browser.evaluate("all('data').map((e) => [e.dataset.json, e.dataset.as, e.value, e.textContent])");
    let figures: Vec<[String; 4]> = serde_json::from_value(figures).expect("texts");
    let after = site.get("/status.json");
    for [path, kind, value, text] in &figures {
        let pointer = format!("/{}", path.replace('.', "/"));
        match [&before, &after].map(|status| status.pointer(&pointer).expect("a figure of the status")) {
            [Value::Number(low), Value::Number(high)] => {
                let [low, high] = [low, high].map(|bound| bound.as_f64().expect("finite"));
                // The requests themselves change the process's memory and files a little.
                let slack = if path.starts_with("process.") { high * 0.1 + 8.0 } else { 0.0 };
                let value: f64 = value.parse().expect("a number");
                assert!((low - slack..=high + slack).contains(&value), "{path}: {value} is not {low} to {high}");
                assert_says(kind, text, value);
            }
            [Value::Null, _] => assert!(text.contains("unknown"), "{path}: {text}"),
            [Value::Array(listeners), _] => {
                let has = |listener: &Value| text.contains(listener["address"].as_str().expect("an address"));
                assert!(listeners.iter().all(has), "{path}: {text}");
            }
            [word, _] => assert!(text.contains(word.as_str().expect("text")), "{path}: {text}"),
        }
    }

    // The important figures must be on the page.
    let shown: BTreeSet<_> = figures.iter().map(|[path, ..]| path.as_str()).collect();
    let closed = after["connections"]["closed"].as_object().expect("counts").iter().filter(|(_, count)| **count != 0);
    let closed = closed.map(|(reason, _)| format!("connections.closed.{reason}"));
    let refused = (0..after["refused"].as_array().expect("counts").len()).map(|index| format!("refused.{index}.count"));
    let others =
        ["connections.active", "connections.limit", "held.bytes", "process.open_files", "bytes.in", "bytes.out"];
    let more = ["accept_errors", "log_lines_dropped", "headers.v1_proxy", "headers.v2_local", "process.resident_bytes"];
    for path in closed.chain(refused).chain(others.into_iter().chain(more).map(str::to_owned)) {
        assert!(shown.contains(path.as_str()), "{path} is not on the page");
    }
}

/// Asserts that `text` is `value`, rounded to the last digit shown.
pub fn assert_says(kind: &str, text: &str, value: f64) {
    let words: Vec<_> = text.split(' ').collect();
    let (mut shown, mut place) = (0.0, 1.0);
    for pair in words.chunks(2) {
        let unit = match pair.get(1) {
            None | Some(&("B" | "s")) => 1.0,
            Some(&"KiB") => 1024.0,
            Some(&"MiB") => 1024.0 * 1024.0,
            Some(&"min") => 60.0,
            Some(&"h") => 3600.0,
            other => panic!("{text}: {other:?} is no unit"),
        };
        let number = pair[0].replace(',', "");
        let digits = number.split_once('.').map_or("", |(_, digits)| digits);
        place = digits.chars().fold(unit, |place, _| place / 10.0);
        shown += number.parse::<f64>().unwrap_or_else(|_| panic!("{text} is no figure")) * unit;
    }
    // Durations are cut off; all other figures are rounded.
    let error = if kind == "duration" { place } else { place * 0.5001 };
    assert!((shown - value).abs() <= error, "{text} is shown for {value}");
}

/// Asserts that the page is not wider than the window, and that all text has the contrast of WCAG 2.2 (1.4.3).
pub fn assert_legible(browser: &mut Browser, view: &str, width: u32) {
    let wide = browser.evaluate("document.documentElement.scrollWidth");
    assert!(wide.as_u64().is_some_and(|wide| wide <= u64::from(width)), "{view}: the page is {wide} px wide");
    let faint = browser.evaluate(
        "(() => {
            const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
            const light = (colour) => {
                const [r, g, b] = parts(colour).map((c) => (c / 255 <= 0.04045 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
            };
            const behind = (e) => {
                const colour = getComputedStyle(e).backgroundColor;
                return parts(colour)[3] === 0 ? behind(e.parentElement) : colour;
            };
            const has_text = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
            const seen = all('body *').filter((e) => has_text(e) && e.checkVisibility());
            return seen.map((e) => {
                const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
                return [e.textContent, Math.max(a, b) / Math.min(a, b)];
            });
        })()",
    );
    let contrasts: Vec<(String, f64)> = serde_json::from_value(faint).expect("texts and contrasts");
    assert!(contrasts.len() > 40, "only {} texts are seen", contrasts.len());
    for (text, contrast) in contrasts {
        assert!(contrast >= 4.5, "{view}: {text:?} has a contrast of {contrast:.2}");
    }
}
