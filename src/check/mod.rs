//! `proxy-echo check`: what the back end behind a balancer is told about us, found out from the client's side.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use proxy::Version;
use proxy_echo_args::print;
use proxy_echo_client::resolve::{Family, resolve};

use crate::cli::{CheckArgs, SendVersion};

mod admin;
mod advice;
mod finding;
mod probe;
mod report;

use admin::{Arrival, Status};
use finding::{Finding, Known, Reflected};
use probe::{End, GREETING, Opening, probe};
use report::{Answer, Report};

/// Checks the balancer, prints the findings, and returns the exit code.
///
/// # Errors
///
/// An error of writing, unless the reader left before the end.
pub fn run(args: &CheckArgs) -> io::Result<u8> {
    let mut report = Report::default();
    for round in 0..args.count {
        if round > 0 {
            thread::sleep(args.interval);
        }
        for answer in ask_all(args) {
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

/// What each address of the target answers.
fn ask_all(args: &CheckArgs) -> Vec<Answer> {
    match resolve(&args.target, Family::Any) {
        Ok(addresses) => report::reachable(addresses.into_iter().map(|address| ask(address, args)).collect()),
        Err(error) => vec![Answer::unreachable(args.target.clone(), &error)],
    }
}

fn ask(address: SocketAddr, args: &CheckArgs) -> Answer {
    let before = args.via_admin.as_ref().map(|url| Status::read(url, args.timeout));
    let opening = args.send.map_or(Opening::Nothing, Opening::Header);
    let seen = match probe(address, opening, args.timeout) {
        Ok(seen) => seen,
        Err(error) => return Answer::unreachable(address.to_string(), &error),
    };
    let reflected = Reflected::of(&seen.received);
    let source = reflected.header().and_then(finding::ends).map(|[source, _]| source);
    let url = args.via_admin.as_ref().filter(|_| seen.end == End::Echoed);
    // Where the server reads no header, the header is what we say to it, too.
    let bytes_in = [seen.said, seen.said + seen.received.len() as u64];
    let mut server = url.map(|url| admin::find(url, source, bytes_in, args.timeout));
    let client = args.client.unwrap_or(seen.local.ip());
    let known = Known { local: seen.local, client, is_client_given: args.client.is_some(), balancer: address };
    let finding = match seen.end {
        End::Echoed => finding::judge(&reflected, server.as_ref().and_then(|found| found.as_ref().ok()), &known),
        End::Closed | End::ClosedAtOnce => {
            let arrival = before.map(|before| arrived(address, &before?, seen.local, args)).transpose();
            server = arrival.as_ref().err().map(|error| Err(error.clone()));
            why_closed(address, seen.end, arrival.ok().flatten(), args)
        }
        End::Silent => Finding::Silent { timeout: args.timeout },
        End::NoEcho => finding::stranger(&seen.received),
    };
    // A server that reads no header sends a line back like one that does.
    let is_in_doubt = args.send == Some(SendVersion::V1) && matches!(finding, Finding::Preserved { .. });
    let finding = if is_in_doubt && !reads_headers(address, args.timeout) { Finding::Unread } else { finding };
    Answer::new(address, &seen, args.send.is_some(), server, finding)
}

/// What arrived at the server of the connection from `client`, which was closed. What does not name the client may belong to
/// another connection of the same moment: it is believed if it comes again with each further probe, and not between them.
///
/// # Errors
///
/// The admin port does not answer, or other connections arrive, so that ours cannot be told apart.
fn arrived(address: SocketAddr, before: &Status, client: SocketAddr, args: &CheckArgs) -> Result<Arrival, String> {
    const CONFIRMATIONS: usize = 2;
    const MAX_TRIES: usize = 6;
    let Some(url) = &args.via_admin else { return Ok(Arrival::Unknown) };
    let opening = args.send.map_or(Opening::Nothing, Opening::Header);
    let is_ours = |received: &str| args.send.is_none() && received.starts_with(GREETING);
    let mut arrival = admin::arrival(before, client, url, is_ours, args.timeout)?;
    let mut confirmed = 0;
    for _ in 0..MAX_TRIES {
        if arrival.is_certain() || confirmed == CONFIRMATIONS {
            return Ok(arrival);
        }
        let is_quiet = admin::is_quiet(url, args.timeout)?;
        let before = Status::read(url, args.timeout)?;
        let Ok(seen) = probe(address, opening, args.timeout) else { break };
        let again = admin::arrival(&before, seen.local, url, is_ours, args.timeout)?;
        confirmed = if is_quiet && again.is_like(&arrival) { confirmed + 1 } else { 0 };
        arrival = again;
    }
    Err(format!("{url} counts other connections in the same moment, so it does not tell what became of this one"))
}

/// Why the connection was closed: the admin port knows, or another connection shows it.
fn why_closed(address: SocketAddr, end: End, arrival: Option<Arrival>, args: &CheckArgs) -> Finding {
    let is_server_asked = args.via_admin.is_some();
    let may_have_arrived = match arrival {
        Some(Arrival::Refused(refusal, _)) => return Finding::Refused(refusal),
        Some(Arrival::Untrusted) => return Finding::Untrusted,
        Some(Arrival::Nothing) => false,
        Some(Arrival::OurWords | Arrival::Unknown | Arrival::Several) | None => true,
    };
    // A balancer that wants a header from us hands nothing on either.
    let wants = (end == End::Closed && args.send.is_none()).then(|| who_wants_a_header(address, args)).flatten();
    wants.unwrap_or(match end {
        _ if !may_have_arrived => Finding::NotArrived,
        End::Closed => Finding::Closed { is_server_asked },
        _ => Finding::ClosedAtOnce { is_server_asked },
    })
}

/// Whether a binary header comes back as a line, or at all events not as it was.
fn reads_headers(address: SocketAddr, timeout: Duration) -> bool {
    probe(address, Opening::Header(SendVersion::V2), timeout).is_ok_and(
        |seen| !matches!(Reflected::of(&seen.received), Reflected::One(header) if header.version == Version::V2),
    )
}

/// Whether it is the server that wants a header from the balancer, or the balancer that wants one from us.
///
/// A header that names nobody tells. A server that it reaches reflects it as it is; a balancer takes it for its own,
/// and puts our address into the one that it sends. One that sends none lets the second of two through. Where nothing is
/// reflected, the admin port knows.
fn who_wants_a_header(address: SocketAddr, args: &CheckArgs) -> Option<Finding> {
    for headers in 1..=2 {
        let Ok(seen) = probe(address, Opening::Unknown(headers), args.timeout) else { break };
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
