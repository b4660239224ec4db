//! Results that are parts of one: runs after each other, or shards at the same time. Histograms are added; percentiles are
//! never averaged.

use crate::result::RunResult;

/// How the parts relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Runs: their times add up.
    OneAfterTheOther,
    /// Shards: their loads add up.
    AtTheSameTime,
}

/// Joins `parts`, of which there is at least one: the first leads.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn join(parts: Vec<RunResult>, how: How) -> RunResult {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().expect("at least one part");
    let mut weight = whole.totals.measured_completed as f64;
    for part in parts {
        let more = part.totals.measured_completed as f64;
        let mean = |a: f64, b: f64| if weight + more > 0.0 { (a * weight + b * more) / (weight + more) } else { 0.0 };
        whole.generator.cpu_ns_per_request =
            mean(whole.generator.cpu_ns_per_request, part.generator.cpu_ns_per_request);
        if let (Some(a), Some(b)) = (&mut whole.server, &part.server) {
            a.cpu_s += b.cpu_s;
            a.cpu_ns_per_request = mean(a.cpu_ns_per_request, b.cpu_ns_per_request);
            a.cpu_share = f64::midpoint(a.cpu_share, b.cpu_share);
            a.rss_after_bytes = a.rss_after_bytes.max(b.rss_after_bytes);
            a.rss_per_connection_bytes = a.rss_per_connection_bytes.max(b.rss_per_connection_bytes);
        }
        weight += more;
        add(&mut whole, part, how);
    }
    for reasons in [&mut whole.invalid, &mut whole.notes] {
        *reasons = say_once(std::mem::take(reasons));
    }
    if whole.latency_corrected.is_some() {
        let expected_ns = whole.latency.percentile_ns(50.0);
        whole.latency_corrected = expected_ns.map(|expected_ns| whole.latency.corrected(expected_ns));
    }
    whole
}

/// What is said of several parts, and differs in figures alone, is said once.
fn say_once(reasons: Vec<String>) -> Vec<String> {
    let is_figure = |letter: char| letter.is_ascii_digit() || letter == '.';
    let mut kinds: Vec<(String, String, usize)> = Vec::new();
    for reason in reasons {
        let kind = reason.replace(is_figure, "");
        match kinds.iter_mut().find(|(other, ..)| *other == kind) {
            Some((.., more)) => *more += 1,
            None => kinds.push((kind, reason, 0)),
        }
    }
    let with_count = |(_, reason, more)| if more == 0 { reason } else { format!("{reason} (and {more} more like it)") };
    kinds.into_iter().map(with_count).collect()
}

fn add(whole: &mut RunResult, part: RunResult, how: How) {
    let alive = whole.totals.connections_alive;
    whole.totals.add(&part.totals);
    whole.latency.add(&part.latency);
    whole.service_time.add(&part.service_time);
    whole.connect_time.add(&part.connect_time);
    whole.generator.lag.add(&part.generator.lag);
    whole.setup_s = whole.setup_s.max(part.setup_s);
    whole.cut_short = whole.cut_short.take().or(part.cut_short);
    for failure in part.failures {
        if whole.failures.len() < crate::result::MAX_DETAILS {
            whole.failures.push(failure);
        }
    }
    for (all, one) in [(&mut whole.invalid, part.invalid), (&mut whole.notes, part.notes)] {
        all.extend(one);
    }
    let (a, b) = (&mut whole.environment, part.environment);
    a.tcp_retransmits += b.tcp_retransmits;
    a.listen_overflows += b.listen_overflows;
    a.steal = a.steal.max(b.steal);
    a.cpu_pressure = a.cpu_pressure.zip(b.cpu_pressure).map(|(a, b)| a.max(b));
    match how {
        How::OneAfterTheOther => {
            whole.measured_s += part.measured_s;
            // Each run opens its own: alive are those of one.
            whole.totals.connections_alive = alive.min(part.totals.connections_alive);
            whole.runs.extend(part.runs);
            whole.intervals.extend(part.intervals);
            for (all, one) in whole.generator.thread_cpu.iter_mut().zip(part.generator.thread_cpu) {
                *all = all.max(one);
            }
        }
        How::AtTheSameTime => {
            whole.measured_s = whole.measured_s.max(part.measured_s);
            whole.generator.thread_cpu.extend(part.generator.thread_cpu);
            for (index, interval) in part.intervals.into_iter().enumerate() {
                match whole.intervals.get_mut(index) {
                    Some(all) => {
                        all.completed += interval.completed;
                        all.bytes += interval.bytes;
                        all.latency.add(&interval.latency);
                    }
                    None => whole.intervals.push(interval),
                }
            }
            whole.runs = vec![whole.figures()];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_figures_alone_are_said_once() {
        let reasons = ["thread 0 used 97%", "sent 1.5 ms late", "thread 0 used 99.5%", "thread 1 used 98%"];
        let said = say_once(reasons.map(str::to_owned).into());
        assert_eq!(said, ["thread 0 used 97% (and 2 more like it)", "sent 1.5 ms late"]);
    }
}
