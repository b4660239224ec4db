//! What was found, in words and as JSON.

use std::fmt;

use serde::{Serialize, Serializer};

/// Each limit, and whether it is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `server` or `client`.
    pub end: &'static str,
    /// The connections that were asked for.
    pub connections: u64,
    /// The limits, in the order in which they are met.
    pub limits: Vec<Limit>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// A word for programs.
    pub name: &'static str,
    /// What it limits, and the kernel's name of it.
    pub what: &'static str,
    /// What the connections need of it.
    pub need: u64,
    /// What there is; `None` if the system does not tell. As JSON, `u64::MAX` is the word `unlimited`.
    #[serde(serialize_with = "amount")]
    pub have: Option<u64>,
    /// Whether it is enough.
    pub verdict: Verdict,
    /// What must hold for the limit to be met, if that is not known.
    pub condition: Option<&'static str>,
    /// What changes it, if it is not known to be enough.
    pub command: Option<String>,
}

/// Whether a limit is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Enough,
    /// It is not.
    Short,
    /// It is not, if something holds that a snapshot does not show.
    Conditional,
    /// The system does not tell what there is.
    Unknown,
}

impl Report {
    /// Whether a limit is known to be short.
    #[must_use]
    pub fn stands_in_the_way(&self) -> bool {
        self.count(Verdict::Short) > 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.limits.iter().filter(|limit| limit.verdict == verdict).count()
    }

    /// The report as a JSON object on lines of its own, as docs/schema/limits-1.json describes it.
    #[must_use]
    pub fn json(&self) -> String {
        // There is no map whose keys could fail.
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

/// A line for each limit, its command below it, and a sentence at the end.
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
