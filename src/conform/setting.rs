//! How to tell that a receiver of any protocol accepted a header: the bytes to send after it, and the answer to expect.

use std::net::{IpAddr, SocketAddr};

use regex::bytes::{Regex, RegexBuilder};

use super::Error;
use super::case::Client;
use crate::cli::{ConformArgs, Preset, Shows};

/// The bytes that an echo must send back.
const WORDS: &str = "proxy-echo conform: these words must come back\r\n";

/// How to tell whether a receiver accepted a header.
#[derive(Debug)]
pub(super) struct Setting {
    /// The bytes to send after the header.
    pub(super) say: Vec<u8>,
    accepted: Regex,
    rejected: Option<Regex>,
    pub(super) shows: Option<Shows>,
    /// Whether exactly the bytes sent must come back, perhaps after one line about the client.
    is_echo: bool,
}

/// The meaning of the answer received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Rejected,
    Undecided,
}

impl Setting {
    pub(super) fn new(args: &ConformArgs) -> Result<Self, Error> {
        let (say, accepted, rejected) = match args.preset {
            Preset::ProxyEcho | Preset::Echo => (WORDS, literal(WORDS.as_bytes()), None),
            Preset::Http => (
                "GET / HTTP/1.0\r\nHost: conform\r\n\r\n",
                r"^HTTP/1\.[01] (?:[23]\d\d|40[1-9])".to_owned(),
                Some(r"^HTTP/1\.[01] (?:400|5\d\d)"),
            ),
            Preset::Smtp => ("", r"^220[ -]".to_owned(), Some(r"^(?:421|[45]\d\d)[ -]")),
            Preset::Imap => ("", r"^\* (?:OK|PREAUTH)".to_owned(), Some(r"^\* BYE")),
            // A greeting has protocol version 10; an error begins with 0xFF.
            Preset::Mysql => ("", r"^.{3}\x00\x0A".to_owned(), Some(r"^.{4}\xFF")),
        };
        let say = match &args.say {
            Some(text) => unescape(text).ok_or_else(|| Error::Say(text.clone()))?,
            None => say.into(),
        };
        let is_own = args.say.is_some() || args.accepted.is_some();
        let is_echo = matches!(args.preset, Preset::ProxyEcho | Preset::Echo) && args.accepted.is_none();
        let accepted = match &args.accepted {
            Some(pattern) => pattern.clone(),
            None if is_echo && is_own => literal(&say),
            None => accepted,
        };
        if say.is_empty() && is_echo {
            return Err(Error::Say(String::new()));
        }
        let rejected = args.rejected.as_deref().or(rejected);
        let shows = args.shows_client.or((args.preset == Preset::ProxyEcho).then_some(Shows::Port));
        Ok(Setting { say, accepted: pattern(&accepted)?, rejected: rejected.map(pattern).transpose()?, shows, is_echo })
    }

    /// Reads the meaning of `answer`, the bytes received so far.
    pub(super) fn read(&self, answer: &[u8]) -> Answer {
        if self.rejected.as_ref().is_some_and(|rejected| rejected.is_match(answer)) {
            Answer::Rejected
        } else if self.accepted.is_match(answer) {
            Answer::Accepted
        } else {
            Answer::Undecided
        }
    }

    /// The error in the answer of a receiver that accepted the header: it shows a wrong client or a wrong payload.
    pub(super) fn fault(
        &self,
        answer: &[u8],
        client: Option<Client>,
        server: Option<SocketAddr>,
        local: SocketAddr,
    ) -> Option<String> {
        if self.is_echo && !self.is_intact(answer) {
            return Some("the payload that arrived is not the one that was sent".to_owned());
        }
        let (shows, client) = (self.shows?, client?);
        let text = String::from_utf8_lossy(answer).replace(&*String::from_utf8_lossy(&self.say), "");
        let found = Shown::new(&text);
        let is_shown = match client {
            Client::Source(source) => found.has(source, server, shows),
            // The reflected line of a receiver without a client's address.
            Client::Peer => text.starts_with("PROXY UNKNOWN") || found.has(local, None, shows.min(Shows::Port)),
        };
        (!is_shown).then(|| match &found.addresses[..] {
            [] => "the answer shows no address".to_owned(),
            addresses => {
                let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                let ports: Vec<_> = found.ports.iter().map(u16::to_string).collect();
                let ports = if shows == Shows::Address || ports.is_empty() {
                    String::new()
                } else {
                    format!(", with {}", ports.join(" and "))
                };
                format!("the answer shows {}{ports}", addresses.join(" and "))
            }
        })
    }

    fn is_intact(&self, answer: &[u8]) -> bool {
        // A reflected line may hold a lone LF.
        let end: &[u8] = if answer.starts_with(b"PROXY ") { b"\r\n" } else { b"\n" };
        let line = memchr::memmem::find(answer, end).map_or(0, |at| at + end.len());
        answer == self.say || answer.get(line..) == Some(&self.say)
    }
}

/// The addresses and ports in a text, in their order.
struct Shown {
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
}

impl Shown {
    fn new(text: &str) -> Shown {
        let mut shown = Shown { addresses: Vec::new(), ports: Vec::new() };
        let is_outside = |c: char| !c.is_ascii_hexdigit() && !matches!(c, ':' | '.' | '[' | ']');
        for word in text.split(is_outside) {
            // The full stop of a sentence may follow an address, which may itself end in colons.
            let bare = word.trim_matches(['[', ']', '.']);
            let ip = bare.parse().or_else(|_| bare.trim_end_matches(':').parse::<IpAddr>());
            if let Ok(end) = word.parse::<SocketAddr>() {
                shown.addresses.push(end.ip().to_canonical());
                shown.ports.push(end.port());
            } else if let Ok(ip) = ip.or_else(|_| bare.trim_end_matches([':', ']']).parse()) {
                shown.addresses.push(ip.to_canonical());
            } else if let Ok(port) = bare.parse() {
                shown.ports.push(port);
            }
        }
        shown
    }

    fn has(&self, client: SocketAddr, server: Option<SocketAddr>, shows: Shows) -> bool {
        let at = |from: usize, ip: IpAddr| {
            self.addresses.iter().skip(from).position(|&shown| shown == ip.to_canonical()).map(|at| at + from)
        };
        let Some(first) = at(0, client.ip()) else { return false };
        let has_port = |port| self.ports.contains(&port);
        match (shows, server) {
            (Shows::Address, _) => true,
            (Shows::Ends, Some(server)) => {
                // If both ends are equal, the address must appear twice.
                at(first + 1, server.ip()).is_some()
                    && self.ports.windows(2).any(|ports| ports == [client.port(), server.port()])
            }
            (Shows::Port | Shows::Ends, _) => has_port(client.port()),
        }
    }
}

fn pattern(text: &str) -> Result<Regex, Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .dot_matches_new_line(true)
        .build()
        .map_err(|error| Error::Pattern(error.to_string()))
}

/// The pattern that matches exactly these bytes.
fn literal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |pattern, byte| pattern + &format!(r"\x{byte:02X}"))
}

/// The bytes of `text`, with its escapes replaced.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [kind, after @ ..] = rest else { return None };
        rest = after;
        bytes.push(match kind {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Shown, unescape};
    use crate::cli::Shows;

    #[test]
    fn escapes_are_bytes() {
        assert_eq!(unescape(r"a\r\n\0\x7f\\"), Some(b"a\r\n\0\x7f\\".to_vec()));
        for broken in [r"\", r"\x", r"\x1", r"\xgg", r"\q"] {
            assert_eq!(unescape(broken), None, "{broken}");
        }
    }

    #[test]
    fn addresses_are_found_in_words() {
        let client = "192.0.2.1:56324".parse().unwrap();
        for (text, shows, is_found) in [
            ("client=192.0.2.1", Shows::Address, true),
            ("[192.0.2.1]: hello.", Shows::Address, true),
            ("It is 192.0.2.1.", Shows::Address, true),
            ("192.0.2.1: hello", Shows::Address, true),
            ("::ffff:192.0.2.1", Shows::Address, true),
            ("192.0.2.10", Shows::Address, false),
            ("1192.0.2.1", Shows::Address, false),
            ("192.0.2.1:56324", Shows::Port, true),
            ("192.0.2.1", Shows::Port, false),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", Shows::Ends, true),
            ("PROXY TCP4 198.51.100.2 192.0.2.1 56324 443\r\n", Shows::Ends, false),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 443 56324\r\n", Shows::Ends, false),
        ] {
            let server = "198.51.100.2:443".parse().ok();
            assert_eq!(Shown::new(text).has(client, server, shows), is_found, "{text}");
        }
    }
}
