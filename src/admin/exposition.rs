//! The server's metrics for Prometheus. Names and units follow its conventions.

use proxy_echo_exposition::{Format, Kind, Writer};

use super::process::Process;
use super::snapshot::{Listener, Snapshot};
use crate::observe::metrics::{Headers, Turns};

/// A little more than the size of all metrics.
const USUAL_BYTES: usize = 12 * 1024;

/// The metrics of `snapshot`.
pub(super) fn render(snapshot: &Snapshot<'_>, format: Format) -> String {
    let mut out = Writer::new(format, USUAL_BYTES);
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
    out.finish()
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
