//! Values of options: times, sizes, counts, rates, and lists of any of them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

/// A time such as `10s`, `500ms` or `1h 30m`; a plain number is seconds.
///
/// # Errors
///
/// The text is not a time.
pub fn time(text: &str) -> Result<Duration, String> {
    let seconds = is_plain(text).then(|| text.parse().ok()).flatten();
    let time = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => humantime::parse_duration(text).ok(),
    };
    time.ok_or_else(|| "expected a time such as 10s, 500ms or 1h30m; a plain number is seconds".to_owned())
}

/// A time of at least a millisecond, as [`time`] reads it.
///
/// # Errors
///
/// The text is not a time, or the time is shorter than a millisecond.
pub fn positive_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        time if time >= Duration::from_millis(1) => Ok(time),
        _ => Err("at least 1ms".to_owned()),
    }
}

/// A size in bytes such as `64KiB`, `1.5MiB` or `4096`.
///
/// # Errors
///
/// The text is not a size.
pub fn size(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|_| "expected a size such as 64KiB, 1MB or 4096 (bytes)".to_owned())
}

/// A reader of whole numbers within `range`, such as `10`, `10k` or `1.5M`.
pub fn count<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64> + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = scaled(text).filter(|number| number.fract() == 0.0 && (0.0..9e15).contains(number));
        let number = number.ok_or_else(|| "expected a whole number such as 100, 10k or 1M".to_owned())?;
        #[expect(clippy::cast_sign_loss, reason = "the range was checked")]
        match T::try_from(number as u64) {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("must be from {} to {}", range.start(), range.end())),
        }
    }
}

/// A rate in events a second: `1000`, `10k`, `0.5`, `30/m` (a minute) or `5/h`.
///
/// # Errors
///
/// The text is not a rate, or the rate is 0.
pub fn rate(text: &str) -> Result<f64, String> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" | "sec" | "second" => 1.0,
        "m" | "min" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        _ => 0.0,
    };
    let rate = scaled(number).map(|number| number / seconds).filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "expected a rate above 0 such as 1000 (a second), 10k or 30/m".to_owned())
}

/// A reader of several values, separated by commas or spaces; `read` reads each.
pub fn list<T, I>(
    read: impl Fn(&str) -> Result<I, String> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<Vec<T>, String> + Clone + Send + Sync + 'static
where
    I: IntoIterator<Item = T>,
{
    move |text| {
        let parts: Vec<&str> =
            text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty()).collect();
        match parts[..] {
            [] | [_] => Ok(read(parts.first().unwrap_or(&""))?.into_iter().collect()),
            _ => {
                let values = parts.iter().map(|part| read(part).map_err(|error| format!("'{part}': {error}")));
                values.collect::<Result<Vec<I>, String>>().map(|values| values.into_iter().flatten().collect())
            }
        }
    }
}

/// Whether the text is only digits and at most one decimal point.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// A number that may end in k, M or G.
fn scaled(text: &str) -> Option<f64> {
    let (number, factor) = match text.strip_suffix(['k', 'K', 'M', 'G']) {
        Some(number) if text.ends_with('M') => (number, 1e6),
        Some(number) if text.ends_with('G') => (number, 1e9),
        Some(number) => (number, 1e3),
        None => (text, 1.0),
    };
    let number: f64 = is_plain(number).then(|| number.parse().ok()).flatten()?;
    // Decimal fractions are not exact in binary: 1.001 * 1000 must be a whole number.
    Some((number * factor * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_seconds() {
        for (text, ms) in [("10", 10_000), ("0", 0), ("0.25", 250), ("10s", 10_000), ("1h 30m", 5_400_000), ("5ms", 5)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "ten", "10x", "-1", "1e3", "inf", ".", "99999999999999999999999999"] {
            assert!(time(text).is_err_and(|error| error.starts_with("expected a time such as 10s")), "{text}");
        }
        assert_eq!(positive_time("0"), Err("at least 1ms".to_owned()));
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in [("4096", 4096), ("64KiB", 65_536), ("1MB", 1_000_000), ("0", 0)] {
            assert_eq!(size(text), Ok(ByteSize::b(bytes)), "{text}");
        }
        assert!(size("64XB").is_err_and(|error| error.starts_with("expected a size such as 64KiB")));
    }

    #[test]
    fn counts_may_be_written_short() {
        let read = count(1..=2_000_000_u32);
        for (text, number) in [("1", 1), ("10k", 10_000), ("1.5M", 1_500_000), ("1.001k", 1001)] {
            assert_eq!(read(text), Ok(number), "{text}");
        }
        for text in ["0", "3M", "5G"] {
            assert_eq!(read(text), Err("must be from 1 to 2000000".to_owned()), "{text}");
        }
        for text in ["", "k", "-1", "1.5", "10q", "NaN", "1e3"] {
            assert!(read(text).is_err_and(|error| error.starts_with("expected a whole number")), "{text}");
        }
    }

    #[test]
    fn rates_are_a_second_unless_they_say_otherwise() {
        for (text, expected) in [("1000", 1000.0), ("10k", 10_000.0), ("30/m", 0.5), ("7200/h", 2.0), ("2k/s", 2000.0)]
        {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        for text in ["0", "-1", "inf", "NaN", "30/x", "", "/m"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_take_commas_and_spaces() {
        let number = |text: &str| text.parse::<u8>().map(Some).map_err(|_| "expected a small number".to_owned());
        let read = list(number);
        for text in ["1,2,3", "1 2 3", " 1, 2 ,3,", "1\n2\t3"] {
            assert_eq!(read(text), Ok(vec![1, 2, 3]), "{text}");
        }
        assert_eq!(read("256"), Err("expected a small number".to_owned()));
        assert_eq!(read("1,256"), Err("'256': expected a small number".to_owned()));
        assert_eq!(read(""), Err("expected a small number".to_owned()));
    }
}
