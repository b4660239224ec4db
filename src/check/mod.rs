//! `proxy-echo check`: what the back end behind a balancer is told about us, found out from the client's side.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use crate::cli::{CheckArgs, SendVersion};
use proxy::Version;

mod admin;
mod finding;
mod probe;
mod report;

use finding::{Finding, Known, Reflected};
use probe::{End, Opening, probe};
use report::{Answer, Report};

/// Does what the command line asks for, writes what it finds to `out`, and returns the exit code.
///
/// # Errors
///
/// Those of writing.
pub fn run(args: &CheckArgs, out: &mut impl Write) -> io::Result<u8> {
    let mut report = Report::default();
    for round in 0..args.count {
        if round > 0 {
            thread::sleep(args.interval);
        }
        for answer in ask_all(args) {
            let is_new = report.add(answer);
            if is_new && args.json.has_words() {
                report.print_last(out)?;
            }
        }
    }
    if args.json.has_words() && args.count > 1 {
        report.print_counts(args.count, out)?;
    }
    args.json.write(&report.json(&args.target, args.count)?)?;
    Ok(report.code())
}

/// What each address of the target answers.
fn ask_all(args: &CheckArgs) -> Vec<Answer> {
    match args.target.to_socket_addrs() {
        Ok(addresses) => {
            // Files of names have some twice.
            let addresses: BTreeSet<_> = addresses.collect();
            report::reachable(addresses.into_iter().map(|address| ask(address, args)).collect())
        }
        Err(error) => vec![Answer::unreachable(args.target.clone(), &error)],
    }
}

fn ask(address: SocketAddr, args: &CheckArgs) -> Answer {
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
    let server = url.map(|url| admin::find(url, source, bytes_in, args.timeout));
    let known = Known { local: seen.local, client: args.client.unwrap_or(seen.local.ip()), balancer: address };
    let finding = match seen.end {
        End::Echoed => finding::judge(&reflected, server.as_ref().and_then(|found| found.as_ref().ok()), &known),
        End::Closed if args.send.is_none() => why_closed(address, args),
        End::Closed => Finding::Closed,
        End::ClosedAtOnce => Finding::ClosedAtOnce,
        End::Silent => Finding::Silent { timeout: args.timeout },
        End::NoEcho => Finding::NoEcho,
    };
    // A server that reads no header sends a line back like one that does.
    let is_in_doubt = args.send == Some(SendVersion::V1) && matches!(finding, Finding::Preserved { .. });
    let finding = if is_in_doubt && !reads_headers(address, args.timeout) { Finding::Unread } else { finding };
    Answer::new(address, &seen, args.send.is_some(), server, finding)
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
fn why_closed(address: SocketAddr, args: &CheckArgs) -> Finding {
    for headers in 1..=2 {
        let Ok(seen) = probe(address, Opening::Unknown(headers), args.timeout) else { break };
        if seen.end != End::Echoed {
            continue;
        }
        return match Reflected::of(&seen.received) {
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
            Reflected::Two(..) | Reflected::NoHeader => Finding::Closed,
        };
    }
    Finding::Closed
}
