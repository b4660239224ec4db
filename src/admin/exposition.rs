//! Renders metrics in the two text formats that Prometheus reads. Names and units follow its conventions.

use std::fmt::{Display, Write};

use super::process::Process;
use super::snapshot::{Listener, Snapshot};
use crate::observe::metrics::{Headers, Turns};

/// The text format. The two differ in their comments and in the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus's text format, version 0.0.4: comments name a counter with `_total`, as its samples do.
    Prometheus,
    /// OpenMetrics 1.0: comments name a counter without `_total` and state units; the text ends with `# EOF`.
    OpenMetrics,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The metrics of `snapshot`.
pub(super) fn render(snapshot: &Snapshot<'_>, format: Format) -> String {
    let mut out = Writer { text: String::with_capacity(Writer::USUAL_BYTES), format };
    let build = [("version", snapshot.version), ("commit", snapshot.commit.unwrap_or("unknown"))];
    out.family("proxy_echo_build_info", Kind::Gauge, "The running version");
    out.sample("proxy_echo_build_info", &build, 1);
    out.gauge("proxy_echo_ready", "Whether a new connection would be served now", u8::from(snapshot.is_ready));
    out.family("proxy_echo_listener_info", Kind::Gauge, "A listener, and whether its connections begin with a header");
    for Listener { address, proxy_protocol } in &snapshot.listeners {
        let labels = [("address", &address.to_string()[..]), ("proxy_protocol", proxy_protocol)];
        out.sample("proxy_echo_listener_info", &labels, 1);
    }
    connections(snapshot, &mut out);
    headers(snapshot, &mut out);
    traffic(snapshot, &mut out);
    turns(snapshot.turns, &mut out);
    process(snapshot, &mut out);
    if format == Format::OpenMetrics {
        out.text.push_str("# EOF\n");
    }
    out.text
}

fn connections(snapshot: &Snapshot<'_>, out: &mut Writer) {
    let connections = &snapshot.connections;
    out.counter("proxy_echo_connections_accepted", "Connections accepted", connections.accepted);
    let closed = connections.closed.iter().map(|(&reason, &count)| ([("reason", reason)], count));
    out.counters("proxy_echo_connections_closed", "Connections closed, by reason", closed);
    out.gauge("proxy_echo_connections_active", "Connections that are open", connections.active);
    out.gauge("proxy_echo_connections_limit", "Most connections at a time", connections.limit);
    out.gauge("proxy_echo_connections_waiting", "Connections that wait for memory", connections.waiting);
    out.counter("proxy_echo_probes", "Connections that were health checks", connections.probes);
    out.counter("proxy_echo_accept_errors", "Times that accepting failed", snapshot.accept_errors);
}

fn headers(snapshot: &Snapshot<'_>, out: &mut Writer) {
    let Headers { v1_proxy, v1_unknown, v2_proxy, v2_local, absent } = snapshot.headers;
    let headers = [
        ("v1", "PROXY", v1_proxy),
        ("v1", "UNKNOWN", v1_unknown),
        ("v2", "PROXY", v2_proxy),
        ("v2", "LOCAL", v2_local),
    ];
    let headers = headers.map(|(version, command, count)| ([("version", version), ("command", command)], count));
    out.counters("proxy_echo_headers", "PROXY headers, by version and command", headers.into_iter());
    out.counter("proxy_echo_headers_absent", "Connections without a PROXY header, where none is required", absent);
    let refused = snapshot.refused.iter().map(|refused| ([("reason", refused.reason)], refused.count));
    out.counters("proxy_echo_headers_refused", "Refused PROXY headers, by error", refused);
}

fn traffic(snapshot: &Snapshot<'_>, out: &mut Writer) {
    out.counter("proxy_echo_received_bytes", "Payload received", snapshot.bytes.r#in);
    out.counter("proxy_echo_sent_bytes", "Bytes sent, with reflected headers", snapshot.bytes.out);
    out.gauge("proxy_echo_held_bytes", "Memory for unsent and unfinished data", snapshot.held.bytes);
    out.gauge("proxy_echo_held_limit_bytes", "Most such memory", snapshot.held.limit);
    out.counter(
        "proxy_echo_log_lines_dropped",
        "Log lines dropped because their reader is too slow",
        snapshot.log_lines_dropped,
    );
}

fn turns(turns: &Turns, out: &mut Writer) {
    let name = "proxy_echo_loop_turn_seconds";
    out.family(name, Kind::Histogram, "Time between two waits for events, of one turn in 64");
    out.sample(&format!("{name}_sum"), &[], turns.sum.as_secs_f64());
    out.sample(&format!("{name}_count"), &[], turns.counts.iter().sum::<u64>());
    let bounds = Turns::BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (bound, within) in bounds.zip(turns.counts) {
        count += within;
        out.sample(&format!("{name}_bucket"), &[("le", &bound)], count);
    }
}

/// The metrics of the process, with the names that all Prometheus client libraries use.
fn process(snapshot: &Snapshot<'_>, out: &mut Writer) {
    out.gauge("process_start_time_seconds", "When the process started, since 1970", snapshot.start_seconds);
    if let Some(Process { resident_bytes, open_files, max_files, cpu_seconds }) = snapshot.process {
        out.counter("process_cpu_seconds", "CPU time used", cpu_seconds);
        out.gauge("process_resident_memory_bytes", "Memory in use", resident_bytes);
        out.gauge("process_open_fds", "Open file descriptors", open_files);
        out.gauge("process_max_fds", "Most open file descriptors", max_files);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

struct Writer {
    text: String,
    format: Format,
}

impl Writer {
    /// A little more than the size of all metrics.
    const USUAL_BYTES: usize = 12 * 1024;

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], value);
    }

    /// The name is without `_total`.
    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.counters(name, help, [([], value)].into_iter());
    }

    /// A counter for each set of labels.
    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = ([(&'a str, &'a str); N], impl Display)>,
    ) {
        self.family(name, Kind::Counter, help);
        let name = format!("{name}_total");
        for (labels, count) in counts {
            self.sample(&name, &labels, count);
        }
    }

    /// Writes the comments of a metric.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let is_open = self.format == Format::OpenMetrics;
        let total = if kind == Kind::Counter && !is_open { "_total" } else { "" };
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name}{total} {help}\n# TYPE {name}{total} {word}\n"));
        if let Some(unit) = ["seconds", "bytes"].into_iter().find(|&unit| is_open && name.ends_with(unit)) {
            self.line(format_args!("# UNIT {name} {unit}\n"));
        }
    }

    /// Writes a sample. Label values are the server's own names, which need no escape.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            self.line(format_args!("{before}{label}=\"{text}\""));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        self.line(format_args!("{after} {value}\n"));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}
