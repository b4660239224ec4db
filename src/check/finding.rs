//! The findings: what a connection proves about the balancer, and what to do about it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::admin::{Connection, Refusal};
use super::advice::{self, Advice};
use super::strangers::protocol;
use super::tls::Fault;
use proxy::{Header, Status, Version};

/// The bytes reflected before the check's own words.
pub(super) enum Reflected<'a> {
    Nothing,
    One(Header<'a>),
    /// A header, and a second one that the server took for payload.
    Two(Header<'a>, Header<'a>),
    NoHeader,
}

impl<'a> Reflected<'a> {
    pub(super) fn of(received: &'a [u8]) -> Self {
        let header = |bytes| match proxy::parse(bytes) {
            Ok(Status::Complete(header)) => Some(header),
            _ => None,
        };
        match header(received) {
            None if received.is_empty() => Reflected::Nothing,
            None => Reflected::NoHeader,
            Some(first) if first.len() == received.len() => Reflected::One(first),
            Some(first) => {
                header(&received[first.len()..]).map_or(Reflected::NoHeader, |next| Reflected::Two(first, next))
            }
        }
    }

    /// The header that the server believes.
    pub(super) fn header(&self) -> Option<&Header<'a>> {
        match self {
            Reflected::One(header) | Reflected::Two(header, _) => Some(header),
            Reflected::Nothing | Reflected::NoHeader => None,
        }
    }
}

/// Source and destination of a header that names them.
pub(super) fn ends(header: &Header<'_>) -> Option<[SocketAddr; 2]> {
    Some([header.source()?, header.destination()?])
}

/// The addresses to compare with those of a header.
pub(super) struct Known {
    /// The check's own address on the connection.
    pub(super) local: SocketAddr,
    /// The client address that should arrive.
    pub(super) client: IpAddr,
    /// Whether the user gave that address because of known NAT.
    pub(super) is_client_given: bool,
    /// The balancer's address on the connection.
    pub(super) balancer: SocketAddr,
}

#[derive(Debug)]
pub(super) enum Finding {
    Preserved {
        is_same_port: bool,
    },
    Translated {
        told: IpAddr,
        client: IpAddr,
    },
    Balancers {
        told: IpAddr,
    },
    /// The header is about another connection: a hop in between sends its own header, or NAT changes both addresses.
    OtherConnection {
        source: SocketAddr,
        destination: SocketAddr,
    },
    Hidden,
    Twice {
        first: Option<IpAddr>,
        second: Option<IpAddr>,
    },
    /// The balancer sends no header, and the server closes.
    NoHeader,
    /// The balancer sends no header, and the server works without one.
    Plain,
    /// No header came back, for one of those reasons or because it is not reflected.
    NotReflected,
    /// The server expects a header and does not reflect it: the balancer sends none, or expects one from its clients.
    Wanted,
    /// The header arrives, and the server takes it for payload.
    Unread,
    /// The balancer expects a header from its clients.
    WrongSide {
        sends: bool,
    },
    /// The admin port says that the server refuses the header.
    Refused(Refusal),
    /// The admin port says that the server does not trust the balancer.
    Untrusted,
    /// The admin port says that nothing arrives at the server.
    NotArrived,
    /// The listener speaks TLS and the check does not: it answers with an alert, or it closes on plain text but answers
    /// a `ClientHello`.
    Tls {
        is_alert: bool,
    },
    /// The TLS handshake with the listener failed.
    NoTls(Fault),
    /// The client's address is preserved, but the SSL TLV contradicts the handshake.
    OtherTls,
    ClosedAtOnce {
        is_server_asked: bool,
        lacks_certificate: bool,
    },
    Closed {
        is_server_asked: bool,
        /// Whether the server asked for a client certificate and there was none.
        lacks_certificate: bool,
    },
    Silent {
        timeout: Duration,
    },
    /// Another program answers; its protocol, if it is known.
    NoEcho {
        protocol: Option<&'static str>,
    },
    /// No connection could be made. `no route` means that this machine does not have that family.
    Unreachable {
        error: String,
        has_route: bool,
    },
}

/// The finding that an echo proves.
pub(super) fn judge(reflected: &Reflected<'_>, server: Option<&Connection>, known: &Known) -> Finding {
    match (reflected, server) {
        (Reflected::NoHeader, _) => Finding::NoEcho { protocol: None },
        (Reflected::Two(first, second), _) => {
            let source = |header| ends(header).map(|[source, _]| source.ip());
            Finding::Twice { first: source(first), second: source(second) }
        }
        // The server reflects only lines. If it does not know the header, it took it for payload.
        (Reflected::One(header), _) if header.version == Version::V2 => Finding::Unread,
        (Reflected::One(_), Some(connection)) if connection.version.is_none() => Finding::Unread,
        (Reflected::One(header), _) => compare(ends(header), server, known),
        (Reflected::Nothing, None) => Finding::NotReflected,
        (Reflected::Nothing, Some(connection)) if connection.version.is_none() => Finding::Plain,
        (Reflected::Nothing, Some(connection)) => compare(connection.ends(), server, known),
    }
}

fn compare(told: Option<[SocketAddr; 2]>, server: Option<&Connection>, known: &Known) -> Finding {
    let Some([source, destination]) = told else {
        return Finding::Hidden;
    };
    let told = source.ip().to_canonical();
    let client = known.client.to_canonical();
    let peer = server.and_then(|connection| connection.peer.parse().ok()).map(|peer: SocketAddr| peer.ip());
    let is_balancers =
        [Some(known.balancer.ip()), Some(destination.ip()), peer].iter().flatten().any(|ip| ip.to_canonical() == told);
    let is_same_port = source.port() == known.local.port();
    // NAT may change a destination address, but seldom a port.
    let is_our_destination = destination.port() == known.balancer.port();
    match (told == client, is_our_destination) {
        (true, _) if is_same_port || is_our_destination || known.is_client_given => Finding::Preserved { is_same_port },
        (false, _) if is_balancers => Finding::Balancers { told },
        (false, true) if destination.ip().to_canonical() == known.balancer.ip().to_canonical() => {
            Finding::Translated { told, client }
        }
        _ => Finding::OtherConnection { source, destination },
    }
}

/// The finding about a program that answers but does not echo.
pub(super) fn stranger(received: &[u8]) -> Finding {
    // RFC 8446, section 5.1: an alert record of two bytes.
    if let [21, 3, _, 0, 2, ..] = received {
        return Finding::Tls { is_alert: true };
    }
    Finding::NoEcho { protocol: protocol(received) }
}

impl Finding {
    /// A stable name for programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Finding::Preserved { .. } => "preserved",
            Finding::Translated { .. } => "translated",
            Finding::Balancers { .. } => "balancers_address",
            Finding::OtherConnection { .. } => "other_connection",
            Finding::Hidden => "no_client_named",
            Finding::Twice { .. } => "header_twice",
            Finding::NoHeader => "no_header",
            Finding::Plain => "no_header_needed",
            Finding::NotReflected => "no_header_reflected",
            Finding::Wanted => "header_wanted",
            Finding::Unread => "header_not_read",
            Finding::WrongSide { .. } => "wrong_side",
            Finding::Refused(_) => "header_refused",
            Finding::Untrusted => "not_trusted",
            Finding::NotArrived => "not_arrived",
            Finding::Tls { .. } => "tls",
            Finding::NoTls(_) => "no_tls",
            Finding::OtherTls => "other_tls",
            Finding::ClosedAtOnce { .. } => "closed_at_once",
            Finding::Closed { .. } => "closed",
            Finding::Silent { .. } => "silent",
            Finding::NoEcho { .. } => "no_echo",
            Finding::Unreachable { .. } => "unreachable",
        }
    }

    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Finding::Preserved { .. } => 0,
            Finding::NotArrived
            | Finding::Tls { .. }
            | Finding::NoTls(_)
            | Finding::ClosedAtOnce { .. }
            | Finding::Closed { .. }
            | Finding::Silent { .. }
            | Finding::NoEcho { .. }
            | Finding::Unreachable { .. } => 3,
            _ => 1,
        }
    }

    /// Why there is no TLS.
    pub(super) fn fault(&self) -> Option<&Fault> {
        match self {
            Finding::NoTls(fault) => Some(fault),
            _ => None,
        }
    }

    /// The refused header, if the admin port reports one.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Finding::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// What to do about it, one step per line.
    pub(super) fn advice(&self) -> Vec<String> {
        let by_product =
            |lines: &[Advice]| lines.iter().map(|(product, words)| format!("{product}: {words}")).collect();
        let only_if = |told: IpAddr| format!("only if the outside sees this machine as {told}: --client {told}");
        match self {
            Finding::Translated { told, .. } => {
                vec![format!("if the outside sees this machine as {told}, all is well: --client {told} says so")]
            }
            Finding::Balancers { .. } => by_product(&advice::PASS_ON),
            Finding::OtherConnection { source, .. } => {
                let mut lines: Vec<String> = by_product(&advice::PASS_ON);
                lines.push(only_if(source.ip()));
                lines
            }
            Finding::Twice { .. } => {
                let mut lines = vec![TWO_HOPS.to_owned()];
                lines.extend(by_product(&advice::PASS_ON));
                lines
            }
            Finding::NoHeader | Finding::Plain => by_product(&[&advice::TURN_ON[..], &advice::MISSING].concat()),
            Finding::WrongSide { sends: true } => by_product(&advice::TAKE_OFF),
            Finding::WrongSide { sends: false } => {
                by_product(&[&advice::TAKE_OFF[..], &[advice::HAPROXY_SENDS, advice::NGINX_SENDS]].concat())
            }
            Finding::NotReflected | Finding::Wanted => vec![ASK_SERVER.to_owned()],
            Finding::Unread => by_product(&advice::NOT_LOOKED_FOR),
            Finding::Refused(refusal) => match &refusal.reason[..] {
                "v1_ipv4" | "v1_ipv6" if refusal.hint.is_some() => by_product(&[advice::TWO_FAMILIES]),
                "crc32c_mismatch" => by_product(&[advice::SPOILED]),
                "other_version" => by_product(&[advice::OTHER_VERSION]),
                "cut" | "late" => by_product(&[advice::CUT]),
                _ => Vec::new(),
            },
            Finding::Untrusted => vec!["name the balancer's address with --trust".to_owned()],
            Finding::NotArrived => NOT_ARRIVED.map(str::to_owned).to_vec(),
            Finding::Tls { .. } => vec!["check it with --tls, or a listener that takes plain TCP".to_owned()],
            Finding::NoTls(fault) => fault.advice.clone(),
            Finding::OtherTls => vec!["another hop before it may end TLS, and begin a session of its own".to_owned()],
            Finding::ClosedAtOnce { is_server_asked, lacks_certificate }
            | Finding::Closed { is_server_asked, lacks_certificate } => {
                let certificate = lacks_certificate.then_some(CERTIFICATE);
                let ask = (!is_server_asked).then_some(ASK_SERVER);
                certificate.into_iter().chain(CLOSED).chain(ask).map(str::to_owned).collect()
            }
            Finding::Silent { .. } => by_product(&advice::MISSING),
            _ => Vec::new(),
        }
    }
}

const TWO_HOPS: &str = "let each hop accept the header of the hop before it, or only one of them send a header";

const CERTIFICATE: &str =
    "the listener asked for the client's certificate and got none: --tls-cert and --tls-key give it one";

const ASK_SERVER: &str = "--via-admin URL tells these apart";

/// All causes that look like this from the client's side.
const CLOSED: [&str; 4] = [
    "the balancer has no back end that is up",
    "or the server does not trust the balancer (--trust)",
    "or the server refuses the balancer's header: two families in one line, a CRC32C that a hop spoiled, a header cut short",
    "or the listener expects TLS",
];

/// All causes that keep a connection from the server that was asked.
const NOT_ARRIVED: [&str; 3] = [
    "the balancer has no back end that is up: see whether its health checks find the server",
    "or it hands the connection to another server",
    "or the listener expects TLS, or a header from its clients",
];

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |source: &Option<IpAddr>| source.map_or("nobody".to_owned(), |source| source.to_string());
        match self {
            Finding::Preserved { is_same_port: true } => f.write_str("the client's address and port are preserved"),
            Finding::Preserved { is_same_port: false } => {
                f.write_str("the client's address is preserved; its port was changed on the way")
            }
            Finding::Translated { told, client } => write!(
                f,
                "the client's address is not preserved: the back end is told {told} instead of {client}, \
                 translated on the way (NAT)"
            ),
            Finding::Balancers { told } => write!(
                f,
                "the client's address is not preserved: the back end is told {told}, the balancer's own address"
            ),
            Finding::OtherConnection { source, destination } => write!(
                f,
                "the client's address is not preserved: the header is about another connection, {source} -> \
                 {destination}; either a hop in between ignores the header of the hop before it and sends its own, or \
                 the addresses of both ends are translated on the way (NAT)"
            ),
            Finding::Hidden => f.write_str("the client's address is not preserved: a header comes and names no client"),
            Finding::Twice { first, second } => write!(
                f,
                "the header comes twice: servers believe the first, which names {}, and take the second, which \
                 names {}, for what the client says",
                name(first),
                name(second)
            ),
            Finding::NoHeader => {
                f.write_str("the balancer sends no header, and the server closes without one; turn it on")
            }
            Finding::Plain => f.write_str("the balancer sends no header, and the server does without; turn it on"),
            Finding::NotReflected => f.write_str(
                "no header comes back: the balancer sends none, or the server is told to keep it \
                 (--reflect-header false)",
            ),
            Finding::Wanted => f.write_str(
                "a header is wanted and does not come: the balancer sends none, or wants one from its clients; the \
                 server does not show which (--reflect-header false)",
            ),
            Finding::Unread => f.write_str(
                "the balancer sends a header, and the server takes it for what the client says (--proxy-protocol off, or a \
                 balancer that is not trusted)",
            ),
            Finding::WrongSide { sends } => write!(
                f,
                "PROXY on the wrong side: the balancer wants a header from its clients, and sends {} to the server",
                if *sends { "one" } else { "none" }
            ),
            Finding::Refused(refusal) => write!(f, "the header arrives, and the server refuses it: {refusal}"),
            Finding::Untrusted => {
                f.write_str("the connection arrives, and the server does not trust its peer (--trust)")
            }
            Finding::NotArrived => f.write_str("the connection is closed, and none arrives at this server"),
            Finding::Tls { is_alert: true } => {
                f.write_str("the listener speaks TLS: it answers plain text with a TLS alert")
            }
            Finding::Tls { is_alert: false } => {
                f.write_str("the listener speaks TLS: it closes on plain text, and answers a ClientHello")
            }
            Finding::NoTls(fault) => write!(f, "the TLS handshake {}", fault.words),
            Finding::OtherTls => f.write_str(
                "the client's address is preserved, but the back end is told of other TLS than was negotiated",
            ),
            Finding::ClosedAtOnce { .. } => f.write_str("the connection is closed at once; the reason is unknown"),
            Finding::Closed { .. } => {
                f.write_str("the connection is closed, with or without a header before it; the reason is unknown")
            }
            Finding::Silent { timeout } => {
                write!(f, "nothing comes back within {}", humantime::format_duration(*timeout))
            }
            Finding::NoEcho { protocol: None } => f.write_str("the server that answers is not a proxy-echo"),
            Finding::NoEcho { protocol: Some(protocol) } => {
                write!(f, "the server that answers is not a proxy-echo: it speaks {protocol}")
            }
            Finding::Unreachable { error, .. } => write!(f, "cannot connect: {error}"),
        }
    }
}
