//! Metrics in the formats of Prometheus: names and units by its conventions, values read at the scrape.

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::View;
use super::process::{self, Process};
use crate::observe::metrics::{Headers, Turns};

/// OpenMetrics.
pub(super) fn open_metrics(view: &View<'_>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot::of(view)));
    let mut out = String::new();
    // A String takes every write.
    let _ = text::encode(&mut out, &registry);
    out
}

/// Prometheus's own text format. There the comments name a counter as its samples do; OpenMetrics leaves out `_total`.
pub(super) fn prometheus(view: &View<'_>) -> String {
    let text = open_metrics(view);
    let counter = |line: &'_ str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: HashSet<String> = text.lines().filter_map(counter).collect();
    let mut out = String::with_capacity(text.len() + 1024);
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let _ = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => Ok(()),
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(name) => {
                writeln!(out, "# {kind} {name}_total {rest}")
            }
            _ => writeln!(out, "{line}"),
        };
    }
    out
}

/// The figures of a scrape, on their own, as the library wants them.
#[derive(Debug)]
struct Snapshot {
    is_ready: bool,
    active: usize,
    limit: usize,
    waiting: usize,
    accepted: u64,
    closed: Vec<(&'static str, u64)>,
    headers: Headers,
    refused: Vec<(&'static str, u64)>,
    probes: u64,
    received: u64,
    sent: u64,
    held: usize,
    held_limit: usize,
    accept_errors: u64,
    log_lines_dropped: u64,
    turns: Turns,
    start_seconds: f64,
    process: Option<Process>,
}

impl Snapshot {
    fn of(view: &View<'_>) -> Self {
        let metrics = view.journal.metrics();
        let start = view.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        Snapshot {
            is_ready: view.is_ready(),
            active: view.connections.len(),
            limit: view.max_connections,
            waiting: view.waiting,
            accepted: metrics.accepted,
            closed: metrics.closed.iter().map(|(&reason, &count)| (reason, count)).collect(),
            headers: metrics.headers,
            refused: metrics.refused.iter().map(|(&reason, &count)| (reason, count)).collect(),
            probes: metrics.probes,
            received: metrics.received,
            sent: metrics.sent,
            held: view.budget.held(),
            held_limit: view.budget.limit(),
            accept_errors: metrics.accept_errors,
            log_lines_dropped: view.journal.dropped_lines(),
            turns: view.turns.clone(),
            start_seconds: start.as_secs_f64(),
            process: process::read(),
        }
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Writer(encoder);
        out.build_info()?;
        out.gauge("proxy_echo_ready", "Whether a new connection would be served now", None, u32::from(self.is_ready))?;
        self.connections(&mut out)?;
        self.headers(&mut out)?;
        self.traffic(&mut out)?;
        out.turns(&self.turns)?;
        self.process(&mut out)
    }
}

impl Snapshot {
    fn connections(&self, out: &mut Writer<'_>) -> fmt::Result {
        out.counter("proxy_echo_connections_accepted", "Connections accepted", None, self.accepted)?;
        let closed = self.closed.iter().map(|&(reason, count)| ([("reason", reason)], count));
        out.counters("proxy_echo_connections_closed", "Connections closed, by reason", closed)?;
        out.gauge("proxy_echo_connections_active", "Connections that are open", None, self.active)?;
        out.gauge("proxy_echo_connections_limit", "Most connections at a time", None, self.limit)?;
        out.gauge("proxy_echo_connections_waiting", "Connections that wait for memory", None, self.waiting)?;
        out.counter("proxy_echo_probes", "Connections that were health checks", None, self.probes)?;
        out.counter("proxy_echo_accept_errors", "Times that accepting failed", None, self.accept_errors)
    }

    fn headers(&self, out: &mut Writer<'_>) -> fmt::Result {
        let Headers { v1_proxy, v1_unknown, v2_proxy, v2_local, absent } = self.headers;
        let headers = [
            ("v1", "PROXY", v1_proxy),
            ("v1", "UNKNOWN", v1_unknown),
            ("v2", "PROXY", v2_proxy),
            ("v2", "LOCAL", v2_local),
        ];
        let headers =
            headers.map(|(version, command, count)| ([("version", version), ("command", command)], count)).into_iter();
        out.counters("proxy_echo_headers", "PROXY headers, by version and command", headers)?;
        let help = "Connections without a PROXY header, where none is required";
        out.counter("proxy_echo_headers_absent", help, None, absent)?;
        let refused = self.refused.iter().map(|&(reason, count)| ([("reason", reason)], count));
        out.counters("proxy_echo_headers_refused", "What came instead of a PROXY header, by what is wrong", refused)
    }

    fn traffic(&self, out: &mut Writer<'_>) -> fmt::Result {
        let bytes = Some(&Unit::Bytes);
        out.counter("proxy_echo_received", "Payload received", bytes, self.received)?;
        out.counter("proxy_echo_sent", "Bytes sent, with reflected headers", bytes, self.sent)?;
        out.gauge("proxy_echo_held", "Memory for what is unsent or unfinished", bytes, self.held)?;
        out.gauge("proxy_echo_held_limit", "Most such memory", bytes, self.held_limit)?;
        out.counter("proxy_echo_log_lines_dropped", "Lines that the log could not take", None, self.log_lines_dropped)
    }

    /// The names that all client libraries of Prometheus have for these.
    fn process(&self, out: &mut Writer<'_>) -> fmt::Result {
        let seconds = Some(&Unit::Seconds);
        out.gauge("process_start_time", "When the process started, since 1970", seconds, self.start_seconds)?;
        let Some(Process { resident_bytes, open_files, max_files, cpu_seconds }) = self.process else {
            return Ok(());
        };
        out.counter("process_cpu", "CPU time used", seconds, cpu_seconds)?;
        out.gauge("process_resident_memory", "Memory in use", Some(&Unit::Bytes), resident_bytes)?;
        out.gauge("process_open_fds", "Open file descriptors", None, open_files)?;
        out.gauge("process_max_fds", "Most open file descriptors", None, max_files)
    }
}

struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn gauge<N>(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: N) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?)
    }

    fn counter<N>(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: N) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        ConstCounter::new(value).encode(self.0.encode_descriptor(name, help, unit, MetricType::Counter)?)
    }

    /// A counter for each set of labels.
    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = ([(&'static str, &'static str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn build_info(&mut self) -> fmt::Result {
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("commit", crate::COMMIT.unwrap_or("unknown"))];
        let help = "The version that runs";
        let mut family = self.0.encode_descriptor("proxy_echo_build_info", help, None, MetricType::Gauge)?;
        ConstGauge::new(1u64).encode(family.encode_family(&labels)?)
    }

    fn turns(&mut self, turns: &Turns) -> fmt::Result {
        let help = "Time between two waits for events, of one turn in 64";
        let unit = Some(&Unit::Seconds);
        let mut histogram = self.0.encode_descriptor("proxy_echo_loop_turn", help, unit, MetricType::Histogram)?;
        let bounds = Turns::BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(turns.counts).collect();
        histogram.encode_histogram::<[(&str, &str); 0]>(
            turns.sum.as_secs_f64(),
            turns.counts.iter().sum(),
            &buckets,
            None,
        )
    }
}
