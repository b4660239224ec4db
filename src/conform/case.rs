//! The test cases: the bytes to send, and the outcome that the specification demands.
//!
//! They are in `cases.json`, an array with one case per line, which other programs can read too. The bytes of a case
//! are literal: `text`, in which each character is a byte (U+0000 to U+00FF), or `hex`, which may contain spaces; then
//! `fill`, a byte and the number of times it follows.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::cli::{ConformArgs, Delivery};

/// The file itself.
pub(super) const CASES: &str = include_str!("cases.json");

/// The version of the specification that the cases were written from: its date and its commit.
pub(super) const SPECIFICATION: &str =
    "doc/proxy-protocol.txt of 2026-04-27, in github.com/haproxy/haproxy at 50872daa6a";

/// One test case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Its stable name.
    pub(super) id: String,
    /// The group in which it is shown.
    pub(super) group: String,
    /// The section of the specification, such as `2.2.3`.
    pub(super) section: String,
    pub(super) level: Level,
    pub(super) expect: Expect,
    /// The client that the receiver must see.
    pub(super) client: Option<Client>,
    /// The destination in the header.
    pub(super) server: Option<SocketAddr>,
    /// The outcome of another case that is necessary to judge this one.
    pub(super) given: Option<Given>,
    /// Whether silence counts as a refusal, because the receiver may take the header for unfinished.
    #[serde(default)]
    pub(super) silence_fits: bool,
    #[serde(flatten)]
    bytes: Bytes,
    fill: Option<(String, usize)>,
    /// The rule of the specification.
    pub(super) why: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bytes {
    Text(String),
    Hex(String),
}

/// The strength of a rule in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Must,
    Should,
    /// The specification leaves it open: the outcome is only observed.
    May,
}

/// The outcome that a case must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    Accept,
    Reject,
    /// The header is unfinished: the connection must not be served.
    Wait,
    Observe,
}

/// The client that the receiver must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Client {
    /// The connection's own address, because the header has none.
    Peer,
    /// The header's source.
    Source(SocketAddr),
}

impl TryFrom<String> for Client {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "peer" => Ok(Client::Peer),
            _ => {
                text.parse().map(Client::Source).map_err(|_| format!("\"{text}\" is neither an endpoint nor \"peer\""))
            }
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Peer => f.write_str("the connection's own address"),
            Client::Source(source) => source.fmt(f),
        }
    }
}

/// `ID:accept` or `ID:reject`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Given {
    pub(super) id: String,
    pub(super) is_accepted: bool,
}

impl TryFrom<String> for Given {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some((id, outcome @ ("accept" | "reject"))) => {
                Ok(Given { id: id.to_owned(), is_accepted: outcome == "accept" })
            }
            _ => Err(format!("\"{text}\" is neither ID:accept nor ID:reject")),
        }
    }
}

impl Case {
    /// The bytes of the header.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Error> {
        let broken = || Error::Cases(format!("the bytes of {} are unreadable", self.id));
        let mut bytes: Vec<u8> = match &self.bytes {
            Bytes::Text(text) => text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<_>>(),
            Bytes::Hex(digits) => unhex(digits),
        }
        .ok_or_else(broken)?;
        if let Some((byte, count)) = &self.fill {
            let &[byte] = unhex(byte).ok_or_else(broken)?.as_slice() else { return Err(broken()) };
            bytes.resize(bytes.len() + count, byte);
        }
        Ok(bytes)
    }

    /// The version of the protocol that it tests, if it tests only one.
    pub(super) fn version(&self) -> Option<u8> {
        match self.id.get(..3) {
            Some("v1-") => Some(1),
            Some("v2-") => Some(2),
            _ => None,
        }
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.chunks(2).map(|pair| match pair {
        &[high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    });
    pairs.collect()
}

/// Reads the cases.
pub(super) fn all() -> Result<Vec<Case>, Error> {
    serde_json::from_str(CASES).map_err(|error| Error::Cases(error.to_string()))
}

/// A case, and the way to send it.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) case: Case,
    pub(super) delivery: Delivery,
    pub(super) bytes: Vec<u8>,
}

/// The cases that are sent in all ways.
const DELIVERED: &[&str] = &[
    "v1-tcp4",
    "v1-tcp6",
    "v1-unknown",
    "v2-tcp4",
    "v2-tcp6",
    "v2-local",
    "v2-tlv-several",
    "v2-crc32c",
    "v1-ipv4-256-first-source",
    "v1-trailing-space",
    "v2-command-2",
    "v2-version-3",
];

/// All ways of sending except the usual one.
const OTHER_DELIVERIES: &[Delivery] =
    &[Delivery::Apart, Delivery::Bytewise, Delivery::Split, Delivery::Held, Delivery::Late];

impl Job {
    /// Its name: the case's, followed by the name of an unusual delivery.
    pub(super) fn id(&self) -> String {
        match self.delivery {
            Delivery::Together => self.case.id.clone(),
            delivery => format!("{}/{}", self.case.id, delivery_name(delivery)),
        }
    }

    /// The strength of the rule. A receiver may drop a header that arrives in pieces, although tolerance is recommended
    /// (section 2).
    pub(super) fn level(&self) -> Level {
        let is_in_pieces = matches!(self.delivery, Delivery::Bytewise | Delivery::Split | Delivery::Held);
        if is_in_pieces && self.case.expect == Expect::Accept {
            self.case.level.max(Level::Should)
        } else {
            self.case.level
        }
    }

    /// The cases that it is shown with.
    pub(super) fn group(&self) -> &str {
        match self.delivery {
            Delivery::Together => &self.case.group,
            Delivery::Apart => "delivery: payload in a segment of its own",
            Delivery::Bytewise => "delivery: a byte at a time",
            Delivery::Split => "delivery: the last byte later",
            Delivery::Held => "delivery: half of the header, the rest after 3 s",
            Delivery::Late => "delivery: after 3 s of silence",
        }
    }

    /// The section of the rule.
    pub(super) fn section(&self) -> &str {
        if self.delivery == Delivery::Together { &self.case.section } else { "2" }
    }

    /// The rule of the specification.
    pub(super) fn why(&self) -> String {
        let why = &self.case.why;
        match self.delivery {
            Delivery::Together | Delivery::Apart => why.clone(),
            Delivery::Late => format!("{why} A timeout is of at least 3 seconds, to cover a TCP retransmit."),
            _ => format!("{why} In pieces: the recommendation is to be tolerant of partial headers."),
        }
    }
}

/// The name of a delivery, as on the command line.
pub(super) fn delivery_name(delivery: Delivery) -> String {
    use clap::ValueEnum;
    delivery.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The cases that the command line selects.
pub(super) fn wanted(args: &ConformArgs) -> Result<Vec<Job>, Error> {
    let mut jobs = Vec::new();
    for case in all()? {
        let is_delivered = DELIVERED.contains(&case.id.as_str());
        let bytes = case.bytes()?;
        let standard =
            [Delivery::Together].into_iter().chain(OTHER_DELIVERIES.iter().copied().filter(|_| is_delivered));
        let deliveries: Vec<_> = if args.delivery.is_empty() { standard.collect() } else { args.delivery.clone() };
        // An unfinished header has no payload and no last byte to send later.
        let deliveries = deliveries.into_iter().filter(|&delivery| match case.expect {
            Expect::Wait => matches!(delivery, Delivery::Together | Delivery::Bytewise),
            _ => true,
        });
        jobs.extend(deliveries.map(|delivery| Job { case: case.clone(), delivery, bytes: bytes.clone() }));
    }
    if let Some(unknown) = args.only.iter().find(|only| !jobs.iter().any(|job| is_named(job, only))) {
        return Err(Error::NoCase(unknown.clone()));
    }
    let is_below = |section: &str, above: &String| {
        section.strip_prefix(above.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    jobs.retain(|job| {
        (args.only.is_empty() || args.only.iter().any(|only| is_named(job, only)))
            && (args.section.is_empty() || args.section.iter().any(|above| is_below(job.section(), above)))
    });
    // Put unusual deliveries at the end.
    jobs.sort_by_key(|job| job.delivery as u8);
    if jobs.is_empty() { Err(Error::NoCase(args.section.join(", "))) } else { Ok(jobs) }
}

fn is_named(job: &Job, name: &str) -> bool {
    job.case.id == name || job.id() == name
}
