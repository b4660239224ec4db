//! Prints the findings in words or as JSON, once for each different answer.

use std::fmt::{self, Write};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::admin::{Connection, Refusal};
use super::finding::{Finding, Reflected};
use super::probe::Seen;
use super::tls::Session;
use proxy::escape::Escaped;
use proxy::{Header, Version};

/// The answer of one address of the target.
pub(super) struct Answer {
    /// The address; the name, if it has no address.
    place: String,
    finding: Finding,
    heard: Option<Heard>,
    server: Option<Result<Connection, String>>,
    /// The number of rounds with this answer.
    count: u32,
}

/// The details shown about a connection.
struct Heard {
    local: SocketAddr,
    connect: Duration,
    round_trip: Option<Duration>,
    /// The bytes before the check's own words: a header, two headers, or something else.
    received: Vec<String>,
    when: When,
    session: Option<Session>,
}

/// When the header came.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum When {
    Never,
    /// It is the header that the check sent itself.
    AsSent,
    AtConnect,
    WithFirstBytes,
    Twice,
}

impl Answer {
    pub(super) fn new(
        address: SocketAddr,
        seen: Seen,
        is_ours: bool,
        server: Option<Result<Connection, String>>,
        finding: Finding,
    ) -> Self {
        const SHOWN: usize = 64;
        let (when, received) = match Reflected::of(&seen.received) {
            Reflected::Two(first, second) => (When::Twice, vec![describe(&first), describe(&second)]),
            Reflected::One(header) if is_ours => (When::AsSent, vec![describe(&header)]),
            Reflected::One(header) if seen.is_early => (When::AtConnect, vec![describe(&header)]),
            Reflected::One(header) => (When::WithFirstBytes, vec![describe(&header)]),
            Reflected::NoHeader => {
                (When::Never, vec![Escaped(&seen.received[..seen.received.len().min(SHOWN)]).to_string()])
            }
            Reflected::Nothing => (When::Never, vec![]),
        };
        let Seen { local, connect, round_trip, session, .. } = seen;
        let heard = Heard { local, connect, round_trip, received, when, session };
        Answer { place: address.to_string(), finding, heard: Some(heard), server, count: 1 }
    }

    pub(super) fn unreachable(place: String, error: &io::Error) -> Self {
        let has_route = !matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable);
        let finding = Finding::Unreachable { error: error.to_string(), has_route };
        Answer { place, finding, heard: None, server: None, count: 1 }
    }

    fn has_route(&self) -> bool {
        !matches!(self.finding, Finding::Unreachable { has_route: false, .. })
    }

    /// Whether it is the same except for ports and times.
    fn is_like(&self, other: &Answer) -> bool {
        let key = |answer: &Answer| {
            let version =
                answer.server.as_ref().and_then(|found| found.as_ref().ok()).map(|connection| connection.version);
            let heard = answer.heard.as_ref();
            let session = heard.and_then(|heard| heard.session.as_ref()).map(Session::without_times);
            (answer.place.clone(), answer.finding.to_string(), heard.map(|heard| heard.when), version, session)
        };
        key(self) == key(other)
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let Some(heard) = &self.heard else {
            return writeln!(out, "{}\n{}", self.place, self.finding);
        };
        writeln!(out, "{}, from {}", self.place, heard.local)?;
        for received in &heard.received {
            writeln!(out, "  received    {received}")?;
        }
        match heard.when {
            When::Never => {}
            When::AsSent => writeln!(out, "  header      the one that was sent")?,
            When::AtConnect => writeln!(out, "  header      once, at connect")?,
            When::WithFirstBytes => {
                writeln!(
                    out,
                    "  header      once, with the client's first bytes, as a Network Load Balancer sends it"
                )?;
            }
            When::Twice => writeln!(out, "  header      twice")?,
        }
        match &self.server {
            None => {}
            Some(Ok(connection)) => writeln!(out, "  server      {}", connection.describe())?,
            Some(Err(error)) => writeln!(out, "  server      {error}")?,
        }
        if let Some(session) = &heard.session {
            write!(out, "{session}")?;
        }
        if let Some(round_trip) = heard.round_trip {
            let [round_trip, connect] = [round_trip, heard.connect].map(|time| time.as_secs_f64() * 1000.0);
            writeln!(out, "  round trip  {round_trip:.3} ms, connected in {connect:.3} ms")?;
        }
        writeln!(out, "{}", self.finding)?;
        self.finding.advice().iter().try_for_each(|line| writeln!(out, "- {line}"))
    }
}

/// A line as received; a binary header in the words of the log.
fn describe(header: &Header<'_>) -> String {
    match header.version {
        Version::V1 => Escaped(header.raw.trim_ascii_end()).to_string(),
        Version::V2 => header.to_string(),
    }
}

/// Leaves out the addresses of a family that this machine does not have, unless there are no others.
pub(super) fn reachable(mut answers: Vec<Answer>) -> Vec<Answer> {
    if answers.iter().any(Answer::has_route) {
        answers.retain(Answer::has_route);
    }
    answers
}

/// The different answers.
#[derive(Default)]
pub(super) struct Report {
    answers: Vec<Answer>,
}

impl Report {
    /// Counts an answer. Returns it if it is new.
    pub(super) fn add(&mut self, answer: Answer) -> bool {
        let known = self.answers.iter_mut().find(|known| known.is_like(&answer));
        let is_new = known.is_none();
        match known {
            Some(known) => known.count += 1,
            None => self.answers.push(answer),
        }
        is_new
    }

    /// The newest answer in words.
    pub(super) fn last(&self) -> String {
        let mut words = String::new();
        // Writing to memory cannot fail.
        let _ = self.answers.last().map_or(Ok(()), |answer| answer.write(&mut words));
        words
    }

    /// The number of times that each answer came, in words.
    pub(super) fn counts(&self, rounds: u32) -> String {
        let count = |Answer { count, place, finding, .. }: &Answer| format!("{count:>6} times  {place}: {finding}\n");
        let lines: String = self.answers.iter().map(count).collect();
        format!("\nin {rounds} rounds:\n{lines}")
    }

    /// The object of docs/schema/check-1.json, followed by a newline.
    pub(super) fn json(&self, target: &str, rounds: u32) -> io::Result<Vec<u8>> {
        let report = ReportJson {
            target,
            rounds,
            exit_code: self.code(),
            preserved: self.code() == 0,
            answers: self.answers.iter().map(AnswerJson::new).collect(),
        };
        let mut json = serde_json::to_vec(&report)?;
        json.push(b'\n');
        Ok(json)
    }

    /// The exit code of the worst answer. An answer that proves nothing is better than a bad one.
    pub(super) fn code(&self) -> u8 {
        let codes = || self.answers.iter().map(|answer| answer.finding.code());
        if codes().any(|code| code == 1) { 1 } else { codes().max().unwrap_or(0) }
    }
}

#[derive(Serialize)]
struct ReportJson<'a> {
    target: &'a str,
    rounds: u32,
    exit_code: u8,
    preserved: bool,
    answers: Vec<AnswerJson<'a>>,
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    address: &'a str,
    count: u32,
    finding: &'static str,
    words: String,
    advice: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a Connection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a Session>,
    /// The name of a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_fault: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_seconds: Option<f64>,
}

impl<'a> AnswerJson<'a> {
    fn new(answer: &'a Answer) -> Self {
        let heard = answer.heard.as_ref();
        let server = answer.server.as_ref().map(Result::as_ref);
        AnswerJson {
            address: &answer.place,
            count: answer.count,
            finding: answer.finding.name(),
            words: answer.finding.to_string(),
            advice: answer.finding.advice(),
            refusal: answer.finding.refusal(),
            local: heard.map(|heard| heard.local),
            header: heard.map(|heard| heard.when),
            received: heard.map(|heard| heard.received.as_slice()),
            server: server.and_then(Result::ok),
            server_error: server.and_then(Result::err).map(String::as_str),
            tls: heard.and_then(|heard| heard.session.as_ref()),
            tls_fault: answer.finding.fault().map(|fault| fault.name),
            connect_seconds: heard.map(|heard| heard.connect.as_secs_f64()),
            round_trip_seconds: heard.and_then(|heard| heard.round_trip).map(|time| time.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::{Answer, reachable};

    #[test]
    fn a_family_that_is_not_spoken_here_is_no_fault_of_the_balancers() {
        let answer = |kind: ErrorKind| Answer::unreachable(kind.to_string(), &Error::from(kind));
        let kinds = [ErrorKind::NetworkUnreachable, ErrorKind::ConnectionRefused, ErrorKind::AddrNotAvailable];
        let left = reachable(kinds.map(answer).into());
        assert!(matches!(&left[..], [answer] if answer.place == "connection refused"));
        assert_eq!(reachable(vec![answer(ErrorKind::NetworkUnreachable)]).len(), 1);
    }
}
