//! `proxy-echo check`: finds out, from the client's side, what the back end behind a balancer learns about the client.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;

use proxy::Version;
use proxy_echo_args::print;
use proxy_echo_client::resolve::{Family, resolve};

use crate::cli::{CheckArgs, SendVersion};

mod admin;
mod advice;
mod finding;
mod probe;
mod report;
mod strangers;
mod tls;

use admin::{Arrival, Status};
use finding::{Finding, Known, Reflected};
use probe::{End, GREETING, How, Opening, Seen, probe};
use report::{Answer, Report};
use tls::told::Told;
use tls::{Client, ClientCertificate, Fault};

/// Checks the balancer, prints the findings, and returns the exit code.
///
/// # Errors
///
/// Writing fails (a closed pipe is not an error), or the options of TLS are wrong.
pub fn run(args: &CheckArgs) -> io::Result<u8> {
    let check = Check { args, how: How { timeout: args.timeout, tls: Client::new(args)? } };
    let mut report = Report::default();
    for round in 0..args.count {
        if round > 0 {
            thread::sleep(args.interval);
        }
        for answer in ask_all(&check) {
            let is_new = report.add(answer);
            if is_new && args.json.has_words() {
                print(report.last().as_bytes())?;
            }
        }
    }
    if args.json.has_words() && args.count > 1 {
        print(report.counts(args.count).as_bytes())?;
    }
    args.json.write(&report.json(&args.target, args.count)?)?;
    Ok(report.code())
}

/// The arguments, and how to make connections.
struct Check<'a> {
    args: &'a CheckArgs,
    how: How,
}

/// The answer of each address of the target.
fn ask_all(check: &Check<'_>) -> Vec<Answer> {
    match resolve(&check.args.target, Family::Any) {
        Ok(addresses) => report::reachable(addresses.into_iter().map(|address| ask(address, check)).collect()),
        Err(error) => vec![Answer::unreachable(check.args.target.clone(), &error)],
    }
}

fn ask(address: SocketAddr, check: &Check<'_>) -> Answer {
    let Check { args, how } = check;
    let before = args.via_admin.as_ref().map(|url| Status::read(url, args.timeout));
    let opening = args.send.map_or(Opening::Nothing, Opening::Header);
    let mut seen = match probe(address, opening, how) {
        Ok(seen) => seen,
        Err(error) => return Answer::unreachable(address.to_string(), &error),
    };
    let reflected = Reflected::of(&seen.received);
    let source = reflected.header().and_then(finding::ends).map(|[source, _]| source);
    let url = args.via_admin.as_ref().filter(|_| seen.end == End::Echoed);
    // If the server reads no header, it counts the header as payload too.
    let bytes_in = [seen.said, seen.said + seen.received.len() as u64];
    let mut server = url.map(|url| admin::find(url, source, bytes_in, args.timeout));
    let client = args.client.unwrap_or(seen.local.ip());
    let known = Known { local: seen.local, client, is_client_given: args.client.is_some(), balancer: address };
    let finding = match seen.end {
        End::Echoed => finding::judge(&reflected, server.as_ref().and_then(|found| found.as_ref().ok()), &known),
        End::Closed | End::ClosedAtOnce | End::NoTls => {
            let arrival = before.map(|before| arrived(address, &before?, seen.local, check)).transpose();
            server = arrival.as_ref().err().map(|error| Err(error.clone()));
            let arrival = arrival.ok().flatten();
            match &seen.fault {
                Some(fault) => why_no_tls(address, fault, arrival, check),
                None => why_closed(address, &seen, arrival, check),
            }
        }
        End::Silent => Finding::Silent { timeout: args.timeout },
        End::NoEcho => finding::stranger(&seen.received),
    };
    // A server that reads no header echoes the line, which looks like a reflected one.
    let is_in_doubt = args.send == Some(SendVersion::V1) && matches!(finding, Finding::Preserved { .. });
    let finding = if is_in_doubt && !reads_headers(address, how) { Finding::Unread } else { finding };
    let told = seen.session.as_ref().map(|session| Told::of(session, server.as_ref()));
    let is_contradicted = told.as_ref().is_some_and(Told::contradicts);
    if let (Some(session), Some(told)) = (&mut seen.session, told) {
        session.told = told;
    }
    let finding = match finding {
        Finding::Preserved { .. } if is_contradicted => Finding::OtherTls,
        finding => finding,
    };
    Answer::new(address, seen, args.send.is_some(), server, finding)
}

/// What arrived at the server of the closed connection from `client`. An arrival that does not name the client may
/// belong to another connection of the same moment. It is believed only if it comes again with each further probe, and
/// never between them.
///
/// # Errors
///
/// The admin port does not answer, or other connections arrive, so that the check's cannot be distinguished.
fn arrived(address: SocketAddr, before: &Status, client: SocketAddr, check: &Check<'_>) -> Result<Arrival, String> {
    /// The record of a `ClientHello` (RFC 8446, section 5.1), as the server shows it.
    const CLIENT_HELLO: &str = "<16><03>";
    const CONFIRMATIONS: usize = 2;
    const MAX_TRIES: usize = 6;
    let Check { args, how } = check;
    let Some(url) = &args.via_admin else { return Ok(Arrival::Unknown) };
    let opening = args.send.map_or(Opening::Nothing, Opening::Header);
    let first_words = if how.tls.is_some() { [GREETING, CLIENT_HELLO] } else { [GREETING; 2] };
    let is_ours = |received: &str| args.send.is_none() && first_words.iter().any(|words| received.starts_with(words));
    let mut arrival = admin::arrival(before, client, url, is_ours, args.timeout)?;
    let mut confirmed = 0;
    for _ in 0..MAX_TRIES {
        if arrival.is_certain() || confirmed == CONFIRMATIONS {
            return Ok(arrival);
        }
        let is_quiet = admin::is_quiet(url, args.timeout)?;
        let before = Status::read(url, args.timeout)?;
        let Ok(seen) = probe(address, opening, how) else { break };
        let again = admin::arrival(&before, seen.local, url, is_ours, args.timeout)?;
        confirmed = if is_quiet && again.is_like(&arrival) { confirmed + 1 } else { 0 };
        arrival = again;
    }
    Err(format!("{url} counts other connections in the same moment, so it does not tell what became of this one"))
}

/// Why the connection was closed, according to the admin port or to further connections.
fn why_closed(address: SocketAddr, seen: &Seen, arrival: Option<Arrival>, check: &Check<'_>) -> Finding {
    let Check { args, how } = check;
    let is_server_asked = args.via_admin.is_some();
    let may_have_arrived = match arrival {
        Some(Arrival::Refused(refusal, _)) => return Finding::Refused(refusal),
        Some(Arrival::Untrusted) => return Finding::Untrusted,
        Some(Arrival::Nothing) => false,
        Some(Arrival::OurWords | Arrival::Unknown | Arrival::Several) | None => true,
    };
    // A balancer that expects a header from its clients forwards nothing either.
    let is_after_words = seen.end == End::Closed;
    let wants = (is_after_words && args.send.is_none()).then(|| who_wants_a_header(address, check)).flatten();
    // The check's words are neither a header nor TLS.
    let wants =
        wants.or_else(|| (is_after_words && speaks_tls(address, how)).then_some(Finding::Tls { is_alert: false }));
    let certificate = seen.session.as_ref().map(|session| session.client_certificate);
    let lacks_certificate = certificate == Some(ClientCertificate::Asked);
    wants.unwrap_or(match seen.end {
        _ if !may_have_arrived && !lacks_certificate => Finding::NotArrived,
        End::Closed => Finding::Closed { is_server_asked, lacks_certificate },
        _ => Finding::ClosedAtOnce { is_server_asked, lacks_certificate },
    })
}

/// Why there is no TLS, according to the handshake, the admin port, or a further connection that begins with a header.
fn why_no_tls(address: SocketAddr, fault: &Fault, arrival: Option<Arrival>, check: &Check<'_>) -> Finding {
    if fault.name != Fault::CLOSED {
        return Finding::NoTls(fault.clone());
    }
    match arrival {
        Some(Arrival::Refused(refusal, _)) => return Finding::Refused(refusal),
        Some(Arrival::Untrusted) => return Finding::Untrusted,
        Some(Arrival::OurWords) => return Finding::NoTls(Fault::passed_through()),
        Some(Arrival::Nothing | Arrival::Unknown | Arrival::Several) | None => {}
    }
    if check.args.send.is_none()
        && let Ok(seen) = probe(address, Opening::UnknownFirst, &check.how)
        && seen.session.is_some()
    {
        let sends = Reflected::of(&seen.received).header().and_then(finding::ends).is_some();
        return Finding::WrongSide { sends };
    }
    Finding::NoTls(fault.clone())
}

/// Whether the listener speaks TLS although the check does not.
fn speaks_tls(address: SocketAddr, how: &How) -> bool {
    let is_plain = how.tls.is_none();
    is_plain
        && TcpStream::connect_timeout(&address, how.timeout)
            .is_ok_and(|socket| Client::is_answered(socket, how.timeout))
}

/// Whether the server reads headers: a binary header does not come back unchanged.
fn reads_headers(address: SocketAddr, how: &How) -> bool {
    probe(address, Opening::Header(SendVersion::V2), how).is_ok_and(
        |seen| !matches!(Reflected::of(&seen.received), Reflected::One(header) if header.version == Version::V2),
    )
}

/// Finds out whether the server expects a header from the balancer, or the balancer from its clients.
///
/// It sends a header without a client. A server that gets it reflects it unchanged. A balancer that expects a header
/// consumes it, and puts the check's address into its own header; if it sends none, it forwards the second of two
/// headers. If nothing is reflected, the admin port knows.
fn who_wants_a_header(address: SocketAddr, check: &Check<'_>) -> Option<Finding> {
    let Check { args, how } = check;
    for headers in 1..=2 {
        let Ok(seen) = probe(address, Opening::Unknown(headers), how) else { break };
        if seen.end != End::Echoed {
            continue;
        }
        return Some(match Reflected::of(&seen.received) {
            Reflected::One(header) if finding::ends(&header).is_some() => Finding::WrongSide { sends: true },
            Reflected::One(_) if headers == 1 => Finding::NoHeader,
            Reflected::Nothing if headers == 1 => {
                let url = args.via_admin.as_ref();
                match url.and_then(|url| admin::find(url, None, [seen.said; 2], args.timeout).ok()) {
                    None => Finding::Wanted,
                    Some(server) if server.version.is_none() => Finding::WrongSide { sends: false },
                    Some(server) if server.ends().is_some() => Finding::WrongSide { sends: true },
                    Some(_) => Finding::NoHeader,
                }
            }
            Reflected::One(_) | Reflected::Nothing => Finding::WrongSide { sends: false },
            Reflected::Two(..) | Reflected::NoHeader => return None,
        });
    }
    None
}
