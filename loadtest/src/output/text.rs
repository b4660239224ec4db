//! Writes a document for a terminal.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table as Grid, TableStyle};

use super::document::{Banner, Document, Heading, List, Part, Piece, Table, Text, Tile, Tone};
use super::words::plain;

/// The column at which a name's value begins.
const INDENT: usize = 16;
/// Most lines of a box.
const MAX_LINES: usize = 20;
/// Length of the longest bar, and the space after it.
const BAR: usize = 21;

/// Writes `document`, with emphasis in colour if the terminal has colours.
pub(super) fn write(out: &mut dyn Write, document: &Document, is_coloured: bool) -> io::Result<()> {
    let paint = Paint { is_coloured };
    let mut was_line = false;
    for part in document {
        // Boxes and tiles are lines of one block.
        let is_line = matches!(part, Part::Banner(_) | Part::Tiles(_) | Part::Lists(..));
        if is_line && !was_line {
            writeln!(out)?;
        }
        was_line = is_line;
        match part {
            Part::Heading(heading) => self::heading(out, paint, heading)?,
            Part::Banner(banner) => self::banner(out, paint, banner)?,
            Part::Tiles(tiles) => {
                tiles.iter().filter(|tile| !tile.on_page_alone).try_for_each(|tile| self::tile(out, paint, tile))?;
            }
            Part::Table(table) => self::table(out, table)?,
            Part::Pictures => {}
            Part::Lists(lists, _) => {
                lists.iter().filter(|list| !list.on_page_alone).try_for_each(|list| self::list(out, list))?;
            }
        }
    }
    Ok(())
}

fn heading(out: &mut dyn Write, paint: Paint, heading: &Heading) -> io::Result<()> {
    writeln!(out, "{}", paint.bold(&plain(&format!("{} {}", heading.kind, heading.title))))?;
    heading.lines.iter().try_for_each(|line| writeln!(out, "{}", plain(line)))
}

fn banner(out: &mut dyn Write, paint: Paint, banner: &Banner) -> io::Result<()> {
    let words = format!("{:<width$}", banner.words, width = INDENT - 1);
    let words = match banner.tone {
        Tone::Good => paint.good(&words),
        Tone::Bad => paint.bad(&words),
        Tone::Plain => words,
    };
    let (first, others) = banner.lines.split_first().map_or(("", &[][..]), |(first, others)| (first, others));
    let colon = if banner.words.len() < INDENT { "" } else { ":" };
    writeln!(out, "{words}{colon} {}", plain(first))?;
    for line in others.iter().take(MAX_LINES - 1) {
        writeln!(out, "{:INDENT$}{}", "", plain(line))?;
    }
    rest(out, banner.lines.len(), MAX_LINES)
}

fn tile(out: &mut dyn Write, paint: Paint, tile: &Tile) -> io::Result<()> {
    let figure = words(&tile.figure);
    let figure = if tile.is_bad { paint.bad(&figure) } else { paint.bold(&figure) };
    writeln!(out, "{:<width$} {figure}  {}", tile.name, words(&tile.detail), width = INDENT - 1)
}

fn list(out: &mut dyn Write, list: &List) -> io::Result<()> {
    for (name, text) in &list.facts {
        // With two targets, the list's heading begins with the letter.
        let side = list.heading.split_once(": ").map_or(String::new(), |(letter, _)| format!("{letter} "));
        writeln!(out, "{:<width$} {}", format!("{side}{name}"), words(text), width = INDENT - 1)?;
    }
    Ok(())
}

/// Writes a table below an empty line.
fn table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    if table.rows_in_text == 0 {
        return Ok(());
    }
    let mut grid = Grid::new();
    grid.load_style(TableStyle::new()).set_header(&table.header);
    for row in table.rows.iter().take(table.rows_in_text) {
        grid.add_row(row.iter().map(words).collect::<Vec<_>>());
    }
    let last = grid.column_count().saturating_sub(1);
    for (index, column) in grid.column_iter_mut().enumerate() {
        let is_left = index == 0 || (index == last && table.ends_in_words);
        column.set_padding((0, 2));
        column.set_cell_alignment(if is_left { CellAlignment::Left } else { CellAlignment::Right });
    }
    writeln!(out, "\n{}", grid.trim_fmt())?;
    rest(out, table.rows.len(), table.rows_in_text)
}

fn rest(out: &mut dyn Write, lines: usize, shown: usize) -> io::Result<()> {
    if lines > shown { writeln!(out, "… and {} more, in the JSON file", lines - shown) } else { Ok(()) }
}

fn words(text: &Text) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Words(words) | Piece::Strong(words) => plain(words),
        Piece::Unit(unit) => (*unit).to_owned(),
        Piece::Bar(length) => format!("{:<BAR$}", "█".repeat(*length)),
        Piece::Figure(figure) => plain(&figure.text),
    };
    text.0.iter().map(piece).collect()
}

/// Emphasis, if it is shown.
#[derive(Clone, Copy)]
struct Paint {
    is_coloured: bool,
}

impl Paint {
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn good(self, text: &str) -> String {
        self.with("1;32", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
