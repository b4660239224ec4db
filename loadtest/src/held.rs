//! Judges how well a profile of rates was held: compares the achieved rate with that of `--stages`, piece by piece.

use crate::format::{count, number, seconds, short};
use crate::profile::Profile;
use crate::result::{Held, Interval, RunResult, Samples};

/// Shortest piece in s. A pause shorter than 1% of it is not noticed.
const PIECE_S: f64 = 1.0;
/// Largest deviation of a piece from the asked rate.
const WITHIN: f64 = 0.01;
/// Random arrivals are within this many standard deviations of the asked rate, except in 1 piece of 370.
const DEVIATIONS: f64 = 3.0;
/// Largest share of short pieces, because a stall is not a missed rate.
const MAX_SHORT: f64 = 0.05;

/// Intervals that last about a second together.
struct Piece {
    start_s: f64,
    length_s: f64,
    completed: f64,
    latency: Samples,
}

/// How well `result` held its profile; `None` if it has none, or nothing was measured.
#[must_use]
pub fn held(result: &RunResult) -> Option<Held> {
    let stages = &result.settings.stages;
    if stages.is_empty() {
        return None;
    }
    let share = 1.0 / result.shard.map_or(1.0, |shard| f64::from(shard.count));
    let (profile, is_random) = (Profile::new(stages), result.settings.arrival == "poisson");
    let pieces = pieces(&result.intervals);
    let first = pieces.first()?;
    let mut held = Held {
        piece_s: first.length_s,
        pieces: pieces.len() as u64,
        within: 0,
        short: 0,
        farthest_at_s: 0.0,
        farthest_asked_per_s: 0.0,
        farthest_achieved_per_s: 0.0,
    };
    let mut farthest = -1.0;
    for piece in &pieces {
        let due = |late_s: f64| {
            let from_s = piece.start_s - late_s;
            (profile.count_until(from_s + piece.length_s) - profile.count_until(from_s)) * share
        };
        let asked = due(0.0);
        // Answers lag by a latency, so that in a rise fewer answers are due than messages are sent. This does not
        // excuse an overload, because the median of each piece is measured.
        let lagging = due(piece.latency.percentile_ns(50.0).unwrap_or(0) as f64 / 1e9);
        let chance = 1.0 + if is_random { DEVIATIONS * asked.sqrt() } else { 0.0 };
        let (least, most) = (asked.min(lagging), asked.max(lagging));
        let is_short = piece.completed < least * (1.0 - WITHIN) - chance;
        let is_over = piece.completed > most * (1.0 + WITHIN) + chance;
        held.short += u64::from(is_short);
        held.within += u64::from(!is_short && !is_over);
        let distance = (least - piece.completed).max(piece.completed - most) / asked.max(1.0);
        if distance > farthest {
            farthest = distance;
            held.farthest_at_s = piece.start_s;
            held.farthest_asked_per_s = asked / piece.length_s;
            held.farthest_achieved_per_s = piece.completed / piece.length_s;
        }
    }
    Some(held)
}

impl Held {
    /// Whether the target kept up: no more than one piece, or 1 in 20, is short.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.short as f64 <= (self.pieces as f64 * MAX_SHORT).max(1.0)
    }

    /// The result in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let (within, pieces) = (count(self.within), count(self.pieces));
        let unit = if (self.piece_s - 1.0).abs() < 0.1 {
            if self.pieces == 1 { "second".to_owned() } else { "seconds".to_owned() }
        } else {
            format!("pieces of {}", seconds(self.piece_s))
        };
        let of = if self.within == self.pieces { pieces } else { format!("{within} of {pieces}") };
        let all = format!("{of} {unit} within 1% of the profile");
        if self.within == self.pieces {
            return all;
        }
        let (at, asked) = (short(&number(self.farthest_at_s)), number(self.farthest_asked_per_s));
        format!("{all}, the farthest at {at} s: {}/s of {asked}/s", number(self.farthest_achieved_per_s))
    }
}

/// Joins intervals to pieces of about [`PIECE_S`]. An interval left over at the end of a run belongs to the piece
/// before it, unless that would make it much longer.
fn pieces(intervals: &[Interval]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for interval in intervals {
        let length_s = interval.length_s;
        let end_s = |piece: &Piece| piece.start_s + piece.length_s;
        match pieces.last_mut() {
            // The next run begins at 0 again.
            Some(piece) if interval.start_s >= end_s(piece) - 1e-6 && piece.length_s + length_s / 2.0 < PIECE_S => {
                piece.length_s += length_s;
                piece.completed += interval.completed as f64;
                piece.latency.add(&interval.latency);
            }
            _ => pieces.push(Piece {
                start_s: interval.start_s,
                length_s,
                completed: interval.completed as f64,
                latency: interval.latency.clone(),
            }),
        }
    }
    pieces
}
