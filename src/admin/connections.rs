//! The live connections, as a JSON object: filtered, sorted, and cut to a page.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use form_urlencoded::parse;
use memchr::memmem;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::View;
use super::snapshot::seconds;
use super::view::Facts;
use crate::observe::journal::Record;
use crate::observe::json::header_fields;
use crate::observe::origin::Origin;
use crate::policy::network;
use proxy::policy::Network;
use proxy::{Addresses, Header, Version};

/// What of the list is wanted.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    filter: Option<Filter>,
    sort: Key,
    is_ascending: bool,
    limit: usize,
    offset: usize,
}

#[derive(Debug, PartialEq)]
enum Filter {
    /// Of the client or the balancer.
    Network(Network),
    Version(Version),
    /// In a TLV's value.
    Text(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Key {
    Number,
    BytesIn,
    BytesOut,
    Held,
    Age,
    Idle,
}

/// What makes no sense in a query.
#[derive(Debug, PartialEq)]
pub(super) struct QueryError {
    name: String,
    value: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueryError { name, value } = self;
        write!(
            f,
            "{name}={value} makes no sense: there are filter=TEXT, sort=number|bytes_in|bytes_out|held|age|idle, \
             order=asc|desc, limit=1..{}, offset=COUNT",
            Query::MAX_ROWS
        )
    }
}

impl Query {
    /// Most connections in an answer.
    const MAX_ROWS: usize = 1000;

    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Query { filter: None, sort: Key::Number, is_ascending: false, limit: 100, offset: 0 };
        for (name, value) in parse(text.as_bytes()) {
            query
                .set(&name, &value)
                .ok_or_else(|| QueryError { name: name.into_owned(), value: value.into_owned() })?;
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "filter" => self.filter = Filter::parse(value.trim()),
            "sort" => self.sort = Key::parse(value)?,
            "order" => {
                self.is_ascending = match value {
                    "asc" => true,
                    "desc" => false,
                    _ => return None,
                }
            }
            "limit" => self.limit = value.parse().ok().filter(|limit| (1..=Self::MAX_ROWS).contains(limit))?,
            "offset" => self.offset = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

impl Filter {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "v1" => Some(Filter::Version(Version::V1)),
            "v2" => Some(Filter::Version(Version::V2)),
            _ => Some(network(text).map_or_else(|_| Filter::Text(text.into()), Filter::Network)),
        }
    }

    fn takes(&self, origin: &Origin) -> bool {
        let header = origin.header();
        match self {
            Filter::Network(net) => {
                net.contains(origin.peer().ip()) || header.and_then(client).is_some_and(|client| net.contains(client))
            }
            Filter::Version(version) => header.is_some_and(|header| header.version == *version),
            Filter::Text(text) => {
                header.is_some_and(|header| header.tlvs.iter().any(|tlv| memmem::find(tlv.value, text).is_some()))
            }
        }
    }
}

fn client(header: Header<'_>) -> Option<IpAddr> {
    match header.addresses {
        Addresses::Inet { source, .. } => Some((*source.ip()).into()),
        Addresses::Inet6 { source, .. } => Some(source.ip().to_canonical()),
        Addresses::Unspecified | Addresses::Unix { .. } => None,
    }
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "number" => Key::Number,
            "bytes_in" => Key::BytesIn,
            "bytes_out" => Key::BytesOut,
            "held" => Key::Held,
            "age" => Key::Age,
            "idle" => Key::Idle,
            _ => return None,
        })
    }

    fn of(self, row: &Row<'_>) -> u64 {
        match self {
            Key::Number => row.record.number,
            Key::BytesIn => row.record.received,
            Key::BytesOut => row.record.sent,
            Key::Held => row.facts.held as u64,
            Key::Age => row.now_ms - row.record.accepted_ms,
            Key::Idle => row.idle_ms(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct List<'a> {
    total: usize,
    matched: usize,
    offset: usize,
    connections: Vec<Row<'a>>,
}

pub(super) fn list<'a>(query: &Query, view: &View<'a>) -> List<'a> {
    let rows = (0..view.keys_end).filter_map(|key| {
        let facts = view.connections.get(key)?;
        let (record, origin) = view.journal.known(key)?;
        Some(Row { now_ms: view.now_ms, facts, record, origin })
    });
    let mut rows: Vec<Row<'_>> =
        rows.filter(|row| query.filter.as_ref().is_none_or(|filter| filter.takes(row.origin))).collect();
    let matched = rows.len();
    let end = query.offset.saturating_add(query.limit).min(matched);
    // The number settles what is equal, so that pages neither repeat nor lose a connection.
    let key = |row: &Row<'_>| {
        let key = (query.sort.of(row), row.record.number);
        if query.is_ascending { key } else { (u64::MAX - key.0, u64::MAX - key.1) }
    };
    if end < matched {
        rows.select_nth_unstable_by_key(end, key);
        rows.truncate(end);
    }
    rows.sort_unstable_by_key(key);
    rows.drain(..query.offset.min(end));
    List { total: view.connections.len(), matched, offset: query.offset, connections: rows }
}

#[derive(Clone, Copy)]
struct Row<'a> {
    now_ms: u64,
    facts: Facts,
    record: &'a Record,
    origin: &'a Origin,
}

impl Row<'_> {
    /// How long nothing was said or taken, in ms.
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
    use super::*;

    #[test]
    fn a_query_is_understood_or_refused() {
        let all = Query { filter: None, sort: Key::Number, is_ascending: false, limit: 100, offset: 0 };
        assert_eq!(Query::parse(""), Ok(all));
        let query = Query::parse("filter=10.0.0.0%2F8&sort=idle&order=asc&limit=1000&offset=20").unwrap();
        let filter = Some(Filter::Network("10.0.0.0/8".parse().unwrap()));
        assert_eq!(query, Query { filter, sort: Key::Idle, is_ascending: true, limit: 1000, offset: 20 });
        for (text, filter) in [
            ("filter=", None),
            ("filter=2001:db8::1", Some(Filter::Network("2001:db8::1/128".parse().unwrap()))),
            ("filter=+v2+", Some(Filter::Version(Version::V2))),
            ("filter=vpce-08", Some(Filter::Text(b"vpce-08".to_vec()))),
        ] {
            assert_eq!(Query::parse(text).unwrap().filter, filter, "{text}");
        }
        for text in ["limit=0", "limit=1001", "limit=x", "sort=size", "order=up", "offset=-1", "colour=red"] {
            let (name, value) = text.split_once('=').unwrap();
            let error = QueryError { name: name.to_owned(), value: value.to_owned() };
            assert_eq!(Query::parse(text), Err(error));
        }
    }
}
