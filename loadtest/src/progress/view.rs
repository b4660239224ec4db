//! The text that shows a run's progress: its stage, the last second's figures, the last minutes, and errors.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use humantime::format_duration;

use crate::engine::{Progress, Second};
use crate::format::{NOTHING, count, counted, number, plain, time};
use crate::plan::{Kind, Plan};

/// Width of the bar in characters.
const BAR: usize = 30;
/// Seconds that the strip shows, and seconds per character.
const STRIP_S: usize = 120;
const COLUMN_S: usize = 2;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Most reasons of errors shown.
const MAX_REASONS: usize = 4;

/// The known state of a run.
#[derive(Debug)]
pub(super) struct View {
    what: String,
    kind: Kind,
    wanted: u64,
    warmup: Duration,
    duration: Duration,
    open: u64,
    /// Time since the start, warm-up included; `None` before the start.
    elapsed: Option<Duration>,
    last: Option<Last>,
    /// Messages in each of the last seconds.
    rates: VecDeque<f64>,
    errors: BTreeMap<String, u64>,
}

/// Figures of the last second.
#[derive(Debug)]
struct Last {
    rate: f64,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
}

impl View {
    pub(super) fn new(plan: &Plan, what: &str) -> Self {
        View {
            what: what.to_owned(),
            kind: plan.kind,
            wanted: plan.own(plan.connections),
            warmup: plan.warmup,
            duration: plan.duration,
            open: 0,
            elapsed: None,
            last: None,
            rates: VecDeque::new(),
            errors: BTreeMap::new(),
        }
    }

    pub(super) fn take(&mut self, progress: &Progress) {
        match progress {
            Progress::Opening(open) => self.open = *open,
            Progress::Running { alive, elapsed, .. } => (self.open, self.elapsed) = (*alive, Some(*elapsed)),
            Progress::Second(second) => self.add(second),
        }
    }

    fn add(&mut self, second: &Second) {
        let rate = second.achieved_per_s;
        let [p50_ns, p99_ns] = [50.0, 99.0].map(|percentile| second.latency.percentile_ns(percentile));
        self.last = Some(Last { rate, p50_ns, p99_ns });
        self.rates.push_back(rate);
        if self.rates.len() > STRIP_S {
            // Remove a whole column, so that the others do not change.
            self.rates.drain(..COLUMN_S);
        }
        let totals = &second.totals;
        self.errors.clone_from(&totals.errors);
        for (what, count) in [
            ("messages without an answer", totals.requests_unanswered),
            ("verification failures", totals.verification.total()),
        ] {
            if count > 0 {
                self.errors.insert(what.to_owned(), count);
            }
        }
    }

    /// Several lines, for a terminal.
    pub(super) fn text(&self) -> String {
        let done = (self.share() * BAR as f64) as usize;
        let bar = format!("{}>{}", "=".repeat(done), " ".repeat(BAR - done));
        let mut lines = vec![format!("{} [{bar:.BAR$}] {}", self.what, self.stage())];
        if let Some(last) = &self.last {
            lines.push(self.figures(last));
            if self.kind != Kind::Idle {
                lines.push(self.strip());
            }
        }
        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        let reasons = errors.iter().take(MAX_REASONS);
        lines.extend(reasons.map(|(reason, times)| format!("{} × {}", count(**times), plain(reason))));
        if errors.len() > MAX_REASONS {
            lines.push(format!("… and {}", counted((errors.len() - MAX_REASONS) as u64, "other reason")));
        }
        lines.join("\n")
    }

    /// The same as one line, without the strip and the reasons.
    pub(super) fn line(&self) -> String {
        let mut parts = vec![self.stage()];
        parts.extend(self.last.as_ref().map(|last| self.figures(last)));
        if !self.errors.is_empty() {
            parts.push(counted(self.errors.values().sum(), "error"));
        }
        format!("{}: {}", self.what, parts.join(", "))
    }

    /// The share that is done, of opening connections or of the time.
    fn share(&self) -> f64 {
        let share = match self.elapsed {
            None => self.open as f64 / self.wanted.max(1) as f64,
            Some(elapsed) => elapsed.as_secs_f64() / (self.warmup + self.duration).as_secs_f64(),
        };
        share.min(1.0)
    }

    fn stage(&self) -> String {
        let Some(elapsed) = self.elapsed else {
            return format!("{} of {} connections are open", count(self.open), count(self.wanted));
        };
        match elapsed.checked_sub(self.warmup) {
            None => "warming up".to_owned(),
            Some(measured) if measured > self.duration => "waiting for the last answers".to_owned(),
            Some(measured) => {
                let whole_seconds = Duration::from_secs(measured.as_secs());
                format!("{} of {}", format_duration(whole_seconds), format_duration(self.duration))
            }
        }
    }

    fn figures(&self, last: &Last) -> String {
        let connections = counted(self.open, "connection");
        let known = |ns: Option<u64>| ns.map_or_else(|| NOTHING.to_owned(), |ns| time(ns as f64));
        match self.kind {
            Kind::Idle => connections,
            _ => format!(
                "{} messages/s, p50 {}, p99 {}, {connections}",
                number(last.rate),
                known(last.p50_ns),
                known(last.p99_ns)
            ),
        }
    }

    /// The rate of the last minutes as a strip of bars.
    fn strip(&self) -> String {
        let rates: Vec<f64> = self.rates.iter().copied().collect();
        let columns: Vec<f64> =
            rates.chunks(COLUMN_S).map(|column| column.iter().sum::<f64>() / column.len() as f64).collect();
        let top = columns.iter().copied().fold(0.0, f64::max);
        let level = |rate: f64| LEVELS[((rate / top.max(1e-9) * LEVELS.len() as f64) as usize).min(LEVELS.len() - 1)];
        let strip: String = columns.iter().map(|&rate| level(rate)).collect();
        format!("{strip} up to {}/s in the last {}", number(top), counted(rates.len() as u64, "second"))
    }
}

#[cfg(test)]
mod tests {
    use crate::result::{Samples, Totals};

    use super::*;

    fn view() -> View {
        View {
            what: "run 1 of 1".to_owned(),
            kind: Kind::Rr,
            wanted: 50,
            warmup: Duration::from_millis(500),
            duration: Duration::from_secs(90),
            open: 0,
            elapsed: None,
            last: None,
            rates: VecDeque::new(),
            errors: BTreeMap::new(),
        }
    }

    fn second(rate: f64, reasons: u64) -> Progress {
        let mut latency = Samples::new();
        latency.record_n(200_000, 1000);
        let errors = (0..reasons).map(|number| (format!("connection: \x1b{number}"), number + 1)).collect();
        Progress::Second(Box::new(Second {
            index: 0,
            length_s: 1.0,
            completed: 1000,
            achieved_per_s: rate,
            bytes: 0,
            latency,
            totals: Totals { errors, ..Totals::default() },
            cpu: vec![0.5],
            connections: 50,
        }))
    }

    #[test]
    fn each_stage_is_told() {
        let mut view = view();
        let mut stage = |progress: Progress| {
            view.take(&progress);
            view.line()
        };
        let running = |ms| Progress::Running { alive: 50, completed: 1, elapsed: Duration::from_millis(ms) };
        assert_eq!(stage(Progress::Opening(20)), "run 1 of 1: 20 of 50 connections are open");
        assert_eq!(stage(running(400)), "run 1 of 1: warming up");
        assert_eq!(stage(running(65_600)), "run 1 of 1: 1m 5s of 1m 30s");
        assert_eq!(
            stage(second(1234.0, 2)),
            "run 1 of 1: 1m 5s of 1m 30s, 1,234 messages/s, p50 200 µs, p99 200 µs, 50 connections, 3 errors"
        );
        assert!(stage(running(90_600)).starts_with("run 1 of 1: waiting for the last answers, "));
    }

    #[test]
    fn the_view_has_a_bar_a_strip_and_the_most_frequent_reasons() {
        let mut view = view();
        view.take(&Progress::Running { alive: 50, completed: 1, elapsed: Duration::from_millis(45_250) });
        for rate in [400.0, 400.0, 800.0, 0.0, 100.0] {
            view.take(&second(rate, 6));
        }
        let expected = "run 1 of 1 [===============>              ] 44s of 1m 30s\n\
                        100 messages/s, p50 200 µs, p99 200 µs, 50 connections\n\
                        ██▃ up to 400/s in the last 5 seconds\n\
                        6 × connection: \\u{1b}5\n5 × connection: \\u{1b}4\n4 × connection: \\u{1b}3\n\
                        3 × connection: \\u{1b}2\n… and 2 other reasons";
        assert_eq!(view.text(), expected);
        (0..500).for_each(|_| view.take(&second(1.0, 0)));
        let text = view.text();
        let strip = text.lines().nth(2).unwrap();
        assert!(strip.chars().filter(|character| LEVELS.contains(character)).count() == STRIP_S / COLUMN_S, "{strip}");
        assert_eq!(text.lines().count(), 3);
    }
}
