//! The query of `/connections.json`: which live connections to list, and in which order.

use std::fmt;

use form_urlencoded::parse;
use memchr::memmem;

use crate::observe::origin::Origin;
use crate::policy::network;
use proxy::policy::Network;
use proxy::{Tlv, Tlvs, Version, tlv::Value};

/// A query of `/connections.json`.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    pub(super) sort: Key,
    pub(super) is_ascending: bool,
    pub(super) limit: usize,
    pub(super) offset: usize,
}

#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    /// The client's or the balancer's address is in this network.
    Network(Network),
    Version(Version),
    /// A TLV's value, its name or the connection's state contains this text.
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Key {
    Number,
    BytesIn,
    BytesOut,
    Held,
    Age,
    Idle,
}

/// The error in a query.
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
             order=asc|desc, limit=1..{}, offset=COUNT, where offset and limit together are at most {}",
            Query::MAX_ROWS,
            Query::MAX_DEPTH
        )
    }
}

impl Query {
    /// Most connections in an answer.
    const MAX_ROWS: usize = 1000;
    /// The last place in the order that a query may ask for. It is the most connections kept during a search.
    pub(super) const MAX_DEPTH: usize = 10_000;

    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Query { filter: None, sort: Key::Number, is_ascending: false, limit: 100, offset: 0 };
        for (name, value) in parse(text.as_bytes()) {
            query
                .set(&name, &value)
                .ok_or_else(|| QueryError { name: name.into_owned(), value: value.into_owned() })?;
        }
        if query.depth() > Self::MAX_DEPTH {
            return Err(QueryError { name: "offset".to_owned(), value: query.offset.to_string() });
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

    /// The last place in the order that the query asks for.
    pub(super) fn depth(&self) -> usize {
        self.offset.saturating_add(self.limit)
    }
}

impl Filter {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "v1" => Some(Filter::Version(Version::V1)),
            "v2" => Some(Filter::Version(Version::V2)),
            _ => Some(network(text).map_or_else(|_| Filter::Text(text.to_owned()), Filter::Network)),
        }
    }

    /// Whether the query selects a connection from `origin` in `state`.
    pub(super) fn takes(&self, origin: &Origin, state: &str) -> bool {
        let header = || origin.header();
        match self {
            Filter::Network(net) => {
                let client = || header().and_then(|header| header.addresses.source());
                net.contains(origin.peer().ip()) || client().is_some_and(|client| net.contains(client.ip()))
            }
            Filter::Version(version) => header().is_some_and(|header| header.version == *version),
            Filter::Text(text) => is_in(text, state) || header().is_some_and(|header| has(header.tlvs, text)),
        }
    }
}

/// Whether a TLV, or a nested one, has `text` in its value or its name.
fn has(tlvs: Tlvs<'_>, text: &str) -> bool {
    tlvs.iter().any(|tlv| memmem::find(tlv.value, text.as_bytes()).is_some() || is_named(tlv, text))
}

fn is_named(tlv: Tlv<'_>, text: &str) -> bool {
    let inner = || matches!(tlv.decode(), Value::Ssl(ssl) if ssl.tlvs.iter().any(|tlv| is_named(tlv, text)));
    match tlv.name() {
        Some(name) => is_in(text, name) || inner(),
        None => u8::from_str_radix(text.strip_prefix("0x").unwrap_or(""), 16) == Ok(tlv.kind),
    }
}

/// Whether `name` contains `text`. Case does not matter, and spaces match underscores.
fn is_in(text: &str, name: &str) -> bool {
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (a == b' ' && b == b'_');
    name.as_bytes().windows(text.len()).any(|part| text.bytes().zip(part.iter().copied()).all(same))
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_understood_or_refused() {
        let all = Query { filter: None, sort: Key::Number, is_ascending: false, limit: 100, offset: 0 };
        assert_eq!(Query::parse(""), Ok(all));
        let query = Query::parse("filter=10.0.0.0%2F8&sort=idle&order=asc&limit=1000&offset=9000").unwrap();
        let filter = Some(Filter::Network("10.0.0.0/8".parse().unwrap()));
        assert_eq!(query, Query { filter, sort: Key::Idle, is_ascending: true, limit: 1000, offset: 9000 });
        for (text, filter) in [
            ("filter=", None),
            ("filter=2001:db8::1", Some(Filter::Network("2001:db8::1/128".parse().unwrap()))),
            ("filter=+v2+", Some(Filter::Version(Version::V2))),
            ("filter=vpce-08", Some(Filter::Text("vpce-08".to_owned()))),
        ] {
            assert_eq!(Query::parse(text).unwrap().filter, filter, "{text}");
        }
        for text in
            ["limit=0", "limit=1001", "limit=x", "sort=size", "order=up", "offset=-1", "offset=9901", "colour=red"]
        {
            let (name, value) = text.split_once('=').unwrap();
            let error = QueryError { name: name.to_owned(), value: value.to_owned() };
            assert_eq!(Query::parse(text), Err(error));
        }
        assert!(Query::parse("offset=18446744073709551615").is_err());
    }

    #[test]
    fn names_are_found_in_any_spelling() {
        for (text, name, is_found) in [
            ("awaiting header", "awaiting_header", true),
            ("awaiting_header", "awaiting_header", true),
            ("Await", "awaiting_header", true),
            ("authority", "AUTHORITY", true),
            ("AUTHORITY_", "AUTHORITY", false),
            ("echo", "awaiting_header", false),
            ("longer than the name", "SSL", false),
        ] {
            assert_eq!(is_in(text, name), is_found, "{text} in {name}");
        }
    }
}
