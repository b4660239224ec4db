//! Writes metrics in the two text formats that Prometheus reads: its own, version 0.0.4, and OpenMetrics 1.0. They differ
//! in their comments and in the last line.
//!
//! ```
//! use proxy_echo_exposition::{Format, Writer};
//!
//! let mut out = Writer::new(Format::OpenMetrics, 1024);
//! out.counter("echo_received_bytes", "Payload received", 7);
//! assert!(out.finish().ends_with("bytes\necho_received_bytes_total 7\n# EOF\n"));
//! ```

use std::fmt::{Arguments, Display, Write};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format, version 0.0.4: comments name a counter with `_total`, as its samples do.
    Prometheus,
    /// OpenMetrics 1.0: comments name a counter without `_total` and state units; the text ends with `# EOF`.
    OpenMetrics,
}

impl Format {
    /// The format for a request with these values of its field `Accept`: OpenMetrics only if it is named.
    pub fn accepted<'a>(mut values: impl Iterator<Item = &'a str>) -> Self {
        if values.any(|value| value.contains("application/openmetrics-text")) {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    /// The value of the field `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
}

/// A text that grows by metrics. The names of counters are without `_total`.
#[derive(Debug)]
pub struct Writer {
    text: String,
    format: Format,
}

impl Writer {
    /// An empty text, with room for this many bytes.
    #[must_use]
    pub fn new(format: Format, capacity: usize) -> Self {
        Writer { text: String::with_capacity(capacity), format }
    }

    /// A gauge with one sample.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], value);
    }

    /// A counter with one sample.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.counters(name, help, [([], value)].into_iter());
    }

    /// A counter with a sample for each set of labels.
    pub fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = ([(&'a str, &'a str); N], impl Display)>,
    ) {
        self.family(name, Kind::Counter, help);
        let name = format!("{name}_total");
        for (labels, count) in counts {
            self.sample(&name, &labels, count);
        }
    }

    /// The comments before a metric's samples.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let is_open = self.format == Format::OpenMetrics;
        let total = if kind == Kind::Counter && !is_open { "_total" } else { "" };
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name}{total} {help}\n# TYPE {name}{total} {word}\n"));
        let unit = ["seconds", "bytes", "ratio"].into_iter().find(|&unit| is_open && name.ends_with(unit));
        if let Some(unit) = unit {
            self.line(format_args!("# UNIT {name} {unit}\n"));
        }
    }

    /// A sample, by its full name.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            self.line(format_args!("{before}{label}=\""));
            self.escaped(text);
            self.text.push('"');
        }
        let after = if labels.is_empty() { "" } else { "}" };
        self.line(format_args!("{after} {value}\n"));
    }

    /// The whole text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// The value of a label. Both formats escape backslash, quote and newline.
    fn escaped(&mut self, mut text: &str) {
        while let Some(place) = text.find(['\\', '"', '\n']) {
            let (plain, rest) = text.split_at(place);
            let escape = match rest.as_bytes()[0] {
                b'\n' => "\\n",
                b'"' => "\\\"",
                _ => "\\\\",
            };
            self.text.push_str(plain);
            self.text.push_str(escape);
            text = &rest[1..];
        }
        self.text.push_str(text);
    }

    fn line(&mut self, text: Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_may_have_any_text() {
        let mut out = Writer::new(Format::Prometheus, 0);
        out.counters("errors", "Errors", [([("reason", "a \"b\"\\\nü")], 2)].into_iter());
        let text =
            "# HELP errors_total Errors\n# TYPE errors_total counter\nerrors_total{reason=\"a \\\"b\\\"\\\\\\nü\"} 2\n";
        assert_eq!(out.finish(), text);
    }
}
