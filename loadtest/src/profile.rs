//! A rate over time: constant, or linear between the points of `--stages`.

use std::time::Duration;

use proxy_echo_args::values::{rate, time};

use crate::result::Stage;

/// Most points.
const MAX_POINTS: usize = 1000;
/// The shortest and the longest profile.
const TIMES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(86_400));
/// The highest rate, in messages a second.
const MAX_RATE: f64 = 1e9;

/// A rate over time. Before the first point and after the last one it is constant.
///
/// ```
/// use loadtest::profile::Profile;
///
/// let profile = Profile::parse("0s:0,10s:1k,20s:1k").unwrap();
/// assert_eq!(profile.count_until(10.0), 5_000.0);
/// assert_eq!(profile.count_until(20.0), 15_000.0);
/// assert_eq!(profile.mean(), 750.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The pieces, one for each point, in order. The last one has no end.
    pieces: Vec<Piece>,
}

/// The piece from one point to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start_s: f64,
    /// Messages due before it.
    before: f64,
    /// The rate at its start, in messages a second.
    rate: f64,
    /// The change of the rate, in messages a second per second.
    slope: f64,
}

impl Profile {
    /// A constant `rate`, in messages a second.
    #[must_use]
    pub fn constant(rate: f64) -> Self {
        Profile { pieces: vec![Piece { start_s: 0.0, before: 0.0, rate, slope: 0.0 }] }
    }

    /// The profile through `stages`, whose times increase.
    #[must_use]
    pub fn new(stages: &[Stage]) -> Self {
        let mut pieces = Vec::with_capacity(stages.len());
        let mut before = 0.0;
        for (index, stage) in stages.iter().enumerate() {
            let next = stages.get(index + 1).unwrap_or(stage);
            let length_s = next.at_s - stage.at_s;
            let slope = if length_s > 0.0 { (next.rate - stage.rate) / length_s } else { 0.0 };
            pieces.push(Piece { start_s: stage.at_s, before, rate: stage.rate, slope });
            before += length_s * f64::midpoint(stage.rate, next.rate);
        }
        Profile { pieces }
    }

    /// Parses `TIME:RATE,TIME:RATE…`, with times that begin at 0s and increase.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut stages: Vec<Stage> = Vec::new();
        let mut last = (Duration::ZERO, "");
        for point in text.split(',').map(str::trim) {
            let wrong = |what: String| format!("'{point}': {what}");
            let (at, rate) =
                point.split_once(':').ok_or_else(|| wrong("expected TIME:RATE, such as 30s:10k".into()))?;
            let at = time(at.trim()).map_err(wrong)?;
            let rate = rate_or_zero(rate.trim()).map_err(wrong)?;
            if stages.is_empty() && !at.is_zero() {
                return Err(wrong("the first point must be at 0s".into()));
            }
            if !stages.is_empty() && at <= last.0 {
                let step = "times must increase; a step is two points 1ms apart";
                return Err(wrong(format!("it is not after '{}': {step}", last.1)));
            }
            if stages.len() == MAX_POINTS {
                return Err(format!("at most {MAX_POINTS} points"));
            }
            stages.push(Stage { at_s: at.as_secs_f64(), rate });
            last = (at, point);
        }
        if stages.len() < 2 {
            return Err("expected two points or more, such as 0s:1k,30s:10k; --rate is for one rate".into());
        }
        if !(TIMES.0..=TIMES.1).contains(&last.0) {
            return Err(format!("'{}': the last point must be at 1ms to a day", last.1));
        }
        if stages.iter().all(|stage| stage.rate <= 0.0) {
            return Err("some rate must be above 0".into());
        }
        Ok(Profile::new(&stages))
    }

    /// The same profile, `by_s` seconds later.
    #[must_use]
    pub fn delayed(&self, by_s: f64) -> Self {
        let Some(first) = self.pieces.first().filter(|_| by_s > 0.0) else { return self.clone() };
        let before = Piece { start_s: 0.0, before: 0.0, slope: 0.0, ..*first };
        let later =
            |piece: &Piece| Piece { start_s: piece.start_s + by_s, before: piece.before + first.rate * by_s, ..*piece };
        Profile { pieces: std::iter::once(before).chain(self.pieces.iter().map(later)).collect() }
    }

    /// The points.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        self.pieces.iter().map(|piece| Stage { at_s: piece.start_s, rate: piece.rate }).collect()
    }

    /// The time of the last point in s.
    #[must_use]
    pub fn end_s(&self) -> f64 {
        self.pieces.last().map_or(0.0, |last| last.start_s)
    }

    /// Messages a second on average, from the first point to the last.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.count_until(self.end_s()) / self.end_s()
    }

    /// The number of messages due in the first `time_s` seconds: the integral of the rate.
    #[must_use]
    pub fn count_until(&self, time_s: f64) -> f64 {
        let Some(piece) = self.pieces.iter().rfind(|piece| piece.start_s <= time_s) else { return 0.0 };
        let since_s = time_s - piece.start_s;
        piece.before + since_s * (piece.rate + piece.slope * since_s / 2.0)
    }

    /// The due time in s of the message that follows `count` others; infinity if it is never due. `from` is the piece
    /// at which the search begins, that of a lower count; it is advanced.
    #[inline]
    pub(crate) fn time_of(&self, count: f64, from: &mut usize) -> f64 {
        // A message due at the edge of a pause is due after the pause.
        while self.pieces.get(*from + 1).is_some_and(|next| next.before <= count) {
            *from += 1;
        }
        let piece = &self.pieces[*from];
        piece.start_s + piece.time_of(count - piece.before)
    }
}

impl Piece {
    /// The time until `count` messages are due. Solves `count = rate * t + slope * t² / 2` for t, in the form that
    /// loses no digits when the slope is small.
    #[inline]
    fn time_of(&self, count: f64) -> f64 {
        if self.slope == 0.0 {
            return if self.rate > 0.0 { count / self.rate } else { f64::INFINITY };
        }
        if count <= 0.0 {
            return 0.0;
        }
        // Rounding may make it negative where the rate falls to 0.
        let reached = (self.rate * self.rate + 2.0 * self.slope * count).max(0.0).sqrt();
        2.0 * count / (self.rate + reached)
    }
}

/// Parses a rate, in which 0 is a pause.
fn rate_or_zero(text: &str) -> Result<f64, String> {
    if text == "0" {
        return Ok(0.0);
    }
    let rate = rate(text).map_err(|_| "expected a rate such as 1000 (a second), 10k, 30/m or 0".to_owned())?;
    if rate > MAX_RATE { Err("at most 1e9 messages a second".into()) } else { Ok(rate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn nonsense_is_refused_in_clear_words() {
        let table = [
            ("", "'': expected TIME:RATE, such as 30s:10k"),
            ("1k", "'1k': expected TIME:RATE, such as 30s:10k"),
            ("0s:1k", "expected two points or more, such as 0s:1k,30s:10k; --rate is for one rate"),
            ("0s:1k,", "'': expected TIME:RATE, such as 30s:10k"),
            ("5s:1k,10s:1k", "'5s:1k': the first point must be at 0s"),
            ("0s:1k,x:2k", "'x:2k': expected a time such as 10s, 500ms or 1h30m; a plain number is seconds"),
            ("0s:1k,3s:fast", "'3s:fast': expected a rate such as 1000 (a second), 10k, 30/m or 0"),
            ("0s:1k,3s:-5", "'3s:-5': expected a rate such as 1000 (a second), 10k, 30/m or 0"),
            ("0s:1k,3s:2G", "'3s:2G': at most 1e9 messages a second"),
            (
                "0s:1k,9s:2k,9s:3k",
                "'9s:3k': it is not after '9s:2k': times must increase; a step is two points 1ms apart",
            ),
            (
                "0s:1k,9s:2k,3s:3k",
                "'3s:3k': it is not after '9s:2k': times must increase; a step is two points 1ms apart",
            ),
            ("0s:0,9s:0", "some rate must be above 0"),
            ("0s:1k,25h:2k", "'25h:2k': the last point must be at 1ms to a day"),
            ("0s:1k,1us:2k", "'1us:2k': the last point must be at 1ms to a day"),
        ];
        for (text, expected) in table {
            assert_eq!(Profile::parse(text).unwrap_err(), expected, "{text}");
        }
        let many = (0..=MAX_POINTS).map(|index| format!("{index}s:1")).collect::<Vec<_>>().join(",");
        assert_eq!(Profile::parse(&many).unwrap_err(), "at most 1000 points");
    }

    #[test]
    fn times_and_rates_are_read_as_everywhere() {
        let profile = Profile::parse("0:1k, 500ms:30/m , 1h 30m:0").unwrap();
        let stages = [(0.0, 1000.0), (0.5, 0.5), (5400.0, 0.0)].map(|(at_s, rate)| Stage { at_s, rate });
        assert_eq!(profile.stages(), stages);
    }

    /// The integral as a sum of small trapezoids.
    fn integral(stages: &[(f64, f64)], until_s: f64) -> f64 {
        let rate = |time_s: f64| {
            let pair = stages.windows(2).find(|pair| time_s <= pair[1].0).unwrap();
            pair[0].1 + (pair[1].1 - pair[0].1) * (time_s - pair[0].0) / (pair[1].0 - pair[0].0)
        };
        let count = 100_000;
        let step_s = until_s / f64::from(count);
        (0..count).map(|index| rate((f64::from(index) + 0.5) * step_s) * step_s).sum()
    }

    #[test]
    fn the_count_is_the_integral_of_the_rate_and_the_time_its_inverse() {
        let stages = [(0.0, 0.0), (3.0, 600.0), (5.0, 600.0), (6.0, 0.0), (8.0, 0.0), (10.0, 50.0)];
        let text = stages.map(|(at_s, rate)| format!("{at_s}s:{rate}")).join(",");
        let profile = Profile::parse(&text).unwrap();
        for until_s in [0.5, 1.0, 3.0, 4.5, 5.9, 6.0, 7.0, 9.0, 10.0] {
            let (count, expected) = (profile.count_until(until_s), integral(&stages, until_s));
            assert!((count - expected).abs() < 0.01, "{count} instead of {expected} until {until_s} s");
        }
        let mut from = 0;
        for count in (0..4900).map(|half| f64::from(half) / 2.0) {
            let time_s = profile.time_of(count, &mut from);
            assert!((profile.count_until(time_s) - count).abs() < 1e-6, "{count} at {time_s} s");
        }
        // 2,400 messages are due before the pause, and the next one after it.
        assert!(is_near(profile.time_of(2400.0, &mut 0), 8.0));
    }

    #[test]
    fn a_warm_up_is_at_the_first_rate() {
        let profile = Profile::parse("0s:100,10s:200").unwrap().delayed(2.0);
        for (time_s, count) in [(1.0, 100.0), (2.0, 200.0), (12.0, 1700.0)] {
            assert!(is_near(profile.count_until(time_s), count), "{time_s} s");
            assert!(is_near(profile.time_of(count, &mut 0), time_s), "{time_s} s");
        }
    }

    #[test]
    fn after_a_last_rate_of_0_nothing_is_due() {
        let profile = Profile::parse("0s:100,10s:0").unwrap();
        assert!(profile.time_of(500.0, &mut 0).is_infinite());
    }
}
