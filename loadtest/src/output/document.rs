//! A report's content: headings, boxes, tables and lists. `text` and `html` only lay it out. Each figure has its place
//! in the JSON.

use serde_json::Number;

use super::words;
use crate::result::Known;

/// The parts of a report, in order.
pub(super) type Document = Vec<Part>;

/// A piece of a document.
pub(super) enum Part {
    Heading(Heading),
    Banner(Banner),
    Tiles(Vec<Tile>),
    Table(Table),
    /// The place of the page's pictures.
    Pictures,
    /// Lists in columns; those of two targets are side by side.
    Lists(Vec<List>, Layout),
}

/// The layout of lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Columns,
    SideBySide,
}

/// The heading: what was measured.
pub(super) struct Heading {
    pub kind: String,
    pub title: String,
    pub lines: Vec<String>,
    pub when: String,
}

/// A few prominent words, with lines below.
pub(super) struct Banner {
    pub tone: Tone,
    pub words: String,
    pub lines: Vec<String>,
}

/// The meaning of a [`Banner`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Plain,
}

/// A big figure: its name, the figure, and a remark.
pub(super) struct Tile {
    pub name: String,
    pub figure: Text,
    pub detail: Text,
    pub is_bad: bool,
    /// Text has the figure in a table already.
    pub on_page_alone: bool,
}

/// Figures in columns. The first column is names.
pub(super) struct Table {
    pub caption: String,
    pub header: Vec<String>,
    pub rows: Vec<Vec<Text>>,
    /// Whether the last column is words.
    pub ends_in_words: bool,
    /// Most rows in text, which leaves out the table if it is 0; the page has at most [`Table::MAX_ROWS`].
    pub rows_in_text: usize,
}

impl Table {
    /// Most rows on the page.
    pub(super) const MAX_ROWS: usize = 100;
}

/// Names with their values.
pub(super) struct List {
    pub heading: String,
    pub facts: Vec<(&'static str, Text)>,
    /// Whether only the page shows the list, because it is too long for text.
    pub on_page_alone: bool,
}

/// Words and figures.
#[derive(Clone, Default)]
pub(super) struct Text(pub Vec<Piece>);

/// A piece of a [`Text`].
#[derive(Clone)]
pub(super) enum Piece {
    Words(String),
    /// The unit of a large figure, in smaller letters.
    Unit(&'static str),
    Strong(String),
    /// A bar of this many twentieths. The page has a picture instead.
    Bar(usize),
    Figure(Figure),
}

/// A figure with its exact value and its place in the JSON.
#[derive(Clone)]
pub(super) struct Figure {
    pub text: String,
    pub value: Number,
    /// Its place in the JSON (RFC 6901); of a sum several places, separated by spaces.
    pub pointer: String,
    /// The divisor's place, if it is a quotient.
    pub per: Option<String>,
}

impl Text {
    /// The text followed by `more`.
    pub(super) fn and(mut self, more: impl Into<Text>) -> Self {
        self.0.extend(more.into().0);
        self
    }

    /// Several texts, separated by `between`.
    pub(super) fn joined(texts: impl IntoIterator<Item = Text>, between: &str) -> Self {
        texts.into_iter().fold(
            Text::default(),
            |text, more| {
                if text.0.is_empty() { more } else { text.and(between).and(more) }
            },
        )
    }
}

impl From<String> for Text {
    fn from(words: String) -> Self {
        Text(vec![Piece::Words(words)])
    }
}

impl From<&str> for Text {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<Piece> for Text {
    fn from(piece: Piece) -> Self {
        Text(vec![piece])
    }
}

/// A figure that is in the JSON at `pointer`, and `text` to read.
pub(super) fn figure(pointer: &str, value: impl Into<Number>, text: String) -> Text {
    Piece::Figure(Figure { text, value: value.into(), pointer: pointer.to_owned(), per: None }).into()
}

/// A figure with a fraction; NaN and infinity, which JSON does not have, become text.
pub(super) fn fraction(pointer: &str, value: f64, text: String) -> Text {
    match Number::from_f64(value) {
        Some(number) => figure(pointer, number, text),
        None => text.into(),
    }
}

/// A figure that is the quotient of two in the JSON.
pub(super) fn quotient(pointer: &str, per: &str, value: f64, text: String) -> Text {
    match Number::from_f64(value) {
        Some(value) => {
            Piece::Figure(Figure { text, value, pointer: pointer.to_owned(), per: Some(per.to_owned()) }).into()
        }
        None => text.into(),
    }
}

/// A rate a second.
pub(super) fn rate(pointer: &str, rate: f64) -> Text {
    fraction(pointer, rate, words::number(rate)).and("/s")
}

/// A time in ns.
pub(super) fn time(pointer: &str, ns: u64) -> Text {
    figure(pointer, ns, words::time(ns as f64))
}

/// The figure `name` of the times at `pointer`; a bound if only that is known, or a dash.
pub(super) fn known(pointer: &str, name: &str, ns: Option<Known>) -> Text {
    match ns {
        None => words::NOTHING.into(),
        Some(Known::Exactly(ns)) if name.starts_with('p') => {
            time(&format!("{pointer}/percentiles_ns/{name}"), ns as u64)
        }
        Some(Known::Exactly(ns)) => fraction(&format!("{pointer}/{name}_ns"), ns, words::time(ns)),
        Some(Known::AtLeast(ns)) => Text::from("≥ ").and(time(&format!("{pointer}/at_least_ns/{name}"), ns as u64)),
    }
}

/// The `text` of a value, or a dash.
pub(super) fn optional<T>(value: Option<T>, text: impl FnOnce(T) -> Text) -> Text {
    value.map_or_else(|| words::NOTHING.into(), text)
}

/// A time in ns, or a dash.
pub(super) fn optional_time(pointer: &str, ns: Option<u64>) -> Text {
    ns.map_or_else(|| words::NOTHING.into(), |ns| time(pointer, ns))
}

/// A count.
pub(super) fn count(pointer: &str, count: u64) -> Text {
    figure(pointer, count, words::count(count))
}

/// A number of bytes.
pub(super) fn bytes(pointer: &str, bytes: f64) -> Text {
    fraction(pointer, bytes, words::bytes(bytes))
}

/// A share of 0 to 1.
pub(super) fn percent(pointer: &str, share: f64) -> Text {
    fraction(pointer, share, words::percent(share))
}
