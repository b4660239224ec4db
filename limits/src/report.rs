//! The result, in words and as JSON.

use std::fmt;

use serde::{Serialize, Serializer};

/// Each limit, and whether it is high enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `server` or `client`.
    pub end: &'static str,
    /// The connections that were asked for.
    pub connections: u64,
    /// The limits, in the order in which connections meet them.
    pub limits: Vec<Limit>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// A stable name for programs.
    pub name: &'static str,
    /// What it limits, and the kernel's name for it.
    pub what: &'static str,
    /// The value that the connections need.
    pub need: u64,
    /// The machine's value; `None` if it cannot be read. In JSON, `u64::MAX` is the word `unlimited`.
    #[serde(serialize_with = "amount")]
    pub have: Option<u64>,
    /// Whether it is high enough.
    pub verdict: Verdict,
    /// The unknown condition under which the limit is met.
    pub condition: Option<&'static str>,
    /// The command that raises it, unless it is known to be high enough.
    pub command: Option<String>,
}

/// Whether a limit is high enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// High enough.
    Enough,
    /// Too low.
    Short,
    /// Too low under a condition that a snapshot does not show.
    Conditional,
    /// The machine's value cannot be read.
    Unknown,
}

impl Report {
    /// Whether a limit is known to be too low.
    #[must_use]
    pub fn stands_in_the_way(&self) -> bool {
        self.count(Verdict::Short) > 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.limits.iter().filter(|limit| limit.verdict == verdict).count()
    }

    /// The report as an indented JSON object, as docs/schema/limits-1.json describes it.
    #[must_use]
    pub fn json(&self) -> String {
        // Serialisation fails only for maps with keys that are not strings; there are none.
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn amount<S: Serializer>(have: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match have {
        Some(u64::MAX) => serializer.serialize_str("unlimited"),
        have => have.serialize(serializer),
    }
}

/// A line for each limit with its command below it, and a sentence at the end.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Limit { what, need, have, verdict, condition, command, .. } in &self.limits {
            let word = match verdict {
                Verdict::Enough => "ok",
                Verdict::Short => "SHORT",
                Verdict::Conditional => "perhaps",
                Verdict::Unknown => "unknown",
            };
            write!(f, "{word:<8} {what}: needed {need}, ")?;
            match have {
                None => writeln!(f, "because the system does not tell what there is")?,
                Some(u64::MAX) => writeln!(f, "no limit")?,
                Some(have) => writeln!(f, "there are {have}")?,
            }
            if let Some(condition) = condition {
                writeln!(f, "         only if {condition}")?;
            }
            if let Some(command) = command {
                writeln!(f, "         {command}")?;
            }
        }
        let short = self.count(Verdict::Short);
        let plural = if self.connections == 1 { "" } else { "s" };
        let subject = format!("{} connection{plural} of a {}", self.connections, self.end);
        match short {
            0 => write!(f, "nothing known stands in the way of {subject}")?,
            1 => write!(f, "1 limit stands in the way of {subject}")?,
            _ => write!(f, "{short} limits stand in the way of {subject}")?,
        }
        match self.count(Verdict::Unknown) {
            0 => writeln!(f),
            unknown => writeln!(f, "; unknown: {unknown}"),
        }
    }
}
