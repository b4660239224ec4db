//! The figures for Prometheus. Names and units follow its conventions.

use proxy_echo_exposition::{Format, Kind, Writer};

use super::{Buckets, Figures};
use crate::format;
use crate::samples::PERCENTILES;

/// Most reasons of errors with their own sample; the others are added up as `other`.
const MAX_REASONS: usize = 50;

pub(super) fn render(figures: &Figures, format: Format) -> String {
    let mut out = Writer::new(format, 0);
    out.family("loadtest_build_info", Kind::Gauge, "The version that runs");
    out.sample("loadtest_build_info", &[("version", proxy_echo_args::VERSION)], 1);
    out.gauge("loadtest_run", "Which of --runs this is, from 1; 0 before the first measured second", figures.run);
    if let Some(rate) = figures.offered_per_s {
        out.gauge("loadtest_offered_messages_per_second", "The rate asked of this process", rate);
    }
    out.gauge("loadtest_connections_open", "Open connections", figures.connections);
    counters(figures, &mut out);
    latency(figures, &mut out);
    let help = "Part of a core that a worker used in the last second, on average";
    out.gauge("loadtest_worker_cpu_ratio", help, figures.cpu_mean);
    out.gauge("loadtest_busiest_worker_cpu_ratio", "The same of the busiest worker", figures.cpu_busiest);
    out.finish()
}

fn counters(figures: &Figures, out: &mut Writer) {
    let mut all = figures.before.clone();
    all.add(&figures.totals);
    for (name, help, count) in [
        ("loadtest_messages", "Messages that came back in the measured time", all.measured_completed),
        ("loadtest_received_bytes", "Payload that came back in the measured time", all.measured_bytes),
        ("loadtest_connections_opened", "Connections established", all.connections_opened),
        ("loadtest_connections_failed", "Connects that failed", all.connections_failed),
        ("loadtest_connections_lost", "Connections that the target closed or reset", all.connections_lost),
        ("loadtest_messages_unanswered", "Messages given up without an answer", all.requests_unanswered),
        ("loadtest_verification_failures", "Places where other bytes came than were sent", all.verification.total()),
    ] {
        out.counter(name, help, count);
    }
    out.family("loadtest_errors", Kind::Counter, "Connects that failed and connections that were lost, by reason");
    for (reason, count) in all.errors.iter().take(MAX_REASONS) {
        out.sample("loadtest_errors_total", &[("reason", &format::plain(reason))], count);
    }
    if all.errors.len() > MAX_REASONS {
        let rest: u64 = all.errors.values().skip(MAX_REASONS).sum();
        out.sample("loadtest_errors_total", &[("reason", "other")], rest);
    }
}

fn latency(figures: &Figures, out: &mut Writer) {
    let Buckets { counts, sum_ns } = &figures.latency;
    let name = "loadtest_latency_seconds";
    out.family(name, Kind::Histogram, "From when a message was due until its answer, in the measured time");
    let seconds = |ns: u64| ns as f64 / 1e9;
    // OpenMetrics demands a fraction here, even for whole numbers.
    let bounds = Buckets::bounds_ns().map(seconds).map(|bound| match bound.fract() {
        0.0 => format!("{bound:.1}"),
        _ => bound.to_string(),
    });
    let mut within = 0;
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
        within += count;
        out.sample(&format!("{name}_bucket"), &[("le", &bound)], within);
    }
    out.sample(&format!("{name}_count"), &[], within);
    out.sample(&format!("{name}_sum"), &[], sum_ns / 1e9);
    let name = "loadtest_last_second_latency_seconds";
    out.family(name, Kind::Gauge, "Percentiles of the last second, where ten messages lie beyond them");
    for (percentile, ns) in PERCENTILES.iter().zip(figures.percentiles_ns) {
        if let Some(ns) = ns {
            out.sample(name, &[("percentile", &percentile.to_string())], seconds(ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_reasons_and_hostile_ones_do_no_harm() {
        let mut figures = Figures::default();
        figures.totals.errors = (10..70).map(|number| (format!("connect: {number} \"\\\n"), 2)).collect();
        let text = render(&figures, Format::OpenMetrics);
        assert!(text.contains("\nloadtest_errors_total{reason=\"connect: 10 \\\"\\\\\\\\n\"} 2\n"), "{text}");
        assert!(text.contains("\nloadtest_errors_total{reason=\"other\"} 20\n"), "{text}");
        assert!(text.ends_with("\n# EOF\n") && !text.contains("connect: 60"), "{text}");
    }
}
