//! Joins results that are parts of one: runs one after the other, or shards at the same time. Histograms are added;
//! percentiles are never averaged.

use crate::held;
use crate::result::{Achieved, AddressResult, Generator, RunResult};

/// How the parts relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Runs: their times add up.
    OneAfterTheOther,
    /// Shards: their loads add up.
    AtTheSameTime,
}

/// Joins `parts`, at least one. The settings and the environment are those of the first.
///
/// # Panics
///
/// If `parts` is empty.
#[must_use]
pub fn join(parts: Vec<RunResult>, how: How) -> RunResult {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().expect("at least one part");
    let mut weight = whole.totals.measured_completed as f64;
    for part in parts {
        let more = part.totals.measured_completed as f64;
        let mean = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) if weight + more > 0.0 => Some((a * weight + b * more) / (weight + more)),
            (a, b) => a.or(b),
        };
        whole.generator.cpu_ns_per_request =
            mean(whole.generator.cpu_ns_per_request, part.generator.cpu_ns_per_request);
        if let (Some(a), Some(b)) = (&mut whole.server, &part.server) {
            a.cpu_s += b.cpu_s;
            a.cpu_ns_per_request = mean(a.cpu_ns_per_request, b.cpu_ns_per_request);
            a.cpu_share = f64::midpoint(a.cpu_share, b.cpu_share);
            a.rss_after_bytes = a.rss_after_bytes.max(b.rss_after_bytes);
            a.rss_per_connection_bytes = most(a.rss_per_connection_bytes, b.rss_per_connection_bytes);
        }
        weight += more;
        add(&mut whole, part, how);
    }
    for reasons in [&mut whole.invalid, &mut whole.notes] {
        *reasons = say_once(std::mem::take(reasons));
    }
    let held = held::held(&whole);
    if let Some(achieved) = &mut whole.achieved {
        achieved.held = held;
    }
    if whole.latency_corrected.is_some() {
        let expected_ns = whole.latency.percentile_ns(50.0);
        whole.latency_corrected = expected_ns.map(|expected_ns| whole.latency.corrected(expected_ns));
    }
    whole
}

/// Merges messages of several parts that differ only in figures into one.
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
    add_addresses(&mut whole.by_address, part.by_address);
    whole.latency.add(&part.latency);
    whole.service_time.add(&part.service_time);
    whole.connect_time.add(&part.connect_time);
    whole.waited.add(&part.waited);
    if let (Some(a), Some(b)) = (&mut whole.tcp, &part.tcp) {
        a.add(b);
    }
    if let (Some(a), Some(b)) = (&mut whole.tls, &part.tls) {
        a.add(b);
    }
    whole.reconnect_time.add(&part.reconnect_time);
    whole.setup_s = whole.setup_s.max(part.setup_s);
    whole.cut_short = whole.cut_short.take().or(part.cut_short);
    whole.signal = whole.signal.or(part.signal);
    for failure in part.failures {
        if whole.failures.len() < crate::result::MAX_DETAILS {
            whole.failures.push(failure);
        }
    }
    for (all, one) in [(&mut whole.invalid, part.invalid), (&mut whole.notes, part.notes)] {
        all.extend(one);
    }
    for (all, one) in [(&mut whole.addresses, part.addresses), (&mut whole.hints, part.hints)] {
        for text in one {
            if !all.contains(&text) {
                all.push(text);
            }
        }
    }
    let (a, b) = (&mut whole.environment, part.environment);
    a.machine_tcp_retransmits = sum(a.machine_tcp_retransmits, b.machine_tcp_retransmits);
    a.machine_listen_overflows = sum(a.machine_listen_overflows, b.machine_listen_overflows);
    a.steal = most(a.steal, b.steal);
    a.cpu_pressure = most(a.cpu_pressure, b.cpu_pressure);
    add_generator(&mut whole.generator, part.generator, how);
    add_achieved(whole, part.achieved.as_ref(), how);
    match how {
        How::OneAfterTheOther => {
            whole.measured_s += part.measured_s;
            // Each run opens its own connections: count those of one run as alive.
            whole.totals.connections_alive = alive.min(part.totals.connections_alive);
            whole.runs.extend(part.runs);
            whole.intervals.extend(part.intervals);
        }
        How::AtTheSameTime => {
            whole.measured_s = whole.measured_s.max(part.measured_s);
            for (index, interval) in part.intervals.into_iter().enumerate() {
                match whole.intervals.get_mut(index) {
                    Some(all) => {
                        all.asked = sum(all.asked, interval.asked);
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

/// Adds `more` to the results of the same addresses.
pub fn add_addresses(all: &mut Vec<AddressResult>, more: impl IntoIterator<Item = AddressResult>) {
    for one in more {
        match all.iter_mut().find(|other| other.address == one.address) {
            Some(other) => other.add(&one),
            None => all.push(one),
        }
    }
}

/// Adds the generator's figures. Threads of shards are listed side by side; for runs, the worst figure of each thread
/// counts.
fn add_generator(whole: &mut Generator, part: Generator, how: How) {
    fn join<T>(all: &mut Vec<T>, more: Vec<T>, how: How, worse: fn(&T, T) -> T) {
        match how {
            How::OneAfterTheOther => {
                for (one, other) in all.iter_mut().zip(more) {
                    *one = worse(one, other);
                }
            }
            How::AtTheSameTime => all.extend(more),
        }
    }
    whole.lag.add(&part.lag);
    join(&mut whole.thread_cpu, part.thread_cpu, how, |a, b| a.max(b));
    join(&mut whole.thread_paused, part.thread_paused, how, |a, b| a.max(b));
    join(&mut whole.thread_waited, part.thread_waited, how, |a, b| most(*a, b));
    whole.pauses += part.pauses;
    whole.longest_pause_ns = whole.longest_pause_ns.max(part.longest_pause_ns);
    if let (Some(a), Some(b)) = (&mut whole.throttled, part.throttled) {
        a.periods += b.periods;
        a.time_s += b.time_s;
    }
}

fn add_achieved(whole: &mut RunResult, part: Option<&Achieved>, how: How) {
    let runs = whole.runs.len() as f64;
    if let (Some(a), Some(b)) = (&mut whole.achieved, part) {
        a.due += b.due;
        a.unsent += b.unsent;
        a.met &= b.met;
        a.limit = a.limit.take().or_else(|| b.limit.clone());
        if how == How::AtTheSameTime {
            a.asked_per_s += b.asked_per_s;
            a.achieved_per_s += b.achieved_per_s;
        } else {
            a.achieved_per_s = (a.achieved_per_s * runs + b.achieved_per_s) / (runs + 1.0);
        }
    }
}

fn most(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.zip(b).map(|(a, b)| a.max(b)).or(a).or(b)
}

fn sum<T: std::ops::Add<Output = T>>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.zip(b).map(|(a, b)| a + b)
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
