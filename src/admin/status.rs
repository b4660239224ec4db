//! The server at a glance, as a JSON object.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::View;
use super::connections::seconds;
use super::process::{self, Process};
use crate::observe::json::Text;
use crate::observe::metrics::{Headers, Refused};
use proxy::escape::Escaped;

#[derive(Serialize)]
pub(super) struct Status<'a> {
    version: &'static str,
    commit: Option<&'static str>,
    pid: u32,
    uptime_seconds: f64,
    state: &'static str,
    listening: &'a [SocketAddr],
    connections: Connections<'a>,
    headers: &'a Headers,
    refused: Vec<Count>,
    recent_refusals: Vec<Refusal<'a>>,
    bytes: Bytes,
    held: Held,
    accept_errors: u64,
    log_lines_dropped: u64,
    process: Option<Process>,
}

#[derive(Serialize)]
struct Connections<'a> {
    active: usize,
    limit: usize,
    accepted: u64,
    waiting: usize,
    probes: u64,
    closed: &'a BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Count {
    reason: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct Refusal<'a> {
    time: Text<humantime::Rfc3339Timestamp>,
    peer: SocketAddr,
    reason: &'static str,
    offset: usize,
    received: Text<Escaped<'a>>,
}

#[derive(Serialize)]
struct Bytes {
    r#in: u64,
    out: u64,
}

#[derive(Serialize)]
struct Held {
    bytes: usize,
    limit: usize,
}

pub(super) fn of<'a>(view: &View<'a>) -> Status<'a> {
    let metrics = view.journal.metrics();
    let refused = metrics.refused.iter().filter(|(_, count)| **count > 0);
    Status {
        version: env!("CARGO_PKG_VERSION"),
        commit: crate::COMMIT,
        pid: std::process::id(),
        uptime_seconds: seconds(view.now_ms),
        state: view.state(),
        listening: view.listening,
        connections: Connections {
            active: view.connections.len(),
            limit: view.max_connections,
            accepted: metrics.accepted,
            waiting: view.waiting,
            probes: metrics.probes,
            closed: &metrics.closed,
        },
        headers: &metrics.headers,
        refused: refused.map(|(&reason, &count)| Count { reason, count }).collect(),
        recent_refusals: metrics.refusals.iter().map(refusal).collect(),
        bytes: Bytes { r#in: metrics.received, out: metrics.sent },
        held: Held { bytes: view.budget.held(), limit: view.budget.limit() },
        accept_errors: metrics.accept_errors,
        log_lines_dropped: view.journal.dropped_lines(),
        process: process::read(),
    }
}

fn refusal(refused: &Refused) -> Refusal<'_> {
    Refusal {
        time: Text(humantime::format_rfc3339_millis(refused.time)),
        peer: refused.peer,
        reason: refused.refusal.as_str(),
        offset: refused.offset,
        received: Text(Escaped(&refused.received)),
    }
}
