//! Joins the results of all workers into one.

use std::time::{Duration, SystemTime};

use super::server::Use;
use super::tally::Place;
use super::worker::Outcome;
use crate::environment::Witness;
use crate::hints;
use crate::judge;
use crate::plan::{Kind, Plan};
use crate::result::{AddressResult, FORMAT, Generator, Interval, RunResult, Samples, TcpUse, TlsUse, Totals};

/// Fewest and most intervals of the measured time: one a second, within these.
const INTERVALS: (u64, u64) = (20, 100);
/// Most intervals with a changing rate, which is judged second by second.
const MAX_STAGED: u64 = 600;
/// Shortest interval; a short measurement has fewer intervals.
const MIN_INTERVAL_MS: u64 = 50;

/// The number of intervals of the measured time.
pub(super) fn pieces(plan: &Plan) -> usize {
    let duration = plan.duration;
    let most = (duration.as_millis() as u64 / MIN_INTERVAL_MS).max(1);
    let enough = if plan.stages.is_some() { MAX_STAGED } else { INTERVALS.1 };
    duration.as_secs().clamp(INTERVALS.0, enough).min(most) as usize
}

/// The result of a run, from its workers' results and the events on the machine.
pub(super) fn put_together(
    plan: &Plan,
    outcomes: Vec<Outcome>,
    witness: &Witness,
    server: Option<Use>,
    started: SystemTime,
    fd_limit: u64,
) -> RunResult {
    let longest = |of: fn(&Outcome) -> Duration| outcomes.iter().map(of).max().unwrap_or_default();
    let (measured, setup) = (longest(|outcome| outcome.measured), longest(|outcome| outcome.setup));
    let cpu: Duration = outcomes.iter().map(|outcome| outcome.cpu).sum();
    let cut_short = outcomes.iter().find_map(|outcome| outcome.cut_short.clone());
    let generator = generator(&outcomes);
    let mut totals = Totals::default();
    let (mut latency, mut service_time) = (Samples::new(), Samples::new());
    let (mut lag, mut waited, mut reconnect_time) = (Samples::new(), Samples::new(), Samples::new());
    let (mut withheld, mut failures, mut unexpected, mut tcp) = (0, Vec::new(), None, TcpUse::default());
    let mut tls = TlsUse::default();
    let length_s = plan.duration.as_secs_f64() / pieces(plan) as f64;
    let mut intervals: Vec<Interval> = Vec::new();
    let mut by_address: Vec<AddressResult> = Vec::new();
    for outcome in outcomes {
        let tally = outcome.tally;
        totals.add(&tally.totals);
        withheld += tally.withheld;
        service_time.add(&tally.service);
        lag.add(&tally.lag);
        reconnect_time.add(&tally.reconnect);
        waited.add(&tally.waited);
        latency.add(&tally.unsent);
        failures.extend(tally.failures);
        unexpected = unexpected.or(tally.unexpected);
        tcp.add(&tally.tcp);
        tls.add(&tally.tls);
        let mut places: Vec<_> = tally.addresses.into_iter().map(counted).collect();
        for (index, piece) in tally.pieces.into_iter().enumerate() {
            let (place, index) = (index / tally.intervals, index % tally.intervals);
            places[place].add_piece(piece.completed, piece.bytes, &piece.latency);
            let start_s = index as f64 * length_s;
            // After an early end there are no intervals.
            if start_s >= measured.as_secs_f64() {
                continue;
            }
            if let Some(interval) = intervals.get_mut(index) {
                interval.completed += piece.completed;
                interval.bytes += piece.bytes;
                interval.latency.add(&piece.latency);
            } else {
                let length_s = length_s.min(measured.as_secs_f64() - start_s);
                let (asked, completed, bytes) =
                    (plan.own_due(start_s, start_s + length_s), piece.completed, piece.bytes);
                intervals.push(Interval { start_s, length_s, asked, completed, bytes, latency: piece.latency });
            }
        }
        crate::join::add_addresses(&mut by_address, places);
    }
    let connect_time = sum(&by_address, |address| &address.connect_time);
    tls.handshake_time = sum(&by_address, |address| &address.handshake_time);
    latency.add(&sum(&by_address, |address| &address.latency));
    failures.truncate(crate::result::MAX_DETAILS);
    let is_closed_loop = plan.rate.is_none() && plan.kind != Kind::Idle;
    if is_closed_loop {
        service_time.clone_from(&latency);
    }
    let expected_ns = latency.percentile_ns(50.0);
    let messages = totals.measured_completed;
    // Messages that did not wait were not recorded one by one.
    waited.record_n(0, lag.count().saturating_sub(waited.count()));
    let mut result = RunResult {
        format: FORMAT,
        settings: plan.settings(),
        shard: plan.shard,
        started: humantime::format_rfc3339_millis(started).to_string(),
        measured_s: measured.as_secs_f64(),
        setup_s: setup.as_secs_f64(),
        cut_short,
        signal: None,
        verdict: None,
        addresses: by_address.iter().map(|address| address.address.clone()).collect(),
        by_address,
        achieved: None,
        latency_corrected: expected_ns.filter(|_| is_closed_loop).map(|expected_ns| latency.corrected(expected_ns)),
        latency,
        service_time,
        waited,
        connect_time,
        tls: plan.tls.is_some().then_some(tls),
        reconnect_time,
        intervals,
        runs: Vec::new(),
        generator: Generator {
            cpu_ns_per_request: (messages > 0).then(|| cpu.as_nanos() as f64 / messages as f64),
            lag,
            throttled: witness.throttled(),
            ..generator
        },
        server: server.map(|server| server.of(totals.measured_completed, totals.connections_alive, measured)),
        tcp: (tcp.connections > 0).then_some(tcp),
        environment: witness.environment(plan, fd_limit),
        invalid: Vec::new(),
        notes: Vec::new(),
        slo: None,
        hints: Vec::new(),
        failures,
        totals,
    };
    result.runs.push(result.figures());
    judge::judge(&mut result, plan, withheld);
    result.hints = hints::of(&result, plan, unexpected.as_deref());
    result
}

/// The sum of the times of all addresses.
fn sum(by_address: &[AddressResult], times: fn(&AddressResult) -> &Samples) -> Samples {
    let mut all = Samples::new();
    for address in by_address {
        all.add(times(address));
    }
    all
}

/// The counts of an address outside the intervals.
fn counted(mut place: Place) -> AddressResult {
    place.counts.latency.add(&place.tail);
    place.counts
}

/// The resources that the threads used and lacked.
fn generator(outcomes: &[Outcome]) -> Generator {
    let share = |ns: u64, outcome: &Outcome| ns as f64 / (outcome.measured.as_nanos() as f64).max(1.0);
    let gauges = || outcomes.iter().map(|outcome| &outcome.gauge);
    Generator {
        thread_cpu: outcomes.iter().map(|outcome| outcome.cpu_share).collect(),
        cpu_ns_per_request: None,
        lag: Samples::new(),
        thread_paused: outcomes.iter().map(|outcome| share(outcome.gauge.paused_ns, outcome)).collect(),
        pauses: gauges().map(|gauge| gauge.pauses).sum(),
        longest_pause_ns: gauges().map(|gauge| gauge.longest_pause_ns).max().filter(|&ns| ns > 0),
        thread_waited: outcomes.iter().map(|outcome| Some(share(outcome.gauge.delay_ns()?, outcome))).collect(),
        throttled: None,
    }
}
