//! Writes the latency's percentile distribution as text, in the format of `HdrHistogram`'s
//! `outputPercentileDistribution` and `HistogramLogProcessor`, which its plotter reads.

use std::io::{self, Write};

use super::words;
use crate::result::RunResult;

/// Values are written in ms with six digits, and so are exact to the ns.
pub(super) const NS_PER_UNIT: f64 = 1e6;
/// Steps for each halving of the distance to 100%, as `HistogramLogProcessor` does by default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Writes the latency of `result`.
pub(super) fn write(out: &mut dyn Write, result: &RunResult) -> io::Result<()> {
    let histogram = result.latency.histogram();
    // Readers skip lines that begin with '#'.
    writeln!(out, "#[Latency from the scheduled send, in ms; {}]", words::plain(&result.settings.target))?;
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / NS_PER_UNIT;
        let quantile = step.quantile_iterated_to();
        write!(out, "{value:12.6} {quantile:2.12} {total:10}")?;
        if quantile < 1.0 {
            write!(out, " {:14.2}", 1.0 / (1.0 - quantile))?;
        }
        writeln!(out)?;
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_UNIT, histogram.stdev() / NS_PER_UNIT);
    writeln!(out, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]")?;
    let max = histogram.max() as f64 / NS_PER_UNIT;
    writeln!(out, "#[Max     = {max:12.6}, Total count    = {:12}]", histogram.len())?;
    // Halves of the buckets overlap except in the first, so that there are (buckets + 1) halves.
    let sub_buckets = histogram.distinct_values() / (usize::from(histogram.buckets()) + 1) * 2;
    writeln!(out, "#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]", histogram.buckets())
}
