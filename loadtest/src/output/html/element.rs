//! The page's smallest parts: text that was made harmless, and figures that say where in the JSON they are from.

use std::fmt::Write as _;

use super::super::words;
use crate::result::{Samples, percentile_name};

/// `text` as HTML's text or attribute value, without control characters.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in words::plain(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A figure that is in the JSON at `pointer` (RFC 6901): its exact value, and `text` to read.
pub(super) fn figure(pointer: &str, value: impl Into<serde_json::Number>, text: &str) -> String {
    let value: serde_json::Number = value.into();
    format!(r#"<data value="{value}" data-json="{}">{}</data>"#, escape(pointer), escape(text))
}

/// A figure with a fraction; one that is no number, which JSON does not know, is merely text.
pub(super) fn fraction(pointer: &str, value: f64, text: &str) -> String {
    serde_json::Number::from_f64(value).map_or_else(|| escape(text), |number| figure(pointer, number, text))
}

/// A figure that is the quotient of two in the JSON.
pub(super) fn quotient(pointer: &str, per: &str, value: f64, text: &str) -> String {
    let (pointer, per) = (escape(pointer), escape(per));
    format!(r#"<data value="{value}" data-json="{pointer}" data-per="{per}">{}</data>"#, escape(text))
}

/// A time in ns.
pub(super) fn time(pointer: &str, ns: u64) -> String {
    figure(pointer, ns, &words::time(ns as f64))
}

/// A time in ns, or a dash.
pub(super) fn optional_time(pointer: &str, ns: Option<u64>) -> String {
    ns.map_or_else(|| words::NOTHING.to_owned(), |ns| time(pointer, ns))
}

/// A count.
pub(super) fn count(pointer: &str, count: u64) -> String {
    figure(pointer, count, &words::count(count))
}

/// A percentile of the samples at `pointer`, or a dash where the sample does not support it.
pub(super) fn percentile(pointer: &str, samples: &Samples, percentile: f64) -> String {
    let pointer = format!("{pointer}/percentiles_ns/{}", percentile_name(percentile));
    optional_time(&pointer, samples.percentile_ns(percentile))
}

/// A table of figures, in a box that scrolls by itself on a narrow screen. The cells are HTML.
pub(super) fn table(caption: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = format!("<div class=\"scroll\"><table><caption>{caption}</caption><thead><tr>");
    for name in header {
        let _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let _ = if index == 0 {
                write!(html, "<th scope=\"row\">{cell}</th>")
            } else {
                write!(html, "<td>{cell}</td>")
            };
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody></table></div>\n"
}

/// Names and what they are. What they are is HTML.
pub(super) fn list(heading: &str, facts: &[(&str, String)]) -> String {
    let mut html = format!("<section class=\"card\"><h2>{}</h2><dl>\n", escape(heading));
    for (name, text) in facts {
        let _ = writeln!(html, "<dt>{}</dt><dd>{text}</dd>", escape(name));
    }
    html + "</dl></section>\n"
}
