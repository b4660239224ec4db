//! The curve of latency by rate, from the probes of a search, and its knee, where latency begins to climb.

use crate::format::number;
use crate::result::{Curve, CurvePoint, Known, Samples, SearchStep};

/// The latency has climbed when it is more than this many times that at the lowest rate.
const CLIMB: f64 = 2.0;

impl CurvePoint {
    /// The point of a probe at `rate`, if its `latency` has enough samples for `percentile`.
    #[must_use]
    pub fn new(rate: f64, met: Option<bool>, latency: &Samples, percentile: f64) -> Option<Self> {
        let (ns, is_at_least) = match latency.percentile(percentile)? {
            Known::Exactly(ns) => (ns, false),
            Known::AtLeast(ns) => (ns, true),
        };
        Some(CurvePoint { rate, latency_ns: ns, is_at_least, met })
    }
}

impl Curve {
    /// The curve of the `measured` points, in the order of measurement; of each rate the last one counts. `percentile`
    /// is its name.
    #[must_use]
    pub fn new(percentile: String, measured: &[CurvePoint]) -> Self {
        let mut points: Vec<CurvePoint> = Vec::new();
        for point in measured {
            points.retain(|other| other.rate.total_cmp(&point.rate).is_ne());
            points.push(*point);
        }
        points.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        let (knee_rate, knee_unknown) = match knee(&percentile, &points) {
            Ok(rate) => (Some(rate), None),
            Err(why) => (None, Some(why)),
        };
        Curve { percentile, points, knee_rate, knee_unknown }
    }

    /// The curve of the `steps` of a search whose JSON has no curve, as far as they have figures.
    #[must_use]
    pub fn of_steps(steps: &[SearchStep]) -> Self {
        let known = steps.iter().filter(|step| step.met.is_some());
        let points = known.filter_map(|step| {
            let latency_ns = step.figures.p99_ns? as f64;
            Some(CurvePoint { rate: step.rate, latency_ns, is_at_least: false, met: step.met })
        });
        Curve::new("p99".to_owned(), &points.collect::<Vec<_>>())
    }
}

/// The highest rate whose latency is at most [`CLIMB`] times that of the lowest rate; or why it is not known.
fn knee(percentile: &str, points: &[CurvePoint]) -> Result<f64, String> {
    let per_second = |point: &CurvePoint| format!("{}/s", number(point.rate));
    let [lowest, .., highest] = points else {
        return Err(format!("the {percentile} is known of fewer than two rates"));
    };
    if lowest.is_at_least {
        return Err(format!("messages are missing at the lowest rate that was tried, {}", per_second(lowest)));
    }
    let limit_ns = lowest.latency_ns * CLIMB;
    if let Some(unclear) = points.iter().find(|point| point.is_at_least && point.latency_ns <= limit_ns) {
        return Err(format!("of the {percentile} at {} no more than a lower bound is known", per_second(unclear)));
    }
    match points.iter().rposition(|point| point.latency_ns <= limit_ns).unwrap_or(0) {
        0 => Err(format!(
            "the {percentile} doubles between the lowest rate that was tried, {}, and the next: begin lower (--first-rate)",
            per_second(lowest)
        )),
        last if last + 1 == points.len() => {
            Err(format!("the {percentile} has not doubled at the highest rate that was tried, {}", per_second(highest)))
        }
        last => Ok(points[last].rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_the_last_rate_before_the_latency_doubles() {
        let exact = |rate: f64, us: f64| (rate, us, false);
        let (low, bound) = (exact(1e3, 100.0), |rate, us| (rate, us, true));
        let table = [
            (vec![low, exact(2e3, 110.0), exact(4e3, 200.0), exact(8e3, 201.0)], Ok(4e3)),
            // In the order of a search; of 3,000/s the second probe counts, and a blip below the knee is none.
            (
                vec![exact(4e3, 900.0), low, exact(3e3, 900.0), exact(2e3, 300.0), exact(3e3, 150.0), bound(8e3, 5e6)],
                Ok(3e3),
            ),
            (vec![], Err("the p99 is known of fewer than two rates")),
            (vec![low], Err("the p99 is known of fewer than two rates")),
            (vec![low, exact(2e3, 150.0)], Err("the p99 has not doubled at the highest rate that was tried, 2,000/s")),
            (
                vec![low, exact(2e3, 250.0)],
                Err("the p99 doubles between the lowest rate that was tried, 1,000/s, and the next: begin lower \
                     (--first-rate)"),
            ),
            (
                vec![bound(500.0, 90.0), low, exact(2e3, 120.0)],
                Err("messages are missing at the lowest rate that was tried, 500/s"),
            ),
            (
                vec![low, bound(2e3, 150.0), exact(4e3, 900.0)],
                Err("of the p99 at 2,000/s no more than a lower bound is known"),
            ),
        ];
        for (points, expected) in table {
            let measured: Vec<_> = points
                .iter()
                .map(|&(rate, us, is_at_least)| CurvePoint { rate, latency_ns: us * 1e3, is_at_least, met: None })
                .collect();
            let curve = Curve::new("p99".to_owned(), &measured);
            let found = curve.knee_rate.ok_or(curve.knee_unknown.as_deref().unwrap_or_default());
            assert_eq!(found, expected, "{points:?}");
        }
    }
}
