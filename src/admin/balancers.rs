//! The peers as a JSON object, each with the counts of its connections; those with the most connections come first.

use std::cmp::Reverse;
use std::net::IpAddr;

use serde::Serialize;

use super::View;
use super::snapshot::timestamp;
use crate::observe::balancers::{self as counts, Counts};
use crate::observe::json::Text;

#[derive(Serialize)]
pub(super) struct Balancers<'a> {
    balancers: Vec<Row<'a>>,
    /// All peers without their own row together.
    others: Option<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(flatten)]
    counts: &'a Counts,
    /// When one of its connections was last accepted or closed.
    last_seen: Text<humantime::Rfc3339Timestamp>,
}

pub(super) fn of<'a>(view: &View<'a>) -> Balancers<'a> {
    let row = |peer, counts: &'a Counts| Row { peer, counts, last_seen: timestamp(view.started, counts.seen_ms) };
    let known = view.journal.balancers();
    let mut balancers: Vec<_> =
        known.into_iter().flat_map(counts::Balancers::known).map(|(peer, counts)| row(Some(peer), counts)).collect();
    balancers.sort_unstable_by_key(|row| (Reverse(row.counts.active), Reverse(row.counts.accepted), row.peer));
    let others =
        known.map(counts::Balancers::others).filter(|others| others.accepted > 0).map(|others| row(None, others));
    Balancers { balancers, others }
}
