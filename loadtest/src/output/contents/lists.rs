//! The lists of a report: counts, the resources that generator and server used, settings, the machine.

use super::super::document::{Layout, List, Part, Text, bytes, count, fraction, optional, percent};
use super::super::{Side, words};
use crate::result::{RunResult, ServerUse, TlsUse};

type Fact = (&'static str, Text);

/// The lists of all sides; text has none of them if `is_short`. Lists that are the same for all sides appear once.
pub(super) fn of_sides(sides: &[Side], is_short: bool) -> Vec<Part> {
    let list = |heading: String, facts, on_page_alone| List { heading, facts, on_page_alone };
    let mut own: Vec<_> = sides
        .iter()
        .map(|side| list(words::sided(side.letter, "Counts"), counts(side.result, &side.pointer), true))
        .collect();
    own.extend(sides.iter().map(|side| {
        list(words::sided(side.letter, "Use of the machines"), processes(side.result, &side.pointer), is_short)
    }));
    let Some((first, others)) = sides.split_first() else { return Vec::new() };
    let common = settings(first.result);
    let mut shared = vec![list(words::sided(first.letter, "Settings"), common.iter().map(said).collect(), true)];
    for other in others {
        let differing = settings(other.result).into_iter().filter(|fact| !common.contains(fact));
        let differing = differing.map(|fact| said(&fact)).collect();
        shared.push(list(words::sided(other.letter, "Settings that differ"), differing, true));
    }
    shared.push(list("Generator's machine".to_owned(), machine(first.result, &first.pointer), true));
    if sides.len() > 1 {
        vec![Part::Lists(own, Layout::SideBySide), Part::Lists(shared, Layout::Columns)]
    } else {
        own.extend(shared);
        vec![Part::Lists(own, Layout::Columns)]
    }
}

fn said((name, text): &(&'static str, String)) -> Fact {
    (name, text.as_str().into())
}

fn counts(result: &RunResult, pointer: &str) -> Vec<Fact> {
    let totals = &result.totals;
    let verification = &totals.verification;
    let of = |name: &str, value: u64| count(&format!("{pointer}/totals/{name}"), value);
    let bytes = |name: &str, value: u64| bytes(&format!("{pointer}/totals/{name}"), value as f64);
    let mut facts = vec![
        ("Connections opened", of("connections_opened", totals.connections_opened)),
        ("Connects failed", of("connections_failed", totals.connections_failed)),
        ("Connections lost", of("connections_lost", totals.connections_lost)),
        ("Messages sent", of("requests_sent", totals.requests_sent)),
        ("Messages answered", of("requests_completed", totals.requests_completed)),
        ("… while measuring", of("measured_completed", totals.measured_completed)),
        ("Unanswered", of("requests_unanswered", totals.requests_unanswered)),
        ("Due but never sent", of("requests_unsent", totals.requests_unsent)),
        ("Bytes sent", bytes("bytes_sent", totals.bytes_sent)),
        ("Bytes received", bytes("bytes_received", totals.bytes_received)),
        ("Bytes changed, in places", of("verification/corrupted", verification.corrupted)),
        ("Bytes lost, in places", of("verification/lost", verification.lost)),
        ("Bytes too many, in places", of("verification/duplicated", verification.duplicated)),
        ("Bytes crossed, in places", of("verification/crossed", verification.crossed)),
        ("Headers missing, damaged", of("verification/header", verification.header)),
        ("Headers sent back", of("headers_reflected", totals.headers_reflected)),
    ];
    if let Some(tls) = &result.tls {
        let of = |name: &str, value: u64| count(&format!("{pointer}/tls/{name}"), value);
        let handshakes = [
            ("Connects failed in TLS", of("failed", tls.failed)),
            ("Full TLS handshakes", of("full", tls.full)),
            ("Resumed TLS handshakes", of("resumed", tls.resumed)),
        ];
        facts.splice(2..2, handshakes);
    }
    if result.settings.command == "idle" {
        facts.retain(|(name, _)| name.starts_with("Connect") || name.contains("TLS"));
        facts.push(("Connections alive", of("connections_alive", totals.connections_alive)));
    }
    facts
}

fn processes(result: &RunResult, pointer: &str) -> Vec<Fact> {
    let generator = &result.generator;
    let has_messages = result.totals.requests_completed > 0;
    let shares = generator.thread_cpu.iter().take(MAX_THREADS).enumerate();
    let shares = shares.map(|(index, share)| percent(&format!("{pointer}/generator/thread_cpu/{index}"), *share));
    let mut own = Text::joined(shares, " ");
    if generator.thread_cpu.len() > MAX_THREADS {
        own = own.and(format!(" … ({} threads)", generator.thread_cpu.len()));
    }
    own = own.and(" of a core");
    if has_messages {
        own = own.and("; ").and(cpu(&format!("{pointer}/generator"), generator.cpu_ns_per_request));
    }
    let paused = generator.thread_paused.iter().take(MAX_THREADS).enumerate();
    let paused = paused.map(|(index, share)| percent(&format!("{pointer}/generator/thread_paused/{index}"), *share));
    let waited = generator.thread_waited.iter().take(MAX_THREADS).enumerate().map(|(index, share)| {
        optional(*share, |share| percent(&format!("{pointer}/generator/thread_waited/{index}"), share))
    });
    let mut lacked = Text::joined(paused, " ").and(" of the time paused, ").and(Text::joined(waited, " "));
    lacked = lacked.and(" waiting for a core");
    if let Some(throttled) = &generator.throttled {
        let seconds = fraction(
            &format!("{pointer}/generator/throttled/time_s"),
            throttled.time_s,
            words::seconds(throttled.time_s),
        );
        lacked = lacked.and(", ").and(seconds).and(" held back by a CPU quota");
    }
    let server = match &result.server {
        Some(server) => of_server(server, &format!("{pointer}/server"), has_messages),
        None => "unknown: --server-pid was not given".into(),
    };
    let tcp = result.tcp.as_ref().map(|tcp| {
        let of = |name: &str, value: u64| count(&format!("{pointer}/tcp/{name}"), value);
        of("retransmits", tcp.retransmits)
            .and(if tcp.retransmits == 1 { " segment" } else { " segments" })
            .and(" sent again by the generator on ")
            .and(of("connections", tcp.connections))
            .and(if tcp.connections == 1 { " connection" } else { " connections" })
    });
    let mut facts = vec![
        ("To the target", optional(tcp, |text| text)),
        ("Generator", own),
        ("… delayed", lacked),
        ("Server", server),
        ("Machine", meanwhile(result, &format!("{pointer}/environment"))),
    ];
    if let Some(tls) = &result.tls {
        facts.insert(1, ("TLS", handshakes(tls, &format!("{pointer}/tls"))));
    }
    facts
}

/// The number of handshakes of each kind, and the negotiated version, cipher suite and protocol.
fn handshakes(tls: &TlsUse, pointer: &str) -> Text {
    let of = |name: &str, value: u64| count(&format!("{pointer}/{name}"), value);
    let mut text = of("full", tls.full)
        .and(if tls.full == 1 { " full handshake, " } else { " full handshakes, " })
        .and(of("resumed", tls.resumed))
        .and(" resumed, ")
        .and(of("failed", tls.failed))
        .and(" failed");
    for (words, times) in tls.agreed.iter().take(MAX_AGREED) {
        text = text.and(format!("; {}", words::plain(words)));
        if tls.agreed.len() > 1 {
            text = text.and(format!(" ({} times)", words::count(*times)));
        }
    }
    text
}

/// Most negotiated combinations that are listed; a target usually has one.
const MAX_AGREED: usize = 4;

/// Most threads that are listed one by one.
const MAX_THREADS: usize = 8;

fn cpu(pointer: &str, ns: Option<f64>) -> Text {
    optional(ns, |ns| fraction(&format!("{pointer}/cpu_ns_per_request"), ns, words::time(ns))).and(" CPU a message")
}

fn of_server(server: &ServerUse, pointer: &str, has_messages: bool) -> Text {
    let of = |name: &str, value: f64| bytes(&format!("{pointer}/{name}"), value);
    let mut text = percent(&format!("{pointer}/cpu_share"), server.cpu_share).and(" of a core");
    if has_messages {
        text = text.and(", ").and(cpu(pointer, server.cpu_ns_per_request));
    }
    text.and("; ")
        .and(of("rss_after_bytes", server.rss_after_bytes as f64))
        .and(" resident, ")
        .and(of("rss_before_bytes", server.rss_before_bytes as f64))
        .and(" before; ")
        .and(optional(server.rss_per_connection_bytes, |growth| of("rss_per_connection_bytes", growth)))
        .and(format!(" a connection (pid {})", server.pid))
}

/// Events on the generator's machine during the run.
fn meanwhile(result: &RunResult, pointer: &str) -> Text {
    let environment = &result.environment;
    let at = |name: &str| format!("{pointer}/{name}");
    let pressure = environment.cpu_pressure.map_or_else(
        || "not known whether tasks waited for a core".into(),
        |share| percent(&at("cpu_pressure"), share).and(" of the time some task waited for a core"),
    );
    let of = |name: &str, value: Option<u64>| optional(value, |value| count(&at(name), value));
    optional(environment.steal, |steal| percent(&at("steal"), steal))
        .and(" of its time taken by other guests; ")
        .and(pressure)
        .and("; of all its programs: ")
        .and(of("machine_tcp_retransmits", environment.machine_tcp_retransmits))
        .and(" TCP segments sent again, ")
        .and(of("machine_listen_overflows", environment.machine_listen_overflows))
        .and(" accept queue overflows")
}

/// Settings without a meaning if nothing is sent.
const OF_MESSAGES: [&str; 5] = ["Rate", "Arrivals", "In flight a connection", "Message", "Verification"];

fn settings(result: &RunResult) -> Vec<(&'static str, String)> {
    let settings = &result.settings;
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let rate = |rate: Option<f64>, otherwise: &str| {
        rate.map_or_else(|| otherwise.to_owned(), |rate| format!("{}/s", words::number(rate)))
    };
    let arrivals = if settings.rate.is_some() { &settings.arrival } else { words::NOTHING };
    let mut facts = vec![
        ("Target", settings.target.clone()),
        ("Connections", words::count(settings.connections)),
        ("Threads", words::count(settings.threads)),
        ("Measured", words::seconds(settings.duration_s)),
        ("Warm-up before", words::seconds(settings.warmup_s)),
        ("Runs", words::count(settings.runs)),
        (
            "Rate",
            match settings.stages[..] {
                [] => rate(settings.rate, "closed loop"),
                _ => words::stages(&settings.stages),
            },
        ),
        ("Arrivals", arrivals.to_owned()),
        ("In flight a connection", words::count(settings.depth)),
        ("Message", words::short(&words::bytes(settings.size as f64))),
        ("Connects", rate(settings.connect_rate, "as fast as they go")),
        ("PROXY header", settings.proxy.clone()),
        ("TLS", settings.tls.as_ref().map_or_else(|| words::NOTHING.to_owned(), words::tls)),
        ("Verification", settings.verify.clone()),
        ("Closed with FIN", yes(settings.time_wait)),
        ("Threads spin", yes(settings.spin)),
        ("Threads pinned", yes(settings.pin)),
    ];
    if settings.command == "idle" {
        facts.retain(|(name, _)| !OF_MESSAGES.contains(name));
    }
    facts
}

fn machine(result: &RunResult, pointer: &str) -> Vec<Fact> {
    let environment = &result.environment;
    let at = |name: &str| format!("{pointer}/environment/{name}");
    let pinned: Vec<_> = environment.pinned.iter().map(ToString::to_string).collect();
    let sysctls = environment.sysctls.iter().map(|(name, value)| Text::from(format!("{name} = {value}")));
    vec![
        ("Host", environment.host.as_str().into()),
        ("Kernel", environment.kernel.as_str().into()),
        ("CPU", environment.cpu.as_str().into()),
        ("Cores", count(&at("cores"), environment.cores)),
        ("Pinned to", if pinned.is_empty() { "no core".into() } else { format!("core {}", pinned.join(", ")).into() }),
        ("Clock", environment.clock.as_str().into()),
        ("Open files at most", count(&at("fd_limit"), environment.fd_limit)),
        ("loadtest", environment.loadtest.as_str().into()),
        ("Kernel's settings", Text::joined(sysctls, "; ")),
    ]
}
