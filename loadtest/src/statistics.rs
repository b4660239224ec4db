//! The confidence interval of a ratio that was measured pair by pair.

/// The confidence of all intervals together. It is higher than 0.95 because the interval is checked after each pair
/// until it is narrow: a server compared with itself should still show no difference in 19 of 20 comparisons.
pub(crate) const CONFIDENCE: f64 = 0.99;

/// Fewest pairs for an interval.
pub(crate) const MIN_PAIRS: usize = 3;

/// An interval whose ends differ by more than this factor is not reported.
const MAX_SPREAD: f64 = 10.0;

/// The ratio of pairs, with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatioInterval {
    /// The geometric mean.
    pub ratio: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl RatioInterval {
    /// The interval, unless it is too wide to say anything.
    pub(crate) fn if_useful(self) -> Option<Self> {
        (self.high / self.low < MAX_SPREAD).then_some(self)
    }

    /// The ratio of B to A over `pairs` of (A, B), with the two-sided `confidence` (0 to 1), by Student's t of the
    /// logarithms. `None` for fewer than two pairs, or if a value is not above zero.
    #[must_use]
    pub fn of(pairs: &[(f64, f64)], confidence: f64) -> Option<Self> {
        let count = pairs.len() as f64;
        if pairs.len() < 2 || pairs.iter().any(|&(a, b)| a <= 0.0 || b <= 0.0) {
            return None;
        }
        let logs = || pairs.iter().map(|&(a, b)| (b / a).ln());
        let mean = logs().sum::<f64>() / count;
        let variance = logs().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let half = student_quantile(confidence, count - 1.0) * (variance / count).sqrt();
        Some(RatioInterval { ratio: mean.exp(), low: (mean - half).exp(), high: (mean + half).exp() })
    }

    /// The ratio of B to A from values that were measured separately, at the two-sided `confidence` (0 to 1): Welch's t
    /// over the logarithms, which allows A and B to have different variances. `None` if either has fewer than two
    /// values, or if a value is not above zero.
    #[must_use]
    pub fn of_separate(a: &[f64], b: &[f64], confidence: f64) -> Option<Self> {
        if a.len() < 2 || b.len() < 2 || a.iter().chain(b).any(|&value| value <= 0.0) {
            return None;
        }
        // Mean, variance of the mean, and degrees of freedom.
        let moments = |values: &[f64]| {
            let count = values.len() as f64;
            let logs = || values.iter().map(|value| value.ln());
            let mean = logs().sum::<f64>() / count;
            (mean, logs().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0) / count, count - 1.0)
        };
        let ((mean_a, var_a, free_a), (mean_b, var_b, free_b)) = (moments(a), moments(b));
        let (mean, var) = (mean_b - mean_a, var_a + var_b);
        // Welch and Satterthwaite; of values without any scatter there is no quotient.
        let freedom = var * var / (var_a * var_a / free_a + var_b * var_b / free_b);
        let freedom = if freedom.is_finite() { freedom } else { free_a + free_b };
        let half = student_quantile(confidence, freedom) * var.sqrt();
        Some(RatioInterval { ratio: mean.exp(), low: (mean - half).exp(), high: (mean + half).exp() })
    }

    /// Whether the interval excludes 1.
    #[must_use]
    pub fn shows_difference(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }

    /// The larger distance of the two ends from the ratio, as a share of it.
    #[must_use]
    pub fn half_width(&self) -> f64 {
        self.high / self.ratio - 1.0
    }
}

/// The median; 0 if there are no values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The t for which the share `confidence` of Student's distribution with `freedom` degrees of freedom lies between -t
/// and t.
#[must_use]
pub fn student_quantile(confidence: f64, freedom: f64) -> f64 {
    const STEPS: usize = 200;
    let (mut low, mut high) = (0.0, 1e6);
    // The share outside is I(freedom / (freedom + t²); freedom / 2, 1/2), which falls as t grows.
    for _ in 0..STEPS {
        let t = f64::midpoint(low, high);
        let outside = incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5);
        if outside > 1.0 - confidence { low = t } else { high = t }
    }
    f64::midpoint(low, high)
}

/// The regularized incomplete beta function I(x; a, b), by its continued fraction (Abramowitz and Stegun, 26.5.8), on
/// the side on which it converges fast.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// Computes the continued fraction by Lentz's method, with the names of the formula.
#[expect(clippy::many_single_char_names, reason = "the names of the formula")]
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const TERMS: u32 = 300;
    let not_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for term in 1..TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for coefficient in [even, odd] {
            d = 1.0 / not_zero(1.0 + coefficient * d);
            c = not_zero(1.0 + coefficient / c);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < 1e-14 {
            break;
        }
    }
    fraction
}

/// The logarithm of the gamma function: Stirling's series, exact to all digits from 10 on, and the recurrence for
/// values below 10.
fn ln_gamma(x: f64) -> f64 {
    if x < 10.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5)) - 1.0 / (1680.0 * x.powi(7));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let table =
            [(0.95, 1.0, 12.706), (0.95, 4.0, 2.776), (0.99, 9.0, 3.250), (0.95, 29.0, 2.045), (0.999, 4.0, 8.610)];
        for (confidence, freedom, expected) in table {
            let t = student_quantile(confidence, freedom);
            assert!((t - expected).abs() < 6e-4, "{confidence} {freedom}: {t}");
        }
    }

    /// Nearly normal noise: the sum of twelve uniform numbers.
    fn noise(random: &mut fastrand::Rng) -> f64 {
        (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
    }

    #[test]
    fn an_interval_misses_the_truth_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(7);
        let missed = (0..2000).filter(|_| {
            let pairs: Vec<_> = (0..6)
                .map(|_| (1e5 * (0.05 * noise(&mut random)).exp(), 1e5 * (0.05 * noise(&mut random)).exp()))
                .collect();
            RatioInterval::of(&pairs, 0.95).unwrap().shows_difference()
        });
        let missed = missed.count();
        assert!((60..140).contains(&missed), "{missed} of 2000, of which 100 are due");
    }

    #[test]
    fn separate_runs_miss_the_truth_as_often_as_they_say() {
        let mut random = fastrand::Rng::with_seed(9);
        let missed = (0..2000).filter(|_| {
            let mut runs = |count: usize, scatter: f64| {
                (0..count).map(|_| 1e5 * (scatter * noise(&mut random)).exp()).collect::<Vec<_>>()
            };
            let (a, b) = (runs(4, 0.02), runs(8, 0.08));
            RatioInterval::of_separate(&a, &b, 0.95).unwrap().shows_difference()
        });
        let missed = missed.count();
        assert!((60..140).contains(&missed), "{missed} of 2000, of which 100 are due");
        // t of 4 degrees of freedom is 2.776; the variance of each mean is 0.01 / 3.
        let [a, b] = [[-0.1_f64, 0.0, 0.1], [0.4, 0.5, 0.6]].map(|logs| logs.map(f64::exp));
        let interval = RatioInterval::of_separate(&a, &b, 0.95).unwrap();
        assert!((interval.high.ln() - 0.5 - 2.776 * 0.081_65).abs() < 1e-4, "{interval:?}");
        assert_eq!(RatioInterval::of_separate(&[1.0], &[1.0, 2.0], 0.95), None);
        let same = RatioInterval::of_separate(&[2.0, 2.0], &[3.0, 3.0], 0.95).unwrap();
        assert!((same.low - 1.5).abs() < 1e-9 && (same.high - 1.5).abs() < 1e-9);
    }

    #[test]
    fn a_difference_is_found_with_its_size() {
        let mut random = fastrand::Rng::with_seed(8);
        let pairs: Vec<_> = (0..10).map(|_| (100.0 + noise(&mut random), 110.0 + noise(&mut random))).collect();
        let interval = RatioInterval::of(&pairs, 0.95).unwrap();
        assert!(interval.shows_difference() && interval.low < 1.1 && interval.high > 1.1, "{interval:?}");
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(RatioInterval::of(&[(1.0, 2.0)], 0.95), None);
        assert_eq!(RatioInterval::of(&[(0.0, 2.0), (1.0, 1.0)], 0.95), None);
        assert!((median(&[3.0, 1.0, 2.0, 10.0]) - 2.5).abs() < 1e-12);
    }
}
