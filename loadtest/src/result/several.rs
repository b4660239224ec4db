//! Results that join several runs: of `compare`, of `search`, and of `report` with several files.

use serde::{Deserialize, Serialize};

use super::{Figures, Judgement, RunResult};

/// Two targets under the same load, in turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareResult {
    /// [`FORMAT`](super::FORMAT).
    pub format: u32,
    /// The first target, all its runs together; its `runs` has the figures of each.
    pub a: RunResult,
    /// The second.
    pub b: RunResult,
    /// The number of runs of each target.
    pub pairs: u64,
    /// The confidence of all intervals together: 0.99.
    pub confidence: f64,
    /// The ratios of B to A, for each figure.
    pub ratios: Vec<Ratio>,
    /// The number of the signal that ended it early.
    #[serde(default)]
    pub signal: Option<i32>,
    /// The verdict.
    #[serde(default)]
    pub verdict: Option<Judgement>,
    /// Why there were no more pairs: that it is tight enough, or that the limit was reached, or an interrupt.
    pub stopped: String,
    /// Why the figures must not be used: empty if they may.
    pub invalid: Vec<String>,
}

/// The ratio of B to A in one figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// `rate`, `p50`, `p99`, `server CPU per message`.
    pub figure: String,
    /// The unit of `a` and `b`: `1/s` or `ns`.
    pub unit: String,
    /// Median of A's runs.
    pub a: f64,
    /// Median of B's runs.
    pub b: f64,
    /// B to A: the geometric mean over the pairs.
    pub ratio: f64,
    /// The confidence interval's lower end; `None` if there are too few pairs.
    pub low: Option<f64>,
    /// The confidence interval's upper end.
    pub high: Option<f64>,
    /// Whether the interval leaves out 1. If not, "no difference shown".
    pub difference_shown: bool,
}

/// Runs side by side, each compared with the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BesideResult {
    /// [`FORMAT`](super::FORMAT).
    pub format: u32,
    /// The runs, in the order of their files. At least two.
    pub runs: Vec<Beside>,
    /// The confidence with which all intervals hold at once: 0.99.
    pub confidence: f64,
    /// The figures of all runs, one after the other.
    pub figures: Vec<BesideFigure>,
    /// The settings, and facts of the machines, that differ from those of the first run, in words.
    pub unlike: Vec<String>,
    /// The worst of the runs' verdicts.
    pub verdict: Option<Judgement>,
}

/// A run with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// The name of its file.
    pub name: String,
    /// Its result.
    pub result: RunResult,
}

/// A figure of all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BesideFigure {
    /// `rate`, `p50`, `p99`, `p99.9`, `server CPU per message`.
    pub figure: String,
    /// `1/s` or `ns`.
    pub unit: String,
    /// In the order of the runs.
    pub runs: Vec<BesideValue>,
}

/// A figure of a run, and how it relates to the first run's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BesideValue {
    /// The median over `--runs`; `None` if it is not known.
    pub median: Option<f64>,
    /// The ratio to the first run: of the geometric means if there is an interval, otherwise of the medians.
    pub ratio: Option<f64>,
    /// The lower end of the confidence interval; `None` if there is no interval, and for the first run.
    pub low: Option<f64>,
    /// The confidence interval's upper end.
    pub high: Option<f64>,
    /// Whether the interval leaves out 1.
    pub difference_shown: bool,
    /// The reason why there is no interval; `None` if there is one, and for the first run.
    pub unknown: Option<String>,
}

/// The search for the highest rate that meets an SLO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// [`FORMAT`](super::FORMAT).
    pub format: u32,
    /// The target as it was given.
    #[serde(default)]
    pub target: String,
    /// The SLO as it was given.
    pub slo: String,
    /// The number of the signal that ended it early.
    #[serde(default)]
    pub signal: Option<i32>,
    /// The verdict.
    #[serde(default)]
    pub verdict: Option<Judgement>,
    /// The tried rates, in order.
    pub steps: Vec<SearchStep>,
    /// The highest rate that met it, in messages a second; `None` if none did.
    pub best_rate: Option<f64>,
    /// The lowest rate that missed it: the answer lies between the two. `None` if none is known to.
    #[serde(default)]
    pub missed_rate: Option<f64>,
    /// Why the answer is not known; `None` if it is.
    #[serde(default)]
    pub unknown: Option<String>,
    /// The run at the best rate.
    pub best: Option<RunResult>,
    /// How latency grows with the rate.
    #[serde(default)]
    pub curve: Option<Curve>,
    /// The reason why the search ended, in words.
    pub stopped: String,
    /// Whether the generator, not the target, was the limit.
    pub generator_limited: bool,
}

/// How latency grows with the rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The percentile of the curve: the first one in the SLO, such as `p99`; p99 if it has none.
    pub percentile: String,
    /// One for each rate whose latency is known, from the lowest rate to the highest. INVALID probes have none.
    pub points: Vec<CurvePoint>,
    /// The knee: the highest rate whose latency is at most twice that at the lowest rate.
    pub knee_rate: Option<f64>,
    /// Why the knee is not known; `None` if it is.
    pub knee_unknown: Option<String>,
}

/// The latency at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Messages a second that were offered.
    pub rate: f64,
    /// The latency in ns.
    pub latency_ns: f64,
    /// Whether that is a lower bound, because messages are missing.
    pub is_at_least: bool,
    /// Whether the SLO was met; `None` if that is not known.
    pub met: Option<bool>,
}

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchStep {
    /// Messages a second that were offered.
    pub rate: f64,
    /// Whether the SLO was met; `None` if the probe proved nothing.
    pub met: Option<bool>,
    /// The measured time of the probe in s.
    #[serde(default)]
    pub measured_s: f64,
    /// The figures of the probe.
    pub figures: Figures,
    /// Why it was not met, or proved nothing; empty if it was met.
    pub why: String,
}
