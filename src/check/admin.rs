//! What the server's admin port says about our connection.

use std::io::Read;
use std::iter;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use proxy::escape::Escaped;

/// More than a thousand connections with every vector take.
const MOST: u64 = 64 * 1024 * 1024;

/// A connection in the server's own words; README lists them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Connection {
    #[serde(rename = "connection")]
    number: u64,
    pub(super) peer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) family: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<String>,
    #[serde(default)]
    pub(super) tlvs: Vec<Value>,
    #[serde(default)]
    bytes_in: u64,
}

#[derive(Deserialize)]
struct Answer {
    connections: Vec<Connection>,
}

/// The connection whose client is `source`, or else the only one that has brought so many bytes as one of `bytes_in`.
pub(super) fn find(
    url: &str,
    source: Option<SocketAddr>,
    bytes_in: [u64; 2],
    timeout: Duration,
) -> Result<Connection, String> {
    let url = format!("{}/connections.json?limit=1000", url.trim_end_matches('/'));
    if let Some(source) = source {
        let mut found = list(&format!("{url}&filter={}", source.ip()), timeout)?.into_iter();
        if let Some(connection) = found.find(|connection| connection.ends().is_some_and(|[known, _]| known == source)) {
            return Ok(connection);
        }
    }
    let mut ours = list(&url, timeout)?.into_iter().filter(|connection| bytes_in.contains(&connection.bytes_in));
    match (ours.next(), ours.next()) {
        (Some(connection), None) => Ok(connection),
        (None, _) => Err(format!("{url} does not list this connection: is it another server's?")),
        _ => Err(format!("{url} lists several that could be this connection")),
    }
}

fn list(url: &str, timeout: Duration) -> Result<Vec<Connection>, String> {
    // Whole seconds are all that this library knows.
    let answer = minreq::get(url).with_timeout(timeout.as_secs().max(1)).send_lazy();
    let answer = answer.map_err(|error| format!("{url} does not answer: {error}"))?;
    if answer.status_code != 200 {
        return Err(format!("{url} answers with status {}", answer.status_code));
    }
    let answer: Result<Answer, _> = serde_json::from_reader(answer.take(MOST));
    answer.map(|answer| answer.connections).map_err(|error| format!("{url} answers with no such list: {error}"))
}

impl Connection {
    /// Source and destination, where the header has them.
    pub(super) fn ends(&self) -> Option<[SocketAddr; 2]> {
        Some([self.source.as_ref()?.parse().ok()?, self.destination.as_ref()?.parse().ok()?])
    }

    /// In the words of the log.
    pub(super) fn describe(&self) -> String {
        let Some(version) = self.version else {
            return format!("#{}: no PROXY header", self.number);
        };
        let family = self.family.as_deref().unwrap_or("?");
        let ends = match (&self.source, &self.destination) {
            (Some(source), Some(destination)) => format!(" {source} -> {destination}"),
            _ => String::new(),
        };
        let facts: Vec<_> = iter::once(format!("#{}: PROXY v{version} {family}{ends}", self.number))
            .chain(self.tlvs.iter().map(describe_vector))
            .collect();
        let text = facts.join(", ");
        // It was escaped once, and here only what the server should have escaped is looked for.
        if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) { text } else { Escaped(text.as_bytes()).to_string() }
    }
}

fn describe_vector(tlv: &Value) -> String {
    let number = |name| tlv[name].as_u64();
    let string = |name| tlv[name].as_str();
    let name = match string("name") {
        Some(name) => name.to_owned(),
        None => format!("0x{:02x}", number("type").unwrap_or(0)),
    };
    if let Some(text) = string("text") {
        format!("{name} \"{text}\"")
    } else if let Some(checksum) = number("checksum") {
        format!("{name} 0x{checksum:08x}")
    } else if let Some(length) = number("padding") {
        format!("{name} of {length} bytes")
    } else if let Some(id) = number("id") {
        format!("{name} {id}")
    } else if let (Some(client), Some(verify)) = (number("client"), number("verify")) {
        let inner: Vec<String> = tlv["tlvs"].as_array().into_iter().flatten().map(describe_vector).collect();
        let facts = [format!("client 0x{client:02x}"), format!("verify {verify}")].into_iter().chain(inner);
        format!("{name} ({})", facts.collect::<Vec<_>>().join(", "))
    } else {
        format!("{name} {}", string("hex").unwrap_or_default())
    }
}
