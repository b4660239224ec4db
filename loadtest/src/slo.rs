//! Parses and judges SLOs, such as `p99<2ms,errors=0`.

use std::fmt;

use crate::format;
use crate::result::{Known, RunResult, Samples, SloCondition, SloOutcome};

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    text: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    text: String,
    figure: Figure,
    relation: Relation,
    /// The bound; in ns for times.
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Percentile(f64),
    Max,
    Mean,
    Rate,
    Errors,
    /// Errors in percent of the messages: `errors<1%`.
    ErrorShare,
    Unanswered,
    Alive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Equal,
}

/// Longer relations come first, so that `<=` is not taken for `<`.
const RELATIONS: [(&str, Relation); 5] = [
    ("<=", Relation::LessOrEqual),
    (">=", Relation::MoreOrEqual),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Equal),
];

impl Slo {
    /// Parses conditions separated by commas.
    ///
    /// # Errors
    ///
    /// The first invalid condition.
    pub fn parse(text: &str) -> Result<Self, SloError> {
        let conditions =
            text.split(',').map(|condition| Condition::parse(condition.trim())).collect::<Result<_, _>>()?;
        Ok(Slo { text: text.to_owned(), conditions })
    }

    /// The text that it was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The number of messages that a run needs in order to judge all conditions.
    #[must_use]
    pub fn samples_needed(&self) -> f64 {
        let needed = self.conditions.iter().map(|condition| match condition.figure {
            Figure::Percentile(percentile) => Samples::needed_for(percentile),
            _ => 1.0,
        });
        needed.fold(1.0, f64::max)
    }

    /// The first percentile that it has a condition for.
    #[must_use]
    pub fn percentile(&self) -> Option<f64> {
        self.conditions.iter().find_map(|condition| match condition.figure {
            Figure::Percentile(percentile) => Some(percentile),
            _ => None,
        })
    }

    /// Judges whether `result` meets the SLO.
    #[must_use]
    pub fn judge(&self, result: &RunResult) -> SloOutcome {
        let conditions: Vec<_> = self.conditions.iter().map(|condition| condition.judge(result)).collect();
        SloOutcome { text: self.text.clone(), met: all_met(&conditions), conditions }
    }
}

/// A missed condition makes the SLO missed. Otherwise an unknown one makes it unknown.
fn all_met(conditions: &[SloCondition]) -> Option<bool> {
    if conditions.iter().any(|condition| condition.met == Some(false)) {
        return Some(false);
    }
    conditions.iter().all(|condition| condition.met == Some(true)).then_some(true)
}

impl Condition {
    fn parse(text: &str) -> Result<Self, SloError> {
        let wrong = |what| SloError { condition: text.to_owned(), what };
        let (at, sign, relation) = RELATIONS
            .iter()
            .filter_map(|&(sign, relation)| Some((text.find(sign)?, sign, relation)))
            .min_by_key(|&(at, sign, _)| (at, 2 - sign.len()))
            .ok_or_else(|| wrong("expected a figure, one of < <= > >= =, and a bound"))?;
        let bound = text[at + sign.len()..].trim();
        let figure = match (Figure::parse(text[..at].trim()), bound.strip_suffix('%')) {
            (Some(Figure::Errors), Some(_)) => Some(Figure::ErrorShare),
            (figure, _) => figure,
        };
        let figure = figure
            .ok_or_else(|| wrong("the figures are p50 to p99.999, max, mean, rate, errors, unanswered and alive"))?;
        let bound = if figure.is_time() {
            // A plain number has no unit, and 2 s is seldom meant by 2.
            humantime::parse_duration(bound).map(|time| time.as_nanos() as f64).ok()
        } else {
            let number = if figure == Figure::ErrorShare { bound.trim_end_matches('%').trim() } else { bound };
            number.parse().ok().filter(|bound: &f64| bound.is_finite() && *bound >= 0.0)
        };
        let bound = bound.ok_or_else(|| {
            wrong(if figure.is_time() { "the bound must be a time such as 2ms" } else { "the bound must be a number" })
        })?;
        Ok(Condition { text: text.to_owned(), figure, relation, bound })
    }

    fn judge(&self, result: &RunResult) -> SloCondition {
        let (met, measured) = match self.figure.of(result) {
            Ok(Known::Exactly(value)) => (Some(self.holds(value)), self.words(value)),
            // The lower bound may decide the condition whatever the exact figure is; otherwise the outcome is unknown.
            Ok(Known::AtLeast(least)) => {
                let ends = (self.holds(least), self.holds(f64::INFINITY));
                let met = (self.relation != Relation::Equal && ends.0 == ends.1).then_some(ends.0);
                (met, format!("{} or more: {}", self.words(least), missing(&result.latency)))
            }
            Err(why) => (None, format!("unknown: {why}")),
        };
        SloCondition { text: self.text.clone(), measured, met }
    }

    fn holds(&self, value: f64) -> bool {
        match self.relation {
            Relation::Less => value < self.bound,
            Relation::LessOrEqual => value <= self.bound,
            Relation::More => value > self.bound,
            Relation::MoreOrEqual => value >= self.bound,
            Relation::Equal => (value - self.bound).abs() < 0.5,
        }
    }

    fn words(&self, value: f64) -> String {
        match self.figure {
            _ if self.figure.is_time() => format::time(value),
            Figure::ErrorShare => format::percent(value / 100.0),
            _ => format::count(value as u64),
        }
    }
}

/// The number of messages without a latency, in words.
fn missing(latency: &Samples) -> String {
    let (missing, due) = (latency.missing(), latency.count() + latency.missing());
    let verb = if missing == 1 { "was" } else { "were" };
    format!("{} of {} {verb} not answered, or not sent", format::count(missing), format::counted(due, "message"))
}

impl Figure {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "max" => Figure::Max,
            "mean" => Figure::Mean,
            "rate" => Figure::Rate,
            "errors" => Figure::Errors,
            "unanswered" => Figure::Unanswered,
            "alive" => Figure::Alive,
            _ => {
                let percentile = text.strip_prefix('p')?.parse().ok()?;
                (percentile > 0.0 && percentile < 100.0).then_some(Figure::Percentile(percentile))?
            }
        })
    }

    fn is_time(self) -> bool {
        matches!(self, Figure::Percentile(_) | Figure::Max | Figure::Mean)
    }

    /// The figure with missing messages counted in, or the reason why it is unknown.
    fn of(self, result: &RunResult) -> Result<Known, String> {
        let (latency, totals) = (&result.latency, &result.totals);
        let due = latency.count() + latency.missing();
        let few = || match due {
            0 => "no message was due in the measured time".to_owned(),
            1 => "1 sample is too few".to_owned(),
            due => format!("{} samples are too few", format::count(due)),
        };
        let count = |count: u64| Ok(Known::Exactly(count as f64));
        match self {
            Figure::Percentile(percentile) => latency.percentile(percentile).ok_or_else(few),
            Figure::Max => latency.max().ok_or_else(few),
            Figure::Mean => latency.mean().ok_or_else(few),
            Figure::Rate => result.rate().map(Known::Exactly).ok_or_else(|| "no time was measured".to_owned()),
            Figure::Errors => count(totals.errors() + totals.requests_unsent),
            Figure::ErrorShare => {
                let all = totals.requests_sent + totals.requests_unsent;
                let share = (totals.errors() + totals.requests_unsent) as f64 / all as f64;
                if all == 0 { Err(few()) } else { Ok(Known::Exactly(100.0 * share.min(1.0))) }
            }
            Figure::Unanswered => count(totals.requests_unanswered + totals.requests_unsent),
            Figure::Alive => count(totals.connections_alive),
        }
    }
}

/// Why an SLO is invalid.
#[derive(Debug, PartialEq, Eq)]
pub struct SloError {
    condition: String,
    what: &'static str,
}

impl fmt::Display for SloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--slo: '{}': {}", self.condition, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_with_or_without_spaces() {
        let slo = Slo::parse("p99.9 <= 2ms, errors=0,rate>=1000").unwrap();
        let read: Vec<_> = slo.conditions.iter().map(|c| (c.figure, c.relation, c.bound)).collect();
        let expected = [
            (Figure::Percentile(99.9), Relation::LessOrEqual, 2e6),
            (Figure::Errors, Relation::Equal, 0.0),
            (Figure::Rate, Relation::MoreOrEqual, 1000.0),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "p99", "p99<", "p99<2", "p100<1ms", "p0<1ms", "speed>1", "errors=none", "p99<1ms,,", "rate>-1"]
        {
            assert!(Slo::parse(text).is_err(), "{text}");
        }
    }
}
