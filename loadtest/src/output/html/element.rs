//! Writes a document's parts as HTML: every text is escaped, and every figure has its place in the JSON.

use std::fmt::Write as _;

use super::super::document::{Banner, Figure, Heading, Layout, List, Piece, Table, Text, Tile, Tone};
use super::super::words;

/// Most lines of a box.
const MAX_LINES: usize = 20;
/// Most letters in a column of words.
const MAX_WORDS: usize = 24;

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

pub(super) fn heading(heading: &Heading) -> String {
    let (kind, title) = (escape(&heading.kind), escape(&heading.title));
    let mut html = format!("<header><p class=\"kind\">loadtest {kind}</p><h1>{title}</h1>\n");
    for line in &heading.lines {
        let _ = writeln!(html, "<p>{}</p>", escape(line));
    }
    let _ = writeln!(html, "<p class=\"when\">{}</p>\n</header>", escape(&heading.when));
    html
}

pub(super) fn banner(banner: &Banner) -> String {
    let class = match banner.tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Plain => "plain",
    };
    let mut html = format!("<section class=\"banner {class}\"><strong>{}</strong><ul>", escape(&banner.words));
    for line in banner.lines.iter().take(MAX_LINES) {
        let _ = write!(html, "<li>{}</li>", escape(line));
    }
    if banner.lines.len() > MAX_LINES {
        let _ = write!(html, "<li>… and {} more</li>", banner.lines.len() - MAX_LINES);
    }
    html + "</ul></section>\n"
}

pub(super) fn tiles(tiles: &[Tile]) -> String {
    // Choose rows of three or four, so that the last row is as full as possible.
    let class = if matches!(tiles.len() % 3, 1) { "tiles four" } else { "tiles" };
    let mut html = format!("<section class=\"{class}\">\n");
    for tile in tiles {
        let class = if tile.is_bad { "tile bad" } else { "tile" };
        let (name, figure, detail) = (escape(&tile.name), rich(&tile.figure), rich(&tile.detail));
        let _ =
            writeln!(html, r#"<div class="{class}"><h2>{name}</h2><p class="big">{figure}</p><p>{detail}</p></div>"#);
    }
    html + "</section>\n"
}

/// A table in a box that scrolls on a narrow screen. Words that would make a column too wide are put on their own line
/// below their row.
pub(super) fn table(table: &Table) -> String {
    let caption = escape(&table.caption);
    let mut html =
        format!("<section class=\"card\"><div class=\"scroll\"><table><caption>{caption}</caption><thead><tr>");
    for (index, name) in table.header.iter().enumerate() {
        let class = if table.ends_in_words && index == table.header.len() - 1 { " class=\"words\"" } else { "" };
        let _ = write!(html, "<th scope=\"col\"{class}>{}</th>", escape(name));
    }
    html.push_str("</tr></thead><tbody>\n");
    for row in table.rows.iter().take(Table::MAX_ROWS) {
        html.push_str("<tr>");
        let last = row.len().saturating_sub(1);
        let below = row.last().map(rich).filter(|cell| table.ends_in_words && cell.chars().count() > MAX_WORDS);
        for (index, cell) in row.iter().enumerate() {
            let cell = if index == last && below.is_some() { String::new() } else { rich(cell) };
            let _ = match index {
                0 => write!(html, "<th scope=\"row\">{cell}</th>"),
                index if table.ends_in_words && index == last => write!(html, "<td class=\"words\">{cell}</td>"),
                _ => write!(html, "<td>{cell}</td>"),
            };
        }
        html.push_str("</tr>\n");
        if let Some(words) = below {
            let columns = row.len();
            let _ = writeln!(html, "<tr class=\"below\"><td colspan=\"{columns}\"><div>{words}</div></td></tr>");
        }
    }
    html + "</tbody></table></div></section>\n"
}

pub(super) fn lists(lists: &[List], layout: Layout) -> String {
    let class = if layout == Layout::Columns { "columns" } else { "pairs" };
    let mut html = format!("<div class=\"{class}\">\n");
    for list in lists {
        let _ = writeln!(html, "<section class=\"card\"><h2>{}</h2><dl>", escape(&list.heading));
        for (name, text) in &list.facts {
            let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), rich(text));
        }
        html.push_str("</dl></section>\n");
    }
    html + "</div>\n"
}

fn rich(text: &Text) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Words(words) => escape(words),
        Piece::Unit(unit) => format!("<small>{}</small>", escape(unit)),
        Piece::Strong(words) => format!("<b>{}</b>", escape(words)),
        Piece::Bar(_) => String::new(),
        Piece::Figure(figure) => self::figure(figure),
    };
    text.0.iter().map(piece).collect()
}

fn figure(figure: &Figure) -> String {
    let per = figure.per.as_ref().map_or(String::new(), |per| format!(" data-per=\"{}\"", escape(per)));
    let (pointer, text) = (escape(&figure.pointer), escape(&figure.text));
    format!(r#"<data value="{}" data-json="{pointer}"{per}>{text}</data>"#, figure.value)
}
