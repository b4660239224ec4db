//! The counts of a run, and how the counts of its parts add up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of a whole run, warm-up included unless the name says "measured".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Connections that were established.
    pub connections_opened: u64,
    /// Connects that failed.
    pub connections_failed: u64,
    /// Connections that the target closed or reset while they were needed.
    pub connections_lost: u64,
    /// Connections that were open at the end, when everything was to be open.
    pub connections_alive: u64,
    /// Messages that were sent whole or in part.
    pub requests_sent: u64,
    /// Messages that came back whole.
    pub requests_completed: u64,
    /// Messages that were sent and did not come back in the time that was left for it at the end.
    pub requests_unanswered: u64,
    /// Open loop: messages that were due and not sent, because no connection was free for them.
    pub requests_unsent: u64,
    /// Messages that came back within the measured time.
    pub measured_completed: u64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Payload bytes received within the measured time.
    pub measured_bytes: u64,
    /// Header lines that the target sent back before the payload.
    pub headers_reflected: u64,
    /// Verification failures, by kind.
    pub verification: Verification,
    /// Why connects failed and connections were lost, in the system's words, with how often.
    pub errors: BTreeMap<String, u64>,
}

impl Totals {
    /// The places in the JSON of the counts that [`Totals::errors`] adds up.
    pub const ERRORS: [&str; 8] = [
        "connections_failed",
        "connections_lost",
        "requests_unanswered",
        "verification/corrupted",
        "verification/lost",
        "verification/duplicated",
        "verification/crossed",
        "verification/header",
    ];

    /// Failed connects, lost connections, unanswered messages and verification failures.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.connections_failed + self.connections_lost + self.requests_unanswered + self.verification.total()
    }

    /// Adds those of another part of the same measurement.
    pub fn add(&mut self, other: &Totals) {
        self.connections_opened += other.connections_opened;
        self.connections_failed += other.connections_failed;
        self.connections_lost += other.connections_lost;
        self.connections_alive += other.connections_alive;
        self.requests_sent += other.requests_sent;
        self.requests_completed += other.requests_completed;
        self.requests_unanswered += other.requests_unanswered;
        self.requests_unsent += other.requests_unsent;
        self.measured_completed += other.measured_completed;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.measured_bytes += other.measured_bytes;
        self.headers_reflected += other.headers_reflected;
        self.verification.add(other.verification);
        for (text, count) in &other.errors {
            *self.errors.entry(text.clone()).or_default() += count;
        }
    }
}

/// Verification failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Places where bytes were changed.
    pub corrupted: u64,
    /// Places where bytes were left out.
    pub lost: u64,
    /// Places where bytes came twice, or that were never asked for.
    pub duplicated: u64,
    /// Places where another connection's bytes came.
    pub crossed: u64,
    /// Header lines that were due and did not come, or came damaged.
    pub header: u64,
}

impl Verification {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.corrupted + self.lost + self.duplicated + self.crossed + self.header
    }

    fn add(&mut self, other: Self) {
        self.corrupted += other.corrupted;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.crossed += other.crossed;
        self.header += other.header;
    }
}
