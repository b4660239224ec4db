//! Figures and facts in words, the same in the table and on the page.

pub(super) use crate::format::*;
use crate::result::{
    BesideResult, CompareResult, Curve, CurvePoint, Ratio, RunResult, Samples, SearchResult, Settings, Shard,
    TlsSettings, Totals,
};

/// The percentiles that are shown if there are enough samples.
pub(super) const SHOWN: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

/// `text`, preceded by the letter of its side if there are two sides.
pub(super) fn sided(letter: Option<&str>, text: &str) -> String {
    letter.map_or_else(|| text.to_owned(), |letter| format!("{letter}: {text}"))
}

/// The counted unit: messages, or connections if each message has its own.
pub(super) fn unit(settings: &Settings) -> &'static str {
    if settings.command == "crr" { "connections" } else { "messages" }
}

/// The settings on one line.
pub(super) fn settings(settings: &Settings) -> String {
    let mut text = counted(settings.connections, "connection");
    let mut and = |more: &str| {
        text.push_str(", ");
        text.push_str(more);
    };
    and(&counted(settings.threads, "thread"));
    if settings.command != "idle" {
        match settings.rate {
            Some(_) if !settings.stages.is_empty() => {
                and(&format!("open loop at {}, {} arrivals", stages(&settings.stages), plain(&settings.arrival)));
            }
            Some(rate) => and(&format!("open loop at {}/s, {} arrivals", number(rate), plain(&settings.arrival))),
            None => and("closed loop"),
        }
        and(&format!("depth {}", count(settings.depth)));
        and(&format!("{} a message", short(&bytes(settings.size as f64))));
        and(&format!("verify {}", plain(&settings.verify)));
    }
    if let Some(rate) = settings.connect_rate {
        and(&format!("at most {} connects/s", number(rate)));
    }
    if settings.proxy != "none" {
        and(&format!("PROXY {}", plain(&settings.proxy)));
    }
    if let Some(tls) = &settings.tls {
        and(&self::tls(tls));
    }
    for (is_set, name) in [
        (settings.pin, "pinned"),
        (settings.spin, "spinning"),
        (settings.reconnect, "reconnecting"),
        (settings.time_wait, "TIME-WAIT kept"),
    ] {
        if is_set {
            and(name);
        }
    }
    let runs = if settings.runs > 1 { format!("{} of ", counted(settings.runs, "run")) } else { String::new() };
    and(&format!("{runs}{} after {} of warm-up", seconds(settings.duration_s), seconds(settings.warmup_s)));
    text
}

/// The settings of TLS.
pub(super) fn tls(tls: &TlsSettings) -> String {
    let mut text = "TLS".to_owned();
    if let Some(version) = &tls.version {
        text.push(' ');
        text.push_str(&plain(version));
    }
    for (is_set, words) in [
        (tls.resumes, " with resumption"),
        (tls.has_certificate, " with a client's certificate"),
        (!tls.verifies_certificates, " with any certificate of the server's"),
    ] {
        text.push_str(if is_set { words } else { "" });
    }
    text
}

/// A distribution of times.
pub(super) struct Times<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its place in a run's JSON.
    pub pointer: &'static str,
    /// Not empty.
    pub samples: &'a Samples,
}

/// The distributions of `result` that have samples. In closed loop no message waits for a schedule: the service time
/// equals the latency, and there is no lag.
pub(super) fn times(result: &RunResult) -> Vec<Times<'_>> {
    let is_open = result.settings.rate.is_some();
    let is_two = is_open || result.service_time != result.latency;
    let latency = if is_open { "latency, scheduled" } else { "latency" };
    let all = [
        (latency, "/latency", Some(&result.latency)),
        ("service time", "/service_time", is_two.then_some(&result.service_time)),
        ("latency, corrected", "/latency_corrected", result.latency_corrected.as_ref()),
        ("waited for connection", "/waited", is_open.then_some(&result.waited)),
        ("generator late by", "/generator/lag", is_open.then_some(&result.generator.lag)),
        ("connect", "/connect_time", Some(&result.connect_time)),
        ("TLS handshake", "/tls/handshake_time", result.tls.as_ref().map(|tls| &tls.handshake_time)),
        ("round trip (kernel)", "/tcp/rtt", result.tcp.as_ref().map(|tcp| &tcp.rtt)),
        ("lost until resumed", "/reconnect_time", Some(&result.reconnect_time)),
    ];
    let present =
        all.into_iter().filter_map(|(name, pointer, samples)| Some(Times { name, pointer, samples: samples? }));
    present.filter(|times| !times.samples.is_empty()).collect()
}

/// The kinds of errors with their counts; empty if there are none.
pub(super) fn errors(totals: &Totals) -> Vec<String> {
    let verification = &totals.verification;
    let kinds = [
        (totals.connections_failed, "connect failed", "connects failed"),
        (totals.connections_lost, "connection lost", "connections lost"),
        (totals.requests_unanswered, "message unanswered", "messages unanswered"),
        (verification.corrupted, "place with changed bytes", "places with changed bytes"),
        (verification.lost, "place with lost bytes", "places with lost bytes"),
        (verification.duplicated, "place with bytes too many", "places with bytes too many"),
        (verification.crossed, "place with another connection's bytes", "places with other connections' bytes"),
        (verification.header, "header missing or damaged", "headers missing or damaged"),
    ];
    let told = kinds.into_iter().filter(|(number, ..)| *number > 0);
    told.map(|(number, one, many)| format!("{} {}", count(number), if number == 1 { one } else { many })).collect()
}

/// The shard in words.
pub(super) fn shard(shard: Shard) -> String {
    format!("shard {} of {}", shard.index, shard.count)
}

/// A value of a comparison with its unit.
pub(super) fn value(value: f64, unit: &str) -> String {
    match unit {
        "ns" => time(value),
        "1/s" => format!("{}/s", number(value)),
        unit => format!("{} {}", number(value), plain(unit)),
    }
}

/// A ratio with three decimals.
pub(super) fn ratio(ratio: f64) -> String {
    format!("{ratio:.3}")
}

/// The meaning of a point of a search's curve.
pub(super) fn on_curve(result: &SearchResult, point: &CurvePoint) -> String {
    let is_at = |rate: Option<f64>| rate.is_some_and(|rate| rate.total_cmp(&point.rate).is_eq());
    let best = is_at(result.best_rate).then_some("highest that met the SLO");
    let knee = is_at(result.curve.as_ref().and_then(|curve| curve.knee_rate)).then_some("knee");
    [knee, best].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The knee of a search's curve, or why it is unknown.
pub(super) fn knee(curve: &Curve) -> String {
    let percentile = plain(&curve.percentile);
    match (curve.knee_rate, &curve.knee_unknown) {
        (Some(rate), _) => {
            format!(
                "{}/s is the highest rate whose {percentile} is at most twice that at the lowest rate",
                number(rate)
            )
        }
        (None, Some(why)) => format!("unknown, because {}", plain(why)),
        (None, None) => "unknown".to_owned(),
    }
}

/// A ratio as a difference in words.
pub(super) fn difference(ratio: &Ratio) -> String {
    difference_of(ratio.ratio, ratio.difference_shown)
}

pub(super) fn difference_of(ratio: f64, is_shown: bool) -> String {
    if !is_shown {
        "no difference shown".to_owned()
    } else if ratio >= 2.0 {
        format!("{} times", number(ratio))
    } else {
        let word = if ratio < 1.0 { "lower" } else { "higher" };
        format!("{} {word}", percent((ratio - 1.0).abs()))
    }
}

/// States what the intervals of runs side by side are valid for.
pub(super) fn confidence(result: &BesideResult) -> String {
    let mut values = result.figures.iter().flat_map(|figure| &figure.runs);
    if values.any(|value| value.low.is_some()) {
        let confidence = short(&percent(result.confidence));
        format!(
            "the intervals together have {confidence} confidence; differences may also come from changes of the machine \
            between the files (compare measures in turn)"
        )
    } else {
        "with fewer than 3 runs of each (--runs), figures may differ by chance (compare measures in turn)".to_owned()
    }
}

/// The verdict on one figure, as a sentence.
pub(super) fn verdict(result: &CompareResult, ratio: &Ratio) -> String {
    let figure = plain(&ratio.figure);
    let (Some(low), Some(high)) = (ratio.low, ratio.high) else {
        return format!("B's {figure} is {} of A's: too few pairs for an interval.", self::ratio(ratio.ratio));
    };
    let confidence = short(&percent(result.confidence));
    let between = format!("{} to {} of A's at {confidence} confidence", self::ratio(low), self::ratio(high));
    if !ratio.difference_shown {
        format!("No difference shown in {figure}: B's is {between}.")
    } else if ratio.ratio >= 2.0 {
        format!("B's {figure} is {} A's: {between}.", difference(ratio))
    } else {
        format!("B's {figure} is {} than A's: {between}.", difference(ratio))
    }
}
