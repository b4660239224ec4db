//! Axes: convert figures to places, and mark round numbers.

/// The scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Equal distances are equal differences.
    Linear,
    /// Equal distances are equal ratios.
    Logarithmic,
}

/// An axis with its marks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// The marked figures with their labels, ascending.
    pub marks: Vec<(f64, String)>,
}

/// Most marks of an axis.
const MOST_MARKS: f64 = 6.0;

impl Axis {
    /// An axis from 0 to a round figure not below `high`, which is not negative.
    pub(super) fn from_zero(high: f64, label: impl Fn(f64) -> String) -> Self {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let step = round_step(high / (MOST_MARKS - 1.0));
        let steps = (high / step).ceil().max(1.0);
        let marks =
            (0..=steps as u32).map(|index| f64::from(index) * step).map(|value| (value, label(value))).collect();
        Axis { scale: Scale::Linear, low: 0.0, high: steps * step, marks }
    }

    /// An axis from 0 to exactly `high`, for time.
    pub(super) fn to_exactly(high: f64, label: impl Fn(f64) -> String) -> Self {
        let mut axis = Axis::from_zero(high, label);
        axis.high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        axis.marks.retain(|(value, _)| *value <= axis.high * (1.0 + 1e-9));
        axis
    }

    /// A logarithmic axis from a round figure not above `low` to one not below `high`. Both are above 0.
    pub(super) fn by_ratio(low: f64, high: f64, label: impl Fn(f64) -> String) -> Self {
        let low = if low.is_finite() && low >= 1.0 { low } else { 1.0 };
        let high = if high.is_finite() { high.max(low) } else { low };
        let steps: &[f64] = if high / low > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut rounds = Vec::new();
        let mut decade = 10_f64.powf(low.log10().floor());
        while rounds.last().is_none_or(|last| *last <= high * (1.0 + 1e-9)) {
            rounds.extend(steps.iter().map(|step| step * decade));
            decade *= 10.0;
        }
        let first = rounds.iter().rposition(|value| *value <= low * (1.0 + 1e-9)).unwrap_or(0);
        let end = rounds.iter().position(|value| *value >= high * (1.0 - 1e-9)).unwrap_or(rounds.len() - 1);
        let end = end.max(first + 1);
        let marks: Vec<_> = rounds[first..=end].iter().map(|value| (*value, label(*value))).collect();
        Axis { scale: Scale::Logarithmic, low: rounds[first], high: rounds[end], marks }
    }

    /// An axis of percentiles: 0%, 90%, 99% and so on are at equal distances. Figures on this axis are `1 / (1 -
    /// quantile)`, from 1 to `high`.
    pub(super) fn of_percentiles(high: f64) -> Self {
        let high = high.max(10.0);
        let decades = high.log10().ceil() as i32;
        let mut marks = vec![(1.0, "0%".to_owned()), (2.0, "50%".to_owned())];
        for nines in 1..=decades {
            let digits = (nines - 2).max(0) as usize;
            marks.push((10_f64.powi(nines), format!("{:.digits$}%", 100.0 - 10_f64.powi(2 - nines))));
        }
        marks.retain(|(value, _)| *value <= high * (1.0 + 1e-9));
        Axis { scale: Scale::Logarithmic, low: 1.0, high, marks }
    }

    /// The place of `value` on the axis, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The smallest 1, 2 or 5 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(axis: &Axis) -> Vec<f64> {
        axis.marks.iter().map(|(value, _)| *value).collect()
    }

    #[test]
    fn marks_are_round_and_hold_all_figures() {
        assert_eq!(values(&Axis::from_zero(101_234.0, |_| String::new())), [0.0, 50e3, 100e3, 150e3]);
        assert_eq!(values(&Axis::to_exactly(10.0, |_| String::new())), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(values(&Axis::by_ratio(350.0, 1_900.0, |_| String::new())), [200.0, 500.0, 1e3, 2e3]);
        assert_eq!(values(&Axis::by_ratio(350.0, 2e6, |_| String::new())), [100.0, 1e3, 1e4, 1e5, 1e6, 1e7]);
    }

    #[test]
    fn odd_figures_still_make_an_axis() {
        for (low, high) in [(0.0, 0.0), (5.0, 5.0), (f64::NAN, f64::INFINITY), (1e12, 1.0), (1000.0, 1000.0)] {
            let axis = Axis::by_ratio(low, high, |_| String::new());
            assert!(axis.marks.len() > 1 && axis.low < axis.high, "{low} {high}: {axis:?}");
            let axis = Axis::from_zero(high, |_| String::new());
            assert!(axis.marks.len() > 1 && axis.low < axis.high, "{low} {high}: {axis:?}");
        }
    }

    #[test]
    fn percentiles_are_at_equal_distances_by_nines() {
        let axis = Axis::of_percentiles(10_000.0);
        let labels: Vec<_> = axis.marks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["0%", "50%", "90%", "99%", "99.9%", "99.99%"]);
        for (index, value) in [(1, 10.0), (2, 100.0), (3, 1000.0)] {
            assert!((axis.place(value) - f64::from(index) / 4.0).abs() < 1e-9);
        }
    }
}
