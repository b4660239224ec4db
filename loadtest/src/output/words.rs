//! Figures and facts in words, the same in the table and on the page.

use crate::result::{CompareResult, Ratio, RunResult, Samples, Settings, Shard, Totals};

/// The percentiles that are shown, where the sample supports them.
pub(super) const SHOWN: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

/// What stands where there is no figure.
pub(super) const NOTHING: &str = "–";

/// A time in ns, to three digits.
pub(super) fn time(ns: f64) -> String {
    scaled(ns, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")])
}

/// A number of bytes, to three digits.
pub(super) fn bytes(bytes: f64) -> String {
    const KI: f64 = 1024.0;
    scaled(bytes, &[(KI * KI * KI * KI, "TiB"), (KI * KI * KI, "GiB"), (KI * KI, "MiB"), (KI, "KiB"), (1.0, "B")])
}

/// A count, with commas.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that need not be whole: to the unit from 100 on, to three digits below.
pub(super) fn number(value: f64) -> String {
    if value >= 99.95 { count(value.round() as u64) } else { three_digits(value) }
}

/// A share of 0 to 1.
pub(super) fn percent(share: f64) -> String {
    format!("{}%", three_digits(share * 100.0))
}

/// A figure with its unit, without zeros at the end of its fraction: for round figures.
pub(super) fn short(text: &str) -> String {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.' && character != ',');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{unit}")
}

/// A count with what is counted: `1 thread`, `2 threads`.
pub(super) fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A time in s, without needless digits: `10 s`, `0.5 s`.
pub(super) fn seconds(time_s: f64) -> String {
    let text = format!("{time_s:.1}");
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}

/// A text from outside, without what could steer a terminal or break a line.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { plain.extend(character.escape_default()) } else { plain.push(character) }
    }
    plain
}

/// `text` after the letter of its side, if there are sides.
pub(super) fn sided(letter: Option<&str>, text: &str) -> String {
    letter.map_or_else(|| text.to_owned(), |letter| format!("{letter}: {text}"))
}

/// What is counted: messages, or connections where each message has its own.
pub(super) fn unit(settings: &Settings) -> &'static str {
    if settings.command == "crr" { "connections" } else { "messages" }
}

/// What was asked for, on a line.
pub(super) fn settings(settings: &Settings) -> String {
    let mut text = counted(settings.connections, "connection");
    let mut and = |more: &str| {
        text.push_str(", ");
        text.push_str(more);
    };
    and(&counted(settings.threads, "thread"));
    if settings.command != "idle" {
        match settings.rate {
            Some(rate) => and(&format!("open loop at {}/s, {} arrivals", number(rate), plain(&settings.arrival))),
            None => and("closed loop"),
        }
        and(&format!("depth {}", count(settings.depth)));
        and(&format!("{} a message", short(&bytes(settings.size as f64))));
        and(&format!("verify {}", plain(&settings.verify)));
    }
    if let Some(rate) = settings.connect_rate {
        and(&format!("at most {} connects/s", number(rate)));
    }
    if settings.proxy != "none" {
        and(&format!("PROXY {}", plain(&settings.proxy)));
    }
    for (is_set, name) in [
        (settings.pin, "pinned"),
        (settings.spin, "spinning"),
        (settings.reconnect, "reconnecting"),
        (settings.time_wait, "TIME-WAIT kept"),
    ] {
        if is_set {
            and(name);
        }
    }
    let runs = if settings.runs > 1 { format!("{} of ", counted(settings.runs, "run")) } else { String::new() };
    and(&format!("{runs}{} after {} of warm-up", seconds(settings.duration_s), seconds(settings.warmup_s)));
    text
}

/// A distribution of times.
pub(super) struct Times<'a> {
    /// What it is of.
    pub name: &'static str,
    /// Where it is in a run's JSON.
    pub pointer: &'static str,
    /// Not empty.
    pub samples: &'a Samples,
}

/// The distributions of `result` that have samples. In closed loop nothing can wait for its schedule: the service time is the
/// latency, and lag there is none.
pub(super) fn times(result: &RunResult) -> Vec<Times<'_>> {
    let is_open = result.settings.rate.is_some();
    let is_two = is_open || result.service_time != result.latency;
    let latency = if is_open { "latency, scheduled" } else { "latency" };
    let all = [
        (latency, "/latency", Some(&result.latency)),
        ("service time", "/service_time", is_two.then_some(&result.service_time)),
        ("latency, corrected", "/latency_corrected", result.latency_corrected.as_ref()),
        ("waited for connection", "/waited", is_open.then_some(&result.waited)),
        ("generator late by", "/generator/lag", is_open.then_some(&result.generator.lag)),
        ("connect", "/connect_time", Some(&result.connect_time)),
        ("round trip (kernel)", "/tcp/rtt", result.tcp.as_ref().map(|tcp| &tcp.rtt)),
        ("lost until resumed", "/reconnect_time", Some(&result.reconnect_time)),
    ];
    let present =
        all.into_iter().filter_map(|(name, pointer, samples)| Some(Times { name, pointer, samples: samples? }));
    present.filter(|times| !times.samples.is_empty()).collect()
}

/// What went wrong, each kind with its count; empty if nothing did.
pub(super) fn errors(totals: &Totals) -> Vec<String> {
    let verification = &totals.verification;
    let kinds = [
        (totals.connections_failed, "connect failed", "connects failed"),
        (totals.connections_lost, "connection lost", "connections lost"),
        (totals.requests_unanswered, "message unanswered", "messages unanswered"),
        (verification.corrupted, "place with changed bytes", "places with changed bytes"),
        (verification.lost, "place with lost bytes", "places with lost bytes"),
        (verification.duplicated, "place with bytes too many", "places with bytes too many"),
        (verification.crossed, "place with another connection's bytes", "places with other connections' bytes"),
        (verification.header, "header missing or damaged", "headers missing or damaged"),
    ];
    let told = kinds.into_iter().filter(|(number, ..)| *number > 0);
    told.map(|(number, one, many)| format!("{} {}", count(number), if number == 1 { one } else { many })).collect()
}

/// Which part it is.
pub(super) fn shard(shard: Shard) -> String {
    format!("shard {} of {}", shard.index, shard.count)
}

/// A value of a comparison with its unit.
pub(super) fn value(value: f64, unit: &str) -> String {
    match unit {
        "ns" => time(value),
        "1/s" => format!("{}/s", number(value)),
        unit => format!("{} {}", number(value), plain(unit)),
    }
}

/// A ratio, to three digits behind the point.
pub(super) fn ratio(ratio: f64) -> String {
    format!("{ratio:.3}")
}

/// What a ratio comes to.
pub(super) fn difference(ratio: &Ratio) -> String {
    if !ratio.difference_shown {
        "no difference shown".to_owned()
    } else if ratio.ratio >= 2.0 {
        format!("{} times", three_digits(ratio.ratio))
    } else {
        let word = if ratio.ratio < 1.0 { "lower" } else { "higher" };
        format!("{} {word}", percent((ratio.ratio - 1.0).abs()))
    }
}

/// The verdict on one figure, as a sentence.
pub(super) fn verdict(result: &CompareResult, ratio: &Ratio) -> String {
    let figure = plain(&ratio.figure);
    let (Some(low), Some(high)) = (ratio.low, ratio.high) else {
        return format!("B's {figure} is {} of A's: too few pairs for an interval.", self::ratio(ratio.ratio));
    };
    let confidence = short(&percent(result.confidence));
    let between = format!("{} to {} of A's at {confidence} confidence", self::ratio(low), self::ratio(high));
    if !ratio.difference_shown {
        format!("No difference shown in {figure}: B's is {between}.")
    } else if ratio.ratio >= 2.0 {
        format!("B's {figure} is {} A's: {between}.", difference(ratio))
    } else {
        format!("B's {figure} is {} than A's: {between}.", difference(ratio))
    }
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    // What would be rounded up to 1000 is 1 of the next unit.
    let fits = units.iter().find(|(scale, _)| value >= scale * 0.9995).or(units.last());
    fits.map_or_else(String::new, |(scale, unit)| {
        let value = value / scale;
        // The smallest unit is not divided: 64 B, not 64.0 B.
        let is_whole = *scale <= 1.0 && value.fract() == 0.0;
        let number = if is_whole { format!("{value:.0}") } else { three_digits(value) };
        format!("{number} {unit}")
    })
}

fn three_digits(value: f64) -> String {
    if value == 0.0 || value >= 99.95 {
        format!("{value:.0}")
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_the_unit_that_fits() {
        let cases = [
            (0.0, "0 ns"),
            (412.0, "412 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 µs"),
            (1_234.0, "1.23 µs"),
            (12_345.0, "12.3 µs"),
            (99_960.0, "100 µs"),
            (1_500_000.0, "1.50 ms"),
            (61e9, "61.0 s"),
            (7.0, "7 ns"),
            (7.5, "7.50 ns"),
            (3.6e12, "3600 s"),
        ];
        for (ns, text) in cases {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn round_figures_are_short() {
        let cases =
            [("1.00 ms", "1 ms"), ("50.0 µs", "50 µs"), ("95.0%", "95%"), ("1,500", "1,500"), ("0.50 s", "0.5 s")];
        for (text, expected) in cases {
            assert_eq!(short(text), expected);
        }
    }

    #[test]
    fn counts_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(plain("a\x1b[31mb\r\nc\u{9b}"), "a\\u{1b}[31mb\\r\\nc\\u{9b}");
    }
}
