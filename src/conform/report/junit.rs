//! The results as `JUnit` XML, which CI systems read. Observed cases pass; cases that were not sent are skipped.

use std::fmt::Write;

use super::{Counts, Report};
use crate::conform::verdict::{Judged, Verdict};

pub(super) fn render(report: &Report<'_>) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"PROXY protocol\" time=\"{:.3}\">", report.time.as_secs_f64());
    for (name, members) in report.groups() {
        let counts = Counts::of(members.iter().copied());
        let failures = members.iter().filter(|judged| report.is_failed(judged)).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{}\">",
            Xml(name),
            members.len(),
            counts.skipped
        );
        for judged in members {
            one(report, name, judged, &mut out);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn one(report: &Report<'_>, group: &str, judged: &Judged, out: &mut String) {
    let _ = write!(out, "    <testcase classname=\"{}\" name=\"{}\"", Xml(group), Xml(&judged.job.id()));
    let happened = judged.happened();
    // Writing to a String cannot fail.
    let _ = if report.is_failed(judged) {
        let text = format!("section {}: {} Expected: {}.", judged.job.section(), judged.job.why(), judged.expected());
        writeln!(out, "><failure message=\"{}\">{}</failure></testcase>", Xml(&happened), Xml(&text))
    } else if judged.verdict == Verdict::Skipped {
        writeln!(out, "><skipped message=\"{}\"/></testcase>", Xml(&happened))
    } else if judged.verdict == Verdict::Passed {
        writeln!(out, "/>")
    } else {
        writeln!(out, "><system-out>{}</system-out></testcase>", Xml(&happened))
    };
}

/// Escapes text inside an element or an attribute. The texts have no control characters.
struct Xml<'a>(&'a str);

impl std::fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
