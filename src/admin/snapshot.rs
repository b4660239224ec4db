//! The server's figures at one moment, for `/status.json` and `/metrics`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::View;
use super::process::{self, Process};
use crate::connection;
use crate::observe::events::{Listening, mixed};
use crate::observe::json::Text;
use crate::observe::metrics::{Headers, Refused, Turns};
use crate::policy;
use proxy::escape::Escaped;

/// The server's figures. Serialized, they are most of `/status.json`.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    pub(super) version: &'static str,
    pub(super) commit: Option<&'static str>,
    pid: u32,
    uptime_seconds: f64,
    pub(super) state: &'static str,
    listening: Vec<SocketAddr>,
    pub(super) listeners: Vec<Listener>,
    pub(super) connections: Connections<'a>,
    pub(super) headers: Headers,
    #[serde(serialize_with = "counted")]
    pub(super) refused: Vec<RefusedFor>,
    recent_refusals: Vec<Refusal<'a>>,
    pub(super) bytes: Bytes,
    pub(super) held: Held,
    pub(super) accept_errors: u64,
    pub(super) log_lines_dropped: u64,
    pub(super) process: Option<Process>,
    #[serde(skip)]
    pub(super) is_ready: bool,
    #[serde(skip)]
    pub(super) turns: &'a Turns,
    /// Since 1970.
    #[serde(skip)]
    pub(super) start_seconds: f64,
}

/// An address that the server listens on, and whether connections to it begin with a header.
#[derive(Serialize)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) proxy_protocol: &'static str,
}

#[derive(Serialize)]
pub(super) struct Connections<'a> {
    pub(super) active: usize,
    pub(super) limit: usize,
    pub(super) accepted: u64,
    pub(super) waiting: usize,
    pub(super) probes: u64,
    pub(super) closed: &'a BTreeMap<&'static str, u64>,
}

/// How many headers were refused for one reason.
#[derive(Serialize)]
pub(super) struct RefusedFor {
    pub(super) reason: &'static str,
    message: &'static str,
    pub(super) count: u64,
}

#[derive(Serialize)]
struct Refusal<'a> {
    time: Text<humantime::Rfc3339Timestamp>,
    peer: SocketAddr,
    reason: &'static str,
    message: &'static str,
    offset: usize,
    received: Text<Escaped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Bytes {
    pub(super) r#in: u64,
    pub(super) out: u64,
}

#[derive(Serialize)]
pub(super) struct Held {
    pub(super) bytes: usize,
    pub(super) limit: usize,
}

impl<'a> Snapshot<'a> {
    pub(super) fn of(view: &View<'a>, open_files: usize) -> Self {
        let metrics = view.journal.metrics();
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            commit: crate::COMMIT,
            pid: std::process::id(),
            uptime_seconds: seconds(view.now_ms),
            state: view.state(),
            listening: view.listening.iter().map(|on| on.address).collect(),
            listeners: view.listening.iter().map(Listener::of).collect(),
            connections: Connections {
                active: view.connections.len(),
                limit: view.max_connections,
                accepted: metrics.accepted,
                waiting: view.waiting,
                probes: metrics.probes,
                closed: &metrics.closed,
            },
            headers: metrics.headers,
            refused: metrics.refused.iter().map(|&(refusal, count)| RefusedFor::of(refusal, count)).collect(),
            recent_refusals: metrics.refusals.iter().map(Refusal::of).collect(),
            bytes: Bytes { r#in: metrics.received, out: metrics.sent },
            held: Held { bytes: view.budget.held(), limit: view.budget.limit() },
            accept_errors: metrics.accept_errors,
            log_lines_dropped: view.journal.dropped_lines(),
            process: process::read(open_files as u64),
            is_ready: view.is_ready(),
            turns: view.turns,
            start_seconds: view.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        }
    }
}

impl Listener {
    fn of(on: &Listening) -> Self {
        Listener { address: on.address, proxy_protocol: policy::name(on.mode) }
    }
}

impl RefusedFor {
    fn of(refusal: connection::Refusal, count: u64) -> Self {
        RefusedFor { reason: refusal.name(), message: refusal.as_str(), count }
    }
}

impl<'a> Refusal<'a> {
    fn of(refused: &'a Refused) -> Self {
        Refusal {
            time: Text(humantime::format_rfc3339_millis(refused.time)),
            peer: refused.peer,
            reason: refused.refusal.name(),
            message: refused.refusal.as_str(),
            offset: refused.offset,
            received: Text(Escaped(&refused.received)),
            hint: mixed(refused.refusal, &refused.received),
        }
    }
}

/// Serializes only the reasons that occurred.
fn counted<S: Serializer>(all: &[RefusedFor], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().filter(|refused| refused.count > 0))
}

/// The time of day at `ms` after the start, in UTC.
pub(super) fn timestamp(started: SystemTime, ms: u64) -> Text<humantime::Rfc3339Timestamp> {
    Text(humantime::format_rfc3339_seconds(started + Duration::from_millis(ms)))
}

/// Milliseconds as seconds with the fewest digits. `as_secs_f64` rounds twice, and can give 1.5350000000000001.
pub(super) fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).div_duration_f64(Duration::from_secs(1))
}
