//! Asks the server's admin port about the check's connection.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use proxy::escape::Escaped;

/// Longest answer in bytes. A thousand connections with many TLVs take less.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// A connection in `/connections.json`.
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

/// The connection whose client is `source`; otherwise the only one whose number of received bytes is one of `bytes_in`.
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
    get(url, timeout).map(|answer: Answer| answer.connections)
}

/// Gets the JSON at `url`, without following redirects.
fn get<T: DeserializeOwned>(url: &str, timeout: Duration) -> Result<T, String> {
    // This library counts timeouts in whole seconds.
    let request = minreq::get(url).with_timeout(timeout.as_secs().max(1)).with_follow_redirects(false);
    let answer = request.send_lazy().map_err(|error| format!("{url} does not answer: {error}"))?;
    if answer.status_code != 200 {
        // The status of a server that does not know the name in the URL.
        let hint = if answer.status_code == 421 { ": ask by its address, or give it --admin-host" } else { "" };
        return Err(format!("{url} answers with status {}{hint}", answer.status_code));
    }
    let document = serde_json::from_reader(answer.take(MAX_ANSWER_BYTES));
    document.map_err(|error| format!("{url} does not answer as a proxy-echo does: {error}"))
}

/// The counts of `/status.json`, for comparing with later ones.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    connections: Connections,
    refused: Vec<RefusedFor>,
    /// The last refusals, the newest first.
    recent_refusals: Vec<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Connections {
    accepted: u64,
    closed: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct RefusedFor {
    count: u64,
}

/// A header that the server refused.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Refusal {
    /// A stable name of the error.
    pub(super) reason: String,
    message: String,
    offset: usize,
    received: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { message, offset, received, hint, .. } = self;
        write!(f, "{message} at byte {offset}, in \"{received}\"")?;
        hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl Refusal {
    /// Whether the bytes name `client`, so that they cannot be of another connection.
    fn names(&self, client: SocketAddr) -> bool {
        let has = |bytes: &[u8]| self.received.contains(&Escaped(bytes).to_string());
        let address = match client.ip() {
            IpAddr::V4(ip) => has(ip.to_string().as_bytes()) || has(&ip.octets()),
            IpAddr::V6(ip) => has(ip.to_string().as_bytes()) || has(&ip.octets()),
        };
        let port = client.port();
        address && (has(format!(" {port} ").as_bytes()) || has(&port.to_be_bytes()))
    }
}

/// What arrived at the server between two readings of its status.
#[derive(Clone, Debug)]
pub(super) enum Arrival {
    /// A refused header, and whether it names the client.
    Refused(Refusal, bool),
    /// The check's own words, without a header before them.
    OurWords,
    /// A connection from a peer that may not send a header.
    Untrusted,
    /// No connection.
    Nothing,
    /// One connection about which nothing is known.
    Unknown,
    /// Several connections, any of which may be the check's.
    Several,
}

impl Arrival {
    /// Whether it certainly belongs to the check's connection, and not to another one of the same moment.
    pub(super) fn is_certain(&self) -> bool {
        matches!(self, Arrival::Refused(_, true) | Arrival::OurWords | Arrival::Nothing)
    }

    /// Whether the same arrived again, which would hardly happen by chance.
    pub(super) fn is_like(&self, other: &Arrival) -> bool {
        match (self, other) {
            (Arrival::Refused(one, _), Arrival::Refused(other, _)) => one.reason == other.reason,
            (Arrival::Untrusted, Arrival::Untrusted) | (Arrival::Unknown, Arrival::Unknown) => true,
            _ => false,
        }
    }
}

impl Status {
    pub(super) fn read(url: &str, timeout: Duration) -> Result<Self, String> {
        get(&format!("{}/status.json", url.trim_end_matches('/')), timeout)
    }

    fn refused(&self) -> u64 {
        self.refused.iter().map(|refused| refused.count).sum()
    }

    fn untrusted(&self) -> u64 {
        self.connections.closed.get("not_trusted").copied().unwrap_or(0)
    }

    /// What has arrived since `before`. `is_ours` says whether refused bytes are the check's own words without a
    /// header.
    fn since(&self, before: &Status, client: SocketAddr, is_ours: impl Fn(&str) -> bool) -> Arrival {
        let refused = self.refused().saturating_sub(before.refused());
        let mut new = self.recent_refusals.iter().take(usize::try_from(refused).unwrap_or(usize::MAX));
        if new.clone().any(|refusal| is_ours(&refusal.received)) {
            return Arrival::OurWords;
        }
        if let Some(refusal) = new.clone().find(|refusal| refusal.names(client)) {
            return Arrival::Refused(refusal.clone(), true);
        }
        match self.connections.accepted.saturating_sub(before.connections.accepted) {
            0 => Arrival::Nothing,
            1 => match new.next() {
                Some(refusal) => Arrival::Refused(refusal.clone(), false),
                None if self.untrusted() > before.untrusted() => Arrival::Untrusted,
                None => Arrival::Unknown,
            },
            _ => Arrival::Several,
        }
    }
}

/// Time for the server to notice that the check closed its connection. Later arrivals are not the check's.
const SETTLE: Duration = Duration::from_millis(200);

/// What arrived of the connection from `client` since `before`.
///
/// # Errors
///
/// The server's status cannot be read.
pub(super) fn arrival(
    before: &Status,
    client: SocketAddr,
    url: &str,
    is_ours: impl Fn(&str) -> bool,
    timeout: Duration,
) -> Result<Arrival, String> {
    const PAUSE: Duration = Duration::from_millis(20);
    let end = Instant::now() + SETTLE;
    loop {
        match Status::read(url, timeout)?.since(before, client, &is_ours) {
            Arrival::Nothing | Arrival::Unknown if Instant::now() < end => thread::sleep(PAUSE),
            arrival => return Ok(arrival),
        }
    }
}

/// Whether no connection arrives for a while in which the check makes none.
///
/// # Errors
///
/// The server's status cannot be read.
pub(super) fn is_quiet(url: &str, timeout: Duration) -> Result<bool, String> {
    let before = Status::read(url, timeout)?.connections.accepted;
    thread::sleep(SETTLE);
    Ok(Status::read(url, timeout)?.connections.accepted == before)
}

impl Connection {
    /// Source and destination, if the header has them.
    pub(super) fn ends(&self) -> Option<[SocketAddr; 2]> {
        Some([self.source.as_ref()?.parse().ok()?, self.destination.as_ref()?.parse().ok()?])
    }

    /// The connection in the words of the log.
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
            .chain(self.tlvs.iter().map(describe_tlv))
            .collect();
        let text = facts.join(", ");
        // The server has escaped the text: use it only if no unescaped bytes are left.
        if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) { text } else { Escaped(text.as_bytes()).to_string() }
    }
}

fn describe_tlv(tlv: &Value) -> String {
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
        let inner: Vec<String> = tlv["tlvs"].as_array().into_iter().flatten().map(describe_tlv).collect();
        let facts = [format!("client 0x{client:02x}"), format!("verify {verify}")].into_iter().chain(inner);
        format!("{name} ({})", facts.collect::<Vec<_>>().join(", "))
    } else {
        format!("{name} {}", string("hex").unwrap_or_default())
    }
}
