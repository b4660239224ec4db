//! What must hold: `p99<2ms,errors=0`, read and judged.

use std::fmt;

use crate::result::{RunResult, Samples, SloCondition, SloOutcome};

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
    /// ns for times.
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Percentile(f64),
    Max,
    Mean,
    Rate,
    Errors,
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

/// Two letters before one, so that `<=` is not taken for `<`.
const RELATIONS: [(&str, Relation); 5] = [
    ("<=", Relation::LessOrEqual),
    (">=", Relation::MoreOrEqual),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Equal),
];

impl Slo {
    /// Reads conditions, with commas between them.
    ///
    /// # Errors
    ///
    /// The first that makes no sense.
    pub fn parse(text: &str) -> Result<Self, SloError> {
        let conditions =
            text.split(',').map(|condition| Condition::parse(condition.trim())).collect::<Result<_, _>>()?;
        Ok(Slo { text: text.to_owned(), conditions })
    }

    /// The text it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `result` meets it.
    #[must_use]
    pub fn judge(&self, result: &RunResult) -> SloOutcome {
        let conditions: Vec<_> = self.conditions.iter().map(|condition| condition.judge(result)).collect();
        SloOutcome { text: self.text.clone(), met: conditions.iter().all(|condition| condition.met), conditions }
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, SloError> {
        let wrong = |what| SloError { condition: text.to_owned(), what };
        let (at, sign, relation) = RELATIONS
            .iter()
            .filter_map(|&(sign, relation)| Some((text.find(sign)?, sign, relation)))
            .min_by_key(|&(at, sign, _)| (at, 2 - sign.len()))
            .ok_or_else(|| wrong("expected a figure, one of < <= > >= =, and a bound"))?;
        let figure = Figure::parse(text[..at].trim())
            .ok_or_else(|| wrong("the figures are p50 to p99.999, max, mean, rate, errors, unanswered and alive"))?;
        let bound = text[at + sign.len()..].trim();
        let bound = if figure.is_time() {
            humantime::parse_duration(bound).map(|time| time.as_nanos() as f64).ok()
        } else {
            bound.parse().ok().filter(|bound: &f64| bound.is_finite() && *bound >= 0.0)
        };
        let bound = bound.ok_or_else(|| {
            wrong(if figure.is_time() { "the bound must be a time such as 2ms" } else { "the bound must be a number" })
        })?;
        Ok(Condition { text: text.to_owned(), figure, relation, bound })
    }

    fn judge(&self, result: &RunResult) -> SloCondition {
        let Some(value) = self.figure.of(result) else {
            let measured = format!("unknown: {} samples are too few", result.latency.count());
            return SloCondition { text: self.text.clone(), measured, met: false };
        };
        let met = match self.relation {
            Relation::Less => value < self.bound,
            Relation::LessOrEqual => value <= self.bound,
            Relation::More => value > self.bound,
            Relation::MoreOrEqual => value >= self.bound,
            Relation::Equal => (value - self.bound).abs() < 0.5,
        };
        let measured = if self.figure.is_time() { time(value) } else { format!("{value:.0}") };
        SloCondition { text: self.text.clone(), measured, met }
    }
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

    fn of(self, result: &RunResult) -> Option<f64> {
        let latency = |figure: fn(&Samples) -> f64| (!result.latency.is_empty()).then(|| figure(&result.latency));
        match self {
            Figure::Percentile(percentile) => {
                // What never came back was slower than all that did.
                let count = result.latency.count() as f64;
                let missing = (result.totals.requests_unanswered + result.totals.requests_unsent) as f64;
                let percentile = percentile * (count + missing) / count.max(1.0);
                if percentile > 100.0 { Some(f64::INFINITY) } else { percentile_of(&result.latency, percentile) }
            }
            Figure::Max => latency(|samples| samples.max_ns() as f64),
            Figure::Mean => latency(Samples::mean_ns),
            Figure::Rate => Some(result.rate()),
            Figure::Errors => Some(result.totals.errors() as f64),
            Figure::Unanswered => Some((result.totals.requests_unanswered + result.totals.requests_unsent) as f64),
            Figure::Alive => Some(result.totals.connections_alive as f64),
        }
    }
}

fn percentile_of(samples: &Samples, percentile: f64) -> Option<f64> {
    samples.percentile_ns(percentile).map(|ns| ns as f64)
}

/// A time in ns as people write it, to three digits.
fn time(ns: f64) -> String {
    if ns.is_infinite() {
        return "never: too many messages were not answered".to_owned();
    }
    let (value, unit) = match ns {
        _ if ns < 1e3 => (ns, "ns"),
        _ if ns < 1e6 => (ns / 1e3, "µs"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// Why an SLO makes no sense.
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
