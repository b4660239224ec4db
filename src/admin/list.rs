//! The live connections as a JSON object: filtered, sorted, cut to a page, and built in small steps, one in each
//! reactor turn.
//!
//! There is no snapshot. Connections are visited in the order of their keys while others open and close. A heap keeps
//! the matching ones that may be on the page. A row shows the state at the moment it is written. A connection that was
//! closed by then has no row.

use std::collections::{BinaryHeap, TryReserveError};
use std::net::SocketAddr;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::View;
use super::query::{Key, Query};
use super::snapshot::seconds;
use super::view::Facts;
use super::work::Work;
use crate::observe::journal::Record;
use crate::observe::json::header_fields;
use crate::observe::origin::Origin;
use crate::policy;

/// The answer to a query, while it is built.
#[derive(Debug)]
pub(super) struct List {
    query: Query,
    matched: usize,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Visits the connections from `next_key` to `keys_end`. The top of the heap is the last one in the order.
    Search { next_key: usize, keys_end: usize, first: BinaryHeap<Place> },
    /// Moves the page from the heap, its last row first.
    Pick { first: BinaryHeap<Place>, page: Vec<Place> },
    /// Writes the rows; the next one is at the end of `page`.
    Write { page: Vec<Place>, separator: &'static str },
}

/// A connection's place in the order: the sort key, then its number, so that no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rank: (u64, u64),
    key: usize,
}

impl List {
    /// Most bytes of a row: a kept header has at most 1 KiB, and each byte takes up to four.
    const MAX_ROW_BYTES: usize = 8 * 1024;
    /// Bytes of the answer that are collected before they are sent.
    const PART_BYTES: usize = 16 * 1024;

    /// # Errors
    ///
    /// There is no memory for the heap.
    pub(super) fn new(query: Query, keys_end: usize) -> Result<Self, TryReserveError> {
        let mut first = BinaryHeap::new();
        first.try_reserve_exact(query.depth().min(keys_end))?;
        Ok(List { query, matched: 0, step: Step::Search { next_key: 0, keys_end, first } })
    }

    /// Continues until the work of this turn is used up or a part is complete. Appends the part to `out`. Returns
    /// whether more parts follow.
    ///
    /// # Errors
    ///
    /// There is no memory for a part.
    pub(super) fn go_on(
        &mut self,
        view: &View<'_>,
        work: &mut Work,
        out: &mut Vec<u8>,
    ) -> Result<bool, TryReserveError> {
        while !work.is_used_up() {
            match &mut self.step {
                Step::Search { next_key, keys_end, first } if *next_key < *keys_end => {
                    let key = *next_key;
                    *next_key += 1;
                    if let Some(row) = Row::at(key, view) {
                        work.spend_row(row.origin.kept_bytes());
                        if row.matches(&self.query) {
                            self.matched += 1;
                            row.put(&self.query, first, work);
                        }
                    } else {
                        work.spend_row(0);
                    }
                }
                Step::Search { first, .. } => {
                    let first = std::mem::take(first);
                    let mut page = Vec::new();
                    page.try_reserve_exact(first.len().saturating_sub(self.query.offset))?;
                    self.step = Step::Pick { first, page };
                }
                Step::Pick { first, page } if first.len() > self.query.offset => {
                    work.spend_row(0);
                    page.extend(first.pop());
                }
                Step::Pick { page, .. } => {
                    let page = std::mem::take(page);
                    out.try_reserve_exact(Self::MAX_ROW_BYTES)?;
                    self.write_head(view, out);
                    self.step = Step::Write { page, separator: "" };
                }
                Step::Write { page, separator } => {
                    let Some(place) = page.pop() else {
                        out.extend_from_slice(b"]}");
                        return Ok(false);
                    };
                    if place.write(&self.query, view, separator, work, out)? {
                        *separator = ",";
                    }
                    if out.len() >= Self::PART_BYTES {
                        break;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Bytes of memory that the page takes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        match &self.step {
            Step::Search { .. } => 0,
            Step::Pick { page, .. } | Step::Write { page, .. } => page.capacity() * size_of::<Place>(),
        }
    }

    fn write_head(&self, view: &View<'_>, out: &mut Vec<u8>) {
        let (total, matched, offset) = (view.connections.len(), self.matched, self.query.offset);
        let head = format!(r#"{{"total":{total},"matched":{matched},"offset":{offset},"connections":["#);
        out.extend_from_slice(head.as_bytes());
    }
}

impl Place {
    /// Writes the row, if the connection is still there.
    fn write(
        self,
        query: &Query,
        view: &View<'_>,
        separator: &str,
        work: &mut Work,
        out: &mut Vec<u8>,
    ) -> Result<bool, TryReserveError> {
        work.spend_row(0);
        let Some(row) = Row::at(self.key, view).filter(|row| row.tie(query) == self.rank.1) else {
            return Ok(false);
        };
        let before = out.len();
        out.try_reserve_exact(List::MAX_ROW_BYTES)?;
        out.extend_from_slice(separator.as_bytes());
        // Cannot fail: writing to a Vec succeeds, and all keys of a row's maps are strings.
        let _ = serde_json::to_writer(&mut *out, &row);
        work.spend_bytes(out.len() - before);
        Ok(true)
    }
}

struct Row<'a> {
    now_ms: u64,
    key: usize,
    facts: Facts,
    record: &'a Record,
    origin: &'a Origin,
}

impl<'a> Row<'a> {
    fn at(key: usize, view: &View<'a>) -> Option<Self> {
        let facts = view.connections.get(key)?;
        let (record, origin) = view.journal.known(key)?;
        Some(Row { now_ms: view.now_ms, key, facts, record, origin })
    }

    fn matches(&self, query: &Query) -> bool {
        query.filter.as_ref().is_none_or(|filter| filter.takes(self.origin, self.facts.state))
    }

    /// Adds it to `first`, if it comes before one of them.
    fn put(&self, query: &Query, first: &mut BinaryHeap<Place>, work: &mut Work) {
        let value = self.value(query.sort);
        let rank = (if query.is_ascending { value } else { !value }, self.tie(query));
        let place = Place { rank, key: self.key };
        if first.len() < query.depth() {
            first.push(place);
        } else if let Some(mut last) = first.peek_mut()
            && place < *last
        {
            // An operation on a large heap takes as long as visiting a connection.
            work.spend_row(0);
            *last = place;
        }
    }

    fn value(&self, sort: Key) -> u64 {
        match sort {
            Key::Number => self.record.number,
            Key::BytesIn => self.record.received,
            Key::BytesOut => self.record.sent,
            Key::Held => self.facts.held as u64,
            Key::Age => self.now_ms - self.record.accepted_ms,
            Key::Idle => self.idle_ms(),
        }
    }

    /// The number, in the direction of the order, to break ties.
    fn tie(&self, query: &Query) -> u64 {
        if query.is_ascending { self.record.number } else { !self.record.number }
    }

    /// The time without traffic in either direction, in ms.
    fn idle_ms(&self) -> u64 {
        (self.now_ms as u32).wrapping_sub(self.facts.since_ms).into()
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("connection", &self.record.number)?;
        map.serialize_entry::<_, SocketAddr>("peer", &self.origin.peer())?;
        map.serialize_entry("state", self.facts.state)?;
        map.serialize_entry("proxy_protocol", policy::name(self.origin.mode()))?;
        if let Some(header) = self.origin.header() {
            header_fields(&header, &mut map)?;
            if self.origin.left_out() > 0 {
                map.serialize_entry("tlvs_left_out", &self.origin.left_out())?;
            }
        }
        map.serialize_entry("bytes_in", &self.record.received)?;
        map.serialize_entry("bytes_out", &self.record.sent)?;
        map.serialize_entry("held", &self.facts.held)?;
        map.serialize_entry("age_seconds", &seconds(self.now_ms - self.record.accepted_ms))?;
        map.serialize_entry("idle_seconds", &seconds(self.idle_ms()))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::fixture::Fixture;
    use super::*;

    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";

    /// The answer to `query`. `between` runs between two turns.
    fn list(query: &str, fixture: &mut Fixture, mut between: impl FnMut(&mut Fixture)) -> Value {
        let mut list = List::new(Query::parse(query).unwrap(), fixture.view().keys_end).unwrap();
        let mut all = Vec::new();
        loop {
            let mut part = Vec::new();
            let has_more = list.go_on(&fixture.view(), &mut Work::of_a_turn(), &mut part).unwrap();
            assert!(part.len() <= List::PART_BYTES + List::MAX_ROW_BYTES && fixture.looks() <= Work::MAX_ROWS);
            all.extend(part);
            if !has_more {
                return serde_json::from_slice(&all).expect("JSON");
            }
            between(fixture);
        }
    }

    fn numbers(list: &Value) -> Vec<u64> {
        list["connections"].as_array().unwrap().iter().map(|row| row["connection"].as_u64().unwrap()).collect()
    }

    #[test]
    fn a_page_is_the_same_as_of_all_sorted() {
        let mut fixture = Fixture::new(3000, HEADER);
        for (query, first, last) in [
            ("limit=1000", 3000, 2001),
            ("limit=10&offset=2995", 5, 1),
            ("limit=10&offset=1500&order=asc", 1501, 1510),
            ("sort=held&limit=100", 3000, 2901),
            ("sort=held&order=asc&limit=1000&offset=2000", 2001, 3000),
            // All have received the same: the number decides.
            ("sort=bytes_in&limit=2&offset=1", 2999, 2998),
        ] {
            let list = list(query, &mut fixture, |_| {});
            let numbers = numbers(&list);
            let expected: Vec<u64> =
                if first < last { (first..=last).collect() } else { (last..=first).rev().collect() };
            assert_eq!(numbers, expected, "{query}");
            assert_eq!((&list["total"], &list["matched"]), (&3000.into(), &3000.into()));
        }
        assert!(numbers(&list("offset=3000", &mut fixture, |_| {})).is_empty());
        assert_eq!(list("filter=10.0.1.0/24", &mut fixture, |_| {})["matched"], 256);
    }

    #[test]
    fn connections_may_come_and_go_meanwhile() {
        let mut fixture = Fixture::new(3000, HEADER);
        let mut turn = 0;
        // After their keys were visited, a new connection takes over the last key, and the first connections close.
        let churn = |fixture: &mut Fixture| {
            turn += 1;
            if turn == 3 {
                fixture.close(2999);
                fixture.open(2999, HEADER);
                (0..500).for_each(|key| fixture.close(key));
            }
        };
        let list = list("sort=held&order=asc&limit=1000", &mut fixture, churn);
        assert_eq!(numbers(&list), (501..=1000).collect::<Vec<_>>());
        let list = self::list("limit=2", &mut fixture, |_| {});
        assert_eq!(numbers(&list), [3001, 2999]);
    }
}
