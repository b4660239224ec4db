//! Formats figures, the same for all outputs.

use crate::result::Stage;

/// Shown in place of a missing figure.
pub const NOTHING: &str = "–";

/// A time in ns, to three digits.
#[must_use]
pub fn time(ns: f64) -> String {
    scaled(ns, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")])
}

/// A number of bytes, to three digits.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    const KI: f64 = 1024.0;
    scaled(bytes, &[(KI * KI * KI * KI, "TiB"), (KI * KI * KI, "GiB"), (KI * KI, "MiB"), (KI, "KiB"), (1.0, "B")])
}

/// A count, with commas.
#[must_use]
pub fn count(count: u64) -> String {
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

/// A number that may have a fraction: without one from 100 on, to three digits below.
#[must_use]
pub fn number(value: f64) -> String {
    if value >= 99.95 { count(value.round() as u64) } else { three_digits(value) }
}

/// A share of 0 to 1.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{}%", three_digits(share * 100.0))
}

/// A round figure with its unit, without trailing zeros in its fraction.
#[must_use]
pub fn short(text: &str) -> String {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.' && character != ',');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{unit}")
}

/// A count with its noun: `1 thread`, `2 threads`.
#[must_use]
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A time in s, without needless digits: `10 s`, `0.5 s`.
#[must_use]
pub fn seconds(time_s: f64) -> String {
    let text = format!("{time_s:.1}");
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}

/// The points of a profile of rates; of many, the first and the last.
#[must_use]
pub fn stages(stages: &[Stage]) -> String {
    const SHOWN: usize = 6;
    let point = |stage: &Stage| format!("{}/s at {} s", number(stage.rate), short(&number(stage.at_s)));
    let joined = |some: &[Stage]| some.iter().map(point).collect::<Vec<_>>().join(", ");
    match stages {
        [first @ .., last] if stages.len() > SHOWN => {
            let (shown, left) = first.split_at(SHOWN - 2);
            format!("{}, … {} more …, {}", joined(shown), left.len(), point(last))
        }
        all => joined(all),
    }
}

/// A text from outside, without characters that control a terminal or break a line.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { plain.extend(character.escape_default()) } else { plain.push(character) }
    }
    plain
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    // A value that rounds up to 1000 is 1 of the next unit.
    let fits = units.iter().find(|(scale, _)| value >= scale * 0.9995).or(units.last());
    fits.map_or_else(String::new, |(scale, unit)| {
        let value = value / scale;
        // The smallest unit has no fraction: 64 B, not 64.0 B.
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
