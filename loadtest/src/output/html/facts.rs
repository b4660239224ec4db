//! What is not a figure of the result: what was measured and how, whether to believe it, on which machine.

use std::fmt::Write as _;

use super::super::words;
use super::Side;
use super::element::{count, escape, figure, fraction, list};
use crate::result::{Report, RunResult, ServerUse, SloOutcome};

/// The most lines of a box.
const MOST_LINES: usize = 20;

/// Names what was measured.
pub(super) fn heading(report: &Report) -> String {
    let (kind, title, sides): (_, _, Vec<(Option<&str>, &RunResult)>) = match report {
        Report::Run(result) => (result.settings.command.as_str(), result.settings.target.clone(), vec![(None, result)]),
        Report::Compare(result) => {
            let title = format!("{} against {}", result.b.settings.target, result.a.settings.target);
            ("compare", title, vec![(Some("A"), &result.a), (Some("B"), &result.b)])
        }
        Report::Search(result) => {
            let target = result.best.as_ref().map_or_else(|| result.slo.clone(), |best| best.settings.target.clone());
            ("search", target, result.best.iter().map(|best| (None, best)).collect())
        }
    };
    let mut html = format!("<header><p class=\"kind\">loadtest {}</p><h1>{}</h1>\n", escape(kind), escape(&title));
    let texts: Vec<_> = sides.iter().map(|(_, result)| words::settings(&result.settings)).collect();
    let is_same = texts.windows(2).all(|two| two[0] == two[1]);
    for ((letter, result), text) in sides.iter().zip(&texts) {
        let shard = result.shard.map_or(String::new(), |shard| format!(" ({})", words::shard(shard)));
        let target = escape(&result.settings.target);
        let _ = match letter {
            None => writeln!(html, "<p>{}{shard}</p>", escape(text)),
            Some(letter) if is_same => writeln!(html, "<p>{letter} is {target}</p>"),
            Some(letter) => writeln!(html, "<p>{letter} is {target}: {}</p>", escape(text)),
        };
    }
    if let (true, 2.., Some(text)) = (is_same, sides.len(), texts.first()) {
        let _ = writeln!(html, "<p>Both: {}</p>", escape(text));
    }
    if let Some((_, first)) = sides.first() {
        let _ =
            writeln!(html, "<p class=\"when\">{} on {}</p>", escape(&first.started), escape(&first.environment.host));
    }
    html + "</header>\n"
}

/// Whether the figures may be used and what they come to, before anything else.
pub(super) fn standing(report: &Report) -> String {
    match report {
        Report::Run(result) => standing_of_run(result),
        Report::Compare(result) => {
            let verdicts: Vec<_> = result.ratios.iter().map(|ratio| escape(&words::verdict(result, ratio))).collect();
            let mut html = invalid(&result.invalid);
            if html.is_empty() {
                html = banner("good", "Valid", &verdicts);
            } else {
                html += &banner("plain", "Measured all the same", &verdicts);
            }
            for (letter, side) in [("A", &result.a), ("B", &result.b)] {
                let errors: Vec<_> = words::errors(&side.totals).iter().map(|error| escape(error)).collect();
                if !errors.is_empty() {
                    html += &banner("bad", &words::sided(Some(letter), "errors"), &errors);
                }
            }
            let pairs = words::counted(result.pairs, "pair");
            html + &format!("<p class=\"note\">{pairs} of runs, in turn: {}.</p>\n", escape(&result.stopped))
        }
        Report::Search(result) => {
            let reasons = if result.generator_limited {
                vec!["the generator was the limit: the target may do more".to_owned()]
            } else {
                result.best.as_ref().map_or(Vec::new(), |best| best.invalid.clone())
            };
            let stopped = vec![escape(&result.stopped)];
            let verdict = if result.best_rate.is_some() {
                banner("good", "Found", &stopped)
            } else {
                banner("bad", "No rate met the SLO", &stopped)
            };
            invalid(&reasons) + &verdict
        }
    }
}

fn standing_of_run(result: &RunResult) -> String {
    let mut html = invalid(&result.invalid);
    if html.is_empty() {
        let is_open = result.settings.rate.is_some();
        let why = if is_open {
            "the generator was not the limit, and kept its schedule"
        } else {
            "the generator was not the limit"
        };
        html = banner("good", "Valid", &[why.to_owned()]);
    }
    let errors = words::errors(&result.totals);
    let lines: Vec<_> = errors.iter().chain(&result.failures).map(|error| escape(error)).collect();
    if !lines.is_empty() {
        html += &banner("bad", "Errors", &lines);
    }
    if let Some(slo) = &result.slo {
        html += &outcome(slo);
    }
    if let Some(why) = &result.cut_short {
        html += &banner("plain", "Ended early", &[escape(why)]);
    }
    if !result.notes.is_empty() {
        let notes: Vec<_> = result.notes.iter().map(|note| escape(note)).collect();
        html += &banner("plain", "Worth knowing", &notes);
    }
    html
}

fn invalid(reasons: &[String]) -> String {
    let reasons: Vec<_> = reasons.iter().map(|reason| escape(reason)).collect();
    if reasons.is_empty() { String::new() } else { banner("bad", "INVALID: these figures must not be used", &reasons) }
}

fn outcome(slo: &SloOutcome) -> String {
    let conditions = slo.conditions.iter().map(|condition| {
        let word = if condition.met { "met" } else { "missed" };
        escape(&format!("{}: {word}, {} measured", condition.text, condition.measured))
    });
    let conditions: Vec<_> = conditions.collect();
    if slo.met { banner("good", "SLO met", &conditions) } else { banner("bad", "SLO missed", &conditions) }
}

/// A box with a few words and lines below, which are HTML.
fn banner(class: &str, words: &str, lines: &[String]) -> String {
    let mut html = format!("<section class=\"banner {class}\"><strong>{words}</strong><ul>");
    for line in lines.iter().take(MOST_LINES) {
        let _ = write!(html, "<li>{line}</li>");
    }
    if lines.len() > MOST_LINES {
        let _ = write!(html, "<li>… and {} more</li>", lines.len() - MOST_LINES);
    }
    html + "</ul></section>\n"
}

/// The lists below the figures. What is the same for both of two targets is there once.
pub(super) fn of_report(sides: &[Side]) -> String {
    let counted = sides.iter().map(|side| list(&words::sided(side.letter, "Counts"), &counts(side)));
    let used = sides.iter().map(|side| list(&words::sided(side.letter, "Use of the machines"), &processes(side)));
    let of_sides: String = counted.chain(used).collect();
    // Those of two targets stand side by side.
    let mut html = if sides.len() > 1 {
        format!("<div class=\"pairs\">\n{of_sides}</div>\n<div class=\"columns\">\n")
    } else {
        format!("<div class=\"columns\">\n{of_sides}")
    };
    if let Some((first, others)) = sides.split_first() {
        let common = settings(first.result);
        html += &list(&words::sided(first.letter, "Settings"), &common);
        for other in others {
            let differing: Vec<_> = settings(other.result).into_iter().filter(|fact| !common.contains(fact)).collect();
            html += &list(&words::sided(other.letter, "Settings that differ"), &differing);
        }
        let sysctls = first.result.environment.sysctls.iter().map(|(name, value)| (name.as_str(), escape(value)));
        html += &list("Generator's machine", &machine(first));
        html += &list("Its kernel's settings", &sysctls.collect::<Vec<_>>());
    }
    html + "</div>\n"
}

fn counts(side: &Side) -> Vec<(&'static str, String)> {
    let totals = &side.result.totals;
    let verification = &totals.verification;
    let of = |name: &str, value: u64| count(&format!("{}/totals/{name}", side.pointer), value);
    let bytes =
        |name: &str, value: u64| figure(&format!("{}/totals/{name}", side.pointer), value, &words::bytes(value as f64));
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
    if side.result.settings.command == "idle" {
        facts.retain(|(name, _)| name.starts_with("Connect"));
        facts.push(("Connections alive", of("connections_alive", totals.connections_alive)));
    }
    let errors = totals.errors.iter().map(|(what, times)| format!("{} × {}", words::count(*times), escape(what)));
    let errors: Vec<_> = errors.collect();
    if !errors.is_empty() {
        facts.push(("Errors in the system's words", errors.join("<br>")));
    }
    facts
}

fn processes(side: &Side) -> Vec<(&'static str, String)> {
    let Side { pointer, result, .. } = side;
    let generator = &result.generator;
    let shares = generator.thread_cpu.iter().enumerate().map(|(index, share)| {
        fraction(&format!("{pointer}/generator/thread_cpu/{index}"), *share, &words::percent(*share))
    });
    let own_ns = generator.cpu_ns_per_request;
    let mut facts = vec![
        ("Generator, of a core a thread", shares.collect::<Vec<_>>().join(" ")),
        (
            "Generator CPU a message",
            fraction(&format!("{pointer}/generator/cpu_ns_per_request"), own_ns, &words::time(own_ns)),
        ),
    ];
    if let Some(server) = &result.server {
        facts.extend(of_server(pointer, server));
    } else {
        facts.push(("Server", "not known: --server-pid was not given".to_owned()));
    }
    if result.totals.requests_completed == 0 {
        facts.retain(|(name, _)| !name.ends_with("CPU a message"));
    }
    facts.extend(meanwhile(side));
    facts
}

fn of_server(pointer: &str, server: &ServerUse) -> [(&'static str, String); 6] {
    let of = |name: &str, value: f64, text: &str| fraction(&format!("{pointer}/server/{name}"), value, text);
    let bytes =
        |name: &str, value: u64| figure(&format!("{pointer}/server/{name}"), value, &words::bytes(value as f64));
    let growth = server.rss_per_connection_bytes;
    [
        ("Server, of a core", of("cpu_share", server.cpu_share, &words::percent(server.cpu_share))),
        (
            "Server CPU a message",
            of("cpu_ns_per_request", server.cpu_ns_per_request, &words::time(server.cpu_ns_per_request)),
        ),
        ("Server memory before", bytes("rss_before_bytes", server.rss_before_bytes)),
        ("Server memory at the end", bytes("rss_after_bytes", server.rss_after_bytes)),
        ("… a connection", of("rss_per_connection_bytes", growth, &words::bytes(growth))),
        ("Server process", server.pid.to_string()),
    ]
}

/// Settings that say nothing where nothing is sent.
const OF_MESSAGES: [&str; 5] = ["Rate", "Arrivals", "In flight a connection", "Message", "Verification"];

fn settings(result: &RunResult) -> Vec<(&'static str, String)> {
    let settings = &result.settings;
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let rate = |rate: Option<f64>, otherwise: &str| {
        rate.map_or_else(|| otherwise.to_owned(), |rate| format!("{}/s", words::number(rate)))
    };
    let mut facts = vec![
        ("Target", escape(&settings.target)),
        ("Connections", words::count(settings.connections)),
        ("Threads", words::count(settings.threads)),
        ("Measured", words::seconds(settings.duration_s)),
        ("Warm-up before", words::seconds(settings.warmup_s)),
        ("Runs", words::count(settings.runs)),
        ("Rate", rate(settings.rate, "closed loop")),
        ("Arrivals", if settings.rate.is_some() { escape(&settings.arrival) } else { words::NOTHING.to_owned() }),
        ("In flight a connection", words::count(settings.depth)),
        ("Message", words::short(&words::bytes(settings.size as f64))),
        ("Connects", rate(settings.connect_rate, "as fast as they go")),
        ("PROXY header", escape(&settings.proxy)),
        ("Verification", escape(&settings.verify)),
        ("Closed with FIN", yes(settings.time_wait)),
        ("Threads spin", yes(settings.spin)),
        ("Threads pinned", yes(settings.pin)),
    ];
    if settings.command == "idle" {
        facts.retain(|(name, _)| !OF_MESSAGES.contains(name));
    }
    facts
}

/// What happened on the generator's machine during the run.
fn meanwhile(side: &Side) -> [(&'static str, String); 4] {
    let environment = &side.result.environment;
    let at = |name: &str| format!("{}/environment/{name}", side.pointer);
    let pressure = environment
        .cpu_pressure
        .map_or_else(|| "not known".to_owned(), |share| fraction(&at("cpu_pressure"), share, &words::percent(share)));
    [
        ("Time taken by other guests", fraction(&at("steal"), environment.steal, &words::percent(environment.steal))),
        ("Some task waited for a core", pressure),
        ("TCP segments sent again", count(&at("tcp_retransmits"), environment.tcp_retransmits)),
        ("Accept queue overflows", count(&at("listen_overflows"), environment.listen_overflows)),
    ]
}

fn machine(side: &Side) -> Vec<(&'static str, String)> {
    let environment = &side.result.environment;
    let at = |name: &str| format!("{}/environment/{name}", side.pointer);
    let pinned: Vec<_> = environment.pinned.iter().map(ToString::to_string).collect();
    vec![
        ("Host", escape(&environment.host)),
        ("Kernel", escape(&environment.kernel)),
        ("CPU", escape(&environment.cpu)),
        ("Cores", count(&at("cores"), environment.cores)),
        ("Pinned to", if pinned.is_empty() { "no core".to_owned() } else { format!("core {}", pinned.join(", ")) }),
        ("Clock", escape(&environment.clock)),
        ("Open files at most", count(&at("fd_limit"), environment.fd_limit)),
        ("loadtest", escape(&environment.loadtest)),
    ]
}
