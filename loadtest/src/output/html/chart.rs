//! A picture: lines on two axes, as SVG with the colours of the page.

use std::fmt::Write as _;

use super::axis::Axis;
use super::element::escape;

/// A picture with its heading and legend.
pub(super) struct Chart {
    /// Its heading, in a few words.
    pub heading: &'static str,
    /// The explanation that a reader needs.
    pub explanation: String,
    pub x: Axis,
    pub x_name: &'static str,
    pub y: Axis,
    pub y_name: &'static str,
    pub lines: Vec<Line>,
    pub dots: Vec<Dot>,
    /// Places on the x axis at which a new run begins.
    pub dividers: Vec<f64>,
    /// A figure of the y axis to compare with, and its name.
    pub level: Option<(f64, String)>,
}

/// A line, or several pieces of one.
pub(super) struct Line {
    pub name: String,
    pub look: Look,
    /// Whether the area below is tinted.
    pub is_area: bool,
    pub pieces: Vec<Vec<(f64, f64)>>,
}

/// The look of a line; the page's style has the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    First,
    Second,
    Third,
    Fourth,
    Fifth,
    Sixth,
    Seventh,
    Eighth,
    /// What was asked for, behind what several targets did.
    Asked,
    /// The SLO was not met.
    Bad,
}

impl Look {
    /// The colours of targets or runs, in order: one for each of the most that are shown side by side.
    pub(super) const SIDES: [Look; 8] =
        [Look::First, Look::Second, Look::Third, Look::Fourth, Look::Fifth, Look::Sixth, Look::Seventh, Look::Eighth];

    pub(super) fn class(self) -> &'static str {
        match self {
            Look::First => "first",
            Look::Second => "second",
            Look::Third => "third",
            Look::Fourth => "fourth",
            Look::Fifth => "fifth",
            Look::Sixth => "sixth",
            Look::Seventh => "seventh",
            Look::Eighth => "eighth",
            Look::Asked => "asked",
            Look::Bad => "bad",
        }
    }
}

/// A place with its description.
pub(super) struct Dot {
    pub look: Look,
    pub x: f64,
    pub y: f64,
    /// Shown when pointed at.
    pub title: String,
    /// Shown beside it.
    pub label: Option<String>,
}

/// The area to draw on, in px, with room for the marks' labels around the lines.
struct Canvas {
    class: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// The picture is drawn in two widths, because the letters of the wide one would be too small on a telephone. The style
/// shows one of them.
const CANVASES: [Canvas; 2] = [
    Canvas { class: "wide", width: 880.0, height: 300.0, left: 72.0, right: 24.0, top: 40.0, bottom: 46.0 },
    Canvas { class: "narrow", width: 360.0, height: 280.0, left: 66.0, right: 14.0, top: 40.0, bottom: 44.0 },
];

/// Approximate width of the widest letter of labels and values, in px.
const LETTER: f64 = 8.0;
const BOLD_LETTER: f64 = 9.0;
/// How far the letters of a value reach above and below the line they stand on, in px.
const ASCENT: f64 = 12.0;
const DESCENT: f64 = 4.0;
/// The radius of a dot, in px.
const RADIUS: f64 = 4.0;

impl Chart {
    /// The picture in all its sizes.
    pub(super) fn html(&self) -> String {
        let heading = escape(self.heading);
        let mut html =
            format!("<figure class=\"card\">\n<figcaption><h2>{heading}</h2><p>{}</p>", escape(&self.explanation));
        let named: Vec<_> = self.lines.iter().filter(|line| !line.name.is_empty()).collect();
        if !named.is_empty() || self.level.is_some() {
            html.push_str("<ul class=\"legend\">");
            for line in named {
                let _ = write!(html, "<li class=\"{}\">{}</li>", line.look.class(), escape(&line.name));
            }
            if let Some((_, name)) = &self.level {
                let _ = write!(html, "<li class=\"level\">{}</li>", escape(name));
            }
            html.push_str("</ul>");
        }
        html.push_str("</figcaption>\n");
        for canvas in &CANVASES {
            self.draw(canvas, &mut html);
        }
        html + "</figure>\n"
    }

    fn draw(&self, canvas: &Canvas, html: &mut String) {
        let Canvas { class, width, height, .. } = canvas;
        let _ = writeln!(html, r#"<svg class="{class}" viewBox="0 0 {width} {height}" role="img" aria-label="{}">"#, {
            escape(self.heading)
        });
        self.draw_axes(canvas, html);
        for divider in &self.dividers {
            let x = canvas.x(&self.x, *divider);
            let _ = writeln!(html, r#"<path class="divider" d="M{x:.1} {:.1}V{:.1}"/>"#, canvas.top, canvas.floor());
        }
        if let Some((value, _)) = &self.level {
            let y = canvas.y(&self.y, *value);
            let _ = writeln!(html, r#"<path class="level" d="M{:.1} {y:.1}H{:.1}"/>"#, canvas.left, canvas.wall());
        }
        // The first line is the most important: draw it last, on top.
        for line in self.lines.iter().rev() {
            self.draw_line(canvas, line, html);
        }
        for dot in &self.dots {
            let (x, y) = (canvas.x(&self.x, dot.x), canvas.y(&self.y, dot.y));
            let look = dot.look.class();
            let title = escape(&dot.title);
            let _ = writeln!(
                html,
                r#"<circle class="{look}" cx="{x:.1}" cy="{y:.1}" r="{RADIUS}"><title>{title}</title></circle>"#
            );
        }
        self.draw_values(canvas, html);
        html.push_str("</svg>\n");
    }

    /// Draws the values beside dots, above or below. Values that would touch a dot or another value are left out; they
    /// are shown when pointed at.
    fn draw_values(&self, canvas: &Canvas, html: &mut String) {
        let place = |dot: &Dot| (canvas.x(&self.x, dot.x), canvas.y(&self.y, dot.y));
        let mut taken: Vec<Area> = self.dots.iter().map(|dot| Area::around(place(dot))).collect();
        for (dot, label) in self.dots.iter().filter_map(|dot| Some((dot, dot.label.as_ref()?))) {
            let ((x, y), width) = (place(dot), label.chars().count() as f64 * BOLD_LETTER);
            let above = ((x - RADIUS).max(canvas.left + width + RADIUS), y - 9.0);
            let below = ((x + RADIUS + width).min(canvas.wall()), y + 9.0 + ASCENT);
            let free = [above, below].into_iter().find_map(|(end, line)| {
                let area = Area { left: end - width, right: end, top: line - ASCENT, bottom: line + DESCENT };
                let is_free = area.bottom < canvas.floor() && !taken.iter().any(|other| area.touches(other));
                is_free.then_some((end, line, area))
            });
            let Some((end, line, area)) = free else { continue };
            let _ = writeln!(html, r#"<text class="value" x="{end:.1}" y="{line:.1}">{}</text>"#, escape(label));
            taken.push(area);
        }
    }

    fn draw_axes(&self, canvas: &Canvas, html: &mut String) {
        let (left, wall, top, floor) = (canvas.left, canvas.wall(), canvas.top, canvas.floor());
        for (value, label) in &self.y.marks {
            let y = canvas.y(&self.y, *value);
            let _ = writeln!(html, r#"<path class="grid" d="M{left:.1} {y:.1}H{wall:.1}"/>"#);
            let _ =
                writeln!(html, r#"<text class="y" x="{:.1}" y="{:.1}">{}</text>"#, left - 8.0, y + 4.0, escape(label));
        }
        // Leave out labels that would touch, but not their marks. The end of the line below is for the axis' name.
        let mut free_from = f64::NEG_INFINITY;
        for (value, label) in &self.x.marks {
            let x = canvas.x(&self.x, *value);
            let _ = writeln!(html, r#"<path class="grid" d="M{x:.1} {top:.1}V{floor:.1}"/>"#);
            let half = label.chars().count() as f64 * LETTER / 2.0;
            let x = x.min(canvas.width - half);
            if x - half > free_from {
                let _ =
                    writeln!(html, r#"<text class="x" x="{x:.1}" y="{:.1}">{}</text>"#, floor + 20.0, escape(label));
                free_from = x + half + 1.5 * LETTER;
            }
        }
        let _ = writeln!(html, r#"<path class="axis" d="M{left:.1} {floor:.1}H{wall:.1}"/>"#);
        let _ = writeln!(
            html,
            r#"<text class="name" x="{wall:.1}" y="{:.1}">{}</text>"#,
            floor + 38.0,
            escape(self.x_name)
        );
        let _ = writeln!(html, r#"<text class="name-y" x="4" y="{:.1}">{}</text>"#, top - 26.0, escape(self.y_name));
    }

    fn draw_line(&self, canvas: &Canvas, line: &Line, html: &mut String) {
        let look = line.look.class();
        for piece in &line.pieces {
            let places: Vec<_> = piece.iter().map(|(x, y)| (canvas.x(&self.x, *x), canvas.y(&self.y, *y))).collect();
            let (Some(first), Some(last)) = (places.first(), places.last()) else { continue };
            if places.len() == 1 {
                let _ = writeln!(html, r#"<circle class="{look}" cx="{:.1}" cy="{:.1}" r="3"/>"#, first.0, first.1);
                continue;
            }
            let mut path = String::with_capacity(places.len() * 12);
            for (x, y) in &places {
                let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
            }
            if line.is_area {
                let (floor, from, to) = (canvas.floor(), first.0, last.0);
                let _ = writeln!(
                    html,
                    r#"<path class="area {look}" d="{path}L{to:.1} {floor:.1}L{from:.1} {floor:.1}Z"/>"#
                );
            }
            let _ = writeln!(html, r#"<path class="line {look}" d="{path}"/>"#);
        }
    }
}

/// A rectangle of a picture, in px.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    /// The area of a dot.
    fn around((x, y): (f64, f64)) -> Self {
        Area { left: x - RADIUS, right: x + RADIUS, top: y - RADIUS, bottom: y + RADIUS }
    }

    fn touches(&self, other: &Area) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

impl Canvas {
    fn wall(&self) -> f64 {
        self.width - self.right
    }

    fn floor(&self) -> f64 {
        self.height - self.bottom
    }

    fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * (self.wall() - self.left)
    }

    fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.floor() - axis.place(value) * (self.floor() - self.top)
    }
}
