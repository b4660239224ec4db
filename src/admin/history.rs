//! The figures of the last hour, and the highest since the start, in a ring of fixed size.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::View;
use super::snapshot::timestamp;
use crate::observe::json::Text;

/// Samples of the last hour, the oldest first.
pub(super) struct History {
    samples: VecDeque<Sample>,
    /// When the next sample is due.
    next_ms: u64,
    /// The figures at the last call of [`History::note`].
    last: Figures,
    /// The figures at the last sample.
    sampled: Figures,
    highest: Highest,
}

/// The changes during a period, and the state at its end.
struct Sample {
    received: u64,
    sent: u64,
    held: u64,
    active: u32,
    accepted: u32,
    refused: u32,
}

const _: () = assert!(size_of::<Sample>() <= 40);

#[derive(Clone, Copy, Default)]
struct Figures {
    active: u64,
    held: u64,
    accepted: u64,
    refused: u64,
    received: u64,
    sent: u64,
}

/// The highest figures since the start.
#[derive(Clone, Copy, Default)]
struct Highest {
    active: Peak,
    held: Peak,
    accepted: Peak,
    received: Peak,
    sent: Peak,
}

#[derive(Clone, Copy, Default)]
struct Peak {
    value: u64,
    at_ms: u64,
}

impl Peak {
    fn note(&mut self, value: u64, at_ms: u64) {
        if value > self.value {
            *self = Peak { value, at_ms };
        }
    }
}

impl History {
    const PERIOD_MS: u64 = 10_000;
    const MAX_SAMPLES: usize = 360;

    pub(super) fn new() -> Self {
        History {
            samples: VecDeque::with_capacity(Self::MAX_SAMPLES),
            next_ms: Self::PERIOD_MS,
            last: Figures::default(),
            sampled: Figures::default(),
            highest: Highest::default(),
        }
    }

    /// Takes the samples that are due. It is called in each turn with chores. While there are connections, such a turn
    /// comes every second; without connections nothing changes. The figures of the last call are therefore valid until
    /// now.
    pub(super) fn note(&mut self, view: &View<'_>) {
        while self.next_ms <= view.now_ms {
            self.sample();
        }
        let metrics = view.journal.metrics();
        self.last = Figures {
            active: view.connections.len() as u64,
            held: view.budget.held() as u64,
            accepted: metrics.accepted,
            refused: metrics.refused_total,
            received: metrics.received,
            sent: metrics.sent,
        };
        self.highest.active.note(metrics.most_active, view.now_ms);
        self.highest.held.note(self.last.held, view.now_ms);
    }

    fn sample(&mut self) {
        let Figures { active, held, accepted, refused, received, sent } = self.last;
        let before = std::mem::replace(&mut self.sampled, self.last);
        if self.samples.len() == Self::MAX_SAMPLES {
            self.samples.pop_front();
        }
        let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let sample = Sample {
            received: received - before.received,
            sent: sent - before.sent,
            held,
            active: few(active),
            accepted: few(accepted - before.accepted),
            refused: few(refused - before.refused),
        };
        self.highest.accepted.note(sample.accepted.into(), self.next_ms);
        self.highest.received.note(sample.received, self.next_ms);
        self.highest.sent.note(sample.sent, self.next_ms);
        self.samples.push_back(sample);
        self.next_ms += Self::PERIOD_MS;
    }

    /// The document of `/history.json`.
    pub(super) fn document(&self, started: SystemTime) -> impl Serialize {
        Document { history: self, started }
    }

    /// The highest figures, for `/status.json`.
    pub(super) fn highest(&self, started: SystemTime) -> impl Serialize + use<> {
        let Highest { active, held, accepted, received, sent } = self.highest;
        let peak = |Peak { value, at_ms }| PeakDocument { value, time: (value > 0).then(|| timestamp(started, at_ms)) };
        // The average per second in the period.
        let rate = |Peak { value, at_ms }| peak(Peak { value: value * 1000 / Self::PERIOD_MS, at_ms });
        HighestDocument {
            active: peak(active),
            held_bytes: peak(held),
            accepted_per_second: rate(accepted),
            bytes_in_per_second: rate(received),
            bytes_out_per_second: rate(sent),
        }
    }
}

#[derive(Serialize)]
struct PeakDocument {
    value: u64,
    time: Option<Text<humantime::Rfc3339Timestamp>>,
}

#[derive(Serialize)]
struct HighestDocument {
    active: PeakDocument,
    held_bytes: PeakDocument,
    accepted_per_second: PeakDocument,
    bytes_in_per_second: PeakDocument,
    bytes_out_per_second: PeakDocument,
}

/// A column for each figure. Counts are per period.
struct Document<'a> {
    history: &'a History,
    started: SystemTime,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let History { samples, next_ms, .. } = self.history;
        let mut map = serializer.serialize_struct("History", 8)?;
        map.serialize_field("period_seconds", &Duration::from_millis(History::PERIOD_MS).as_secs())?;
        map.serialize_field("end", &timestamp(self.started, next_ms - History::PERIOD_MS))?;
        map.serialize_field("active", &Column(samples, |sample| sample.active.into()))?;
        map.serialize_field("accepted", &Column(samples, |sample| sample.accepted.into()))?;
        map.serialize_field("refused", &Column(samples, |sample| sample.refused.into()))?;
        map.serialize_field("bytes_in", &Column(samples, |sample| sample.received))?;
        map.serialize_field("bytes_out", &Column(samples, |sample| sample.sent))?;
        map.serialize_field("held", &Column(samples, |sample| sample.held))?;
        map.end()
    }
}

struct Column<'a>(&'a VecDeque<Sample>, fn(&Sample) -> u64);

impl Serialize for Column<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::Fixture;
    use super::*;

    fn document(history: &History) -> Value {
        serde_json::to_value(history.document(SystemTime::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn what_happened_stands_in_its_period() {
        let (mut history, mut fixture) = (History::new(), Fixture::new(0, &[]));
        let mut at = |fixture: &Fixture, now_ms| history.note(&View { now_ms, ..fixture.view() });
        at(&fixture, 0);
        fixture.open(0, &[]);
        fixture.open(1, &[]);
        at(&fixture, 9_999);
        fixture.close(0);
        at(&fixture, 10_000);
        // For a while nothing happens, and so there is no turn.
        fixture.open(2, &[]);
        at(&fixture, 45_000);
        at(&fixture, 50_000);
        let document = document(&history);
        assert_eq!(document["active"], json!([2, 1, 1, 1, 2]));
        assert_eq!(document["accepted"], json!([2, 0, 0, 0, 1]));
        assert_eq!((&document["end"], &document["period_seconds"]), (&"1970-01-01T00:00:50Z".into(), &10.into()));
    }

    #[test]
    fn it_ends_after_an_hour() {
        let (mut history, fixture) = (History::new(), Fixture::new(3, &[]));
        for hour in 0..4 {
            history.note(&View { now_ms: hour * 3_600_000, ..fixture.view() });
        }
        history.note(&View { now_ms: 10_800_001, ..fixture.view() });
        let document = document(&history);
        assert_eq!(document["active"].as_array().unwrap().len(), History::MAX_SAMPLES);
        assert_eq!(document["end"], "1970-01-01T03:00:00Z");
        assert_eq!(history.samples.capacity(), History::MAX_SAMPLES, "the ring does not grow");
        let highest = serde_json::to_value(history.highest(SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(highest["active"], json!({"value": 3, "time": "1970-01-01T00:00:00Z"}));
        assert_eq!(highest["bytes_in_per_second"], json!({"value": 0, "time": null}));
    }
}
