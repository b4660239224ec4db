//! What a connection proves about the balancer, and what to do about it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::admin::Connection;
use proxy::{Addresses, Header, Status, Version};

/// What comes back before our own words.
pub(super) enum Reflected<'a> {
    Nothing,
    One(Header<'a>),
    /// A header, and another one that the server took for payload.
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
    match header.addresses {
        Addresses::Inet { source, destination, .. } => Some([source.into(), destination.into()]),
        Addresses::Inet6 { source, destination, .. } => Some([source.into(), destination.into()]),
        Addresses::Unspecified | Addresses::Unix { .. } => None,
    }
}

/// The addresses that a header's are compared with.
pub(super) struct Known {
    /// Ours, on the connection.
    pub(super) local: SocketAddr,
    /// Ours, as it should arrive.
    pub(super) client: IpAddr,
    /// The balancer's, towards us.
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
    Hidden,
    Twice {
        first: Option<IpAddr>,
        second: Option<IpAddr>,
    },
    /// The server closes for want of a header,
    NoHeader,
    /// or does without.
    Plain,
    /// No header came back, and that may have either reason.
    NotReflected,
    /// The server wants a header and keeps it to itself: the balancer sends none, or wants one from us.
    Wanted,
    /// The header is there, and the server reads it as payload.
    Unread,
    /// The balancer wants a header from us.
    WrongSide {
        sends: bool,
    },
    ClosedAtOnce,
    Closed,
    Silent {
        timeout: Duration,
    },
    NoEcho,
    /// Nothing was connected to; without a route, because this machine has no way there.
    Unreachable {
        error: String,
        has_route: bool,
    },
}

/// What an echo proves.
pub(super) fn judge(reflected: &Reflected<'_>, server: Option<&Connection>, known: &Known) -> Finding {
    match (reflected, server) {
        (Reflected::NoHeader, _) => Finding::NoEcho,
        (Reflected::Two(first, second), _) => {
            let source = |header| ends(header).map(|[source, _]| source.ip());
            Finding::Twice { first: source(first), second: source(second) }
        }
        // The server reflects lines alone. What it does not know of is payload to it.
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
    let balancers = [Some(known.balancer.ip()), Some(destination.ip()), peer];
    if told == client {
        Finding::Preserved { is_same_port: source.port() == known.local.port() }
    } else if balancers.iter().flatten().any(|ip| ip.to_canonical() == told) {
        Finding::Balancers { told }
    } else {
        Finding::Translated { told, client }
    }
}

impl Finding {
    /// A word for programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Finding::Preserved { .. } => "preserved",
            Finding::Translated { .. } => "translated",
            Finding::Balancers { .. } => "balancers_address",
            Finding::Hidden => "no_client_named",
            Finding::Twice { .. } => "header_twice",
            Finding::NoHeader => "no_header",
            Finding::Plain => "no_header_needed",
            Finding::NotReflected => "no_header_reflected",
            Finding::Wanted => "header_wanted",
            Finding::Unread => "header_not_read",
            Finding::WrongSide { .. } => "wrong_side",
            Finding::ClosedAtOnce => "closed_at_once",
            Finding::Closed => "closed",
            Finding::Silent { .. } => "silent",
            Finding::NoEcho => "no_echo",
            Finding::Unreachable { .. } => "unreachable",
        }
    }

    /// What the program ends with.
    pub(super) fn code(&self) -> u8 {
        match self {
            Finding::Preserved { .. } => 0,
            Finding::ClosedAtOnce
            | Finding::Closed
            | Finding::Silent { .. }
            | Finding::NoEcho
            | Finding::Unreachable { .. } => 3,
            _ => 1,
        }
    }

    /// What to do about it, a step a line.
    pub(super) fn advice(&self) -> Vec<String> {
        let lines: &[&str] = match self {
            Finding::Translated { told, .. } => {
                return vec![format!(
                    "if the outside sees this machine as {told}, all is well: --client {told} says so"
                )];
            }
            Finding::Balancers { .. } => &HIDING_HOP,
            Finding::Twice { .. } => &TWO_HOPS,
            Finding::NoHeader | Finding::Plain => &TURN_ON,
            Finding::WrongSide { sends: true } => &TAKE_OFF,
            Finding::WrongSide { sends: false } => &[TAKE_OFF[0], TAKE_OFF[1], TURN_ON[2], TURN_ON[3]],
            Finding::NotReflected | Finding::Wanted => &["--via-admin URL tells these apart"],
            Finding::Unread => &["start the server with --proxy-protocol required"],
            _ => &[],
        };
        lines.iter().map(|&line| line.to_owned()).collect()
    }
}

// The policy may be there already, and not in force: the second command is right even if the first is refused.
const TURN_ON: [&str; 5] = [
    "Classic Load Balancer: aws elb create-load-balancer-policy --load-balancer-name NAME \
     --policy-name EnableProxyProtocol --policy-type-name ProxyProtocolPolicyType --policy-attributes AttributeName=ProxyProtocol,AttributeValue=true; \
     aws elb set-load-balancer-policies-for-backend-server --load-balancer-name NAME --instance-port PORT \
     --policy-names EnableProxyProtocol",
    "Network Load Balancer: aws elbv2 modify-target-group-attributes --target-group-arn ARN \
     --attributes Key=proxy_protocol_v2.enabled,Value=true",
    "HAProxy: server NAME ADDRESS:PORT send-proxy-v2",
    "nginx: proxy_protocol on; in the stream server",
    "no balancer in between: --send v1 plays one",
];

const TAKE_OFF: [&str; 2] =
    ["HAProxy: no accept-proxy on the bind line", "nginx: no proxy_protocol on the listen line"];

const HIDING_HOP: [&str; 1] =
    ["let the first balancer send a header, and each one behind it accept it (HAProxy: accept-proxy)"];

const TWO_HOPS: [&str; 1] =
    ["let the balancer next to the server accept the other's header (HAProxy: accept-proxy on the \
     bind line; nginx: proxy_protocol on the listen line, and set_real_ip_from), or only one of them send it"];

const NO_BACK_END: &str = ": the balancer has no back end that is up, or the server does not trust it (--trust)";

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
                "the balancer sends a header, and the server takes it for what the client says (--proxy-protocol off)",
            ),
            Finding::WrongSide { sends } => write!(
                f,
                "PROXY on the wrong side: the balancer wants a header from its clients, and sends {} to the server",
                if *sends { "one" } else { "none" }
            ),
            Finding::ClosedAtOnce => write!(f, "the connection is closed at once{NO_BACK_END}"),
            Finding::Closed => write!(f, "the connection is closed, with a header of ours or without{NO_BACK_END}"),
            Finding::Silent { timeout } => {
                write!(f, "nothing comes back within {}", humantime::format_duration(*timeout))
            }
            Finding::NoEcho => f.write_str("what answers is no proxy-echo"),
            Finding::Unreachable { error, .. } => write!(f, "cannot connect: {error}"),
        }
    }
}
