//! Whether a message is meant, where, and how well.

use serde::Serialize;
use utoipa::ToSchema;

use super::{query::Query, tokens::Tokens};

/// The most highlights that are told of one message.
pub const HIGHLIGHTS_MAX: usize = 100;

/// Where a message says what was asked for, in code points of `content`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Highlight {
    /// The first code point.
    pub start: u32,
    /// The one after the last.
    pub end: u32,
}

/// What was found in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Where, in rising order, none touching another.
    pub highlights: Vec<Highlight>,
    /// How well it fits, in millionths.
    pub score: u32,
}

/// How much a repeated word counts less each time, and how much a long message counts less (Robertson and Zaragoza,
/// "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.5). How rare a word is plays no part: every
/// message that is compared holds all of them.
const SATURATION: f32 = 1.2;
const LENGTH_COUNTS: f32 = 0.75;
/// Tokens of a message that is neither short nor long.
const USUAL_LENGTH: f32 = 20.0;

impl Query {
    /// Looks for the query's text in a message.
    #[must_use]
    pub fn look(&self, content: &str) -> Option<Match> {
        if self.terms.is_empty() && self.left_out.is_empty() {
            return Some(Match { highlights: Vec::new(), score: 0 });
        }
        let tokens = Tokens::of(content);
        if self.left_out.iter().any(|term| term.places(&tokens).next().is_some()) {
            return None;
        }
        let length = tokens.all().len();
        let (mut found, mut score) = (Vec::new(), 0.0);
        for term in &self.terms {
            let before = found.len();
            found.extend(term.places(&tokens));
            if found.len() == before {
                return None;
            }
            score += weight(found.len() - before, length);
        }
        Some(Match { highlights: highlights(found), score: millionths(score, self.terms.len()) })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a message has at most some thousand tokens")]
fn weight(times: usize, length: usize) -> f32 {
    let (times, length) = (times as f32, length as f32);
    let long = 1.0 - LENGTH_COUNTS + LENGTH_COUNTS * length / USUAL_LENGTH;
    times * (SATURATION + 1.0) / (times + SATURATION * long)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the mean weight lies between 0 and 3"
)]
fn millionths(sum: f32, terms: usize) -> u32 {
    (sum / terms.max(1) as f32 * 1e6) as u32
}

/// What touches or overlaps becomes one.
fn highlights(mut found: Vec<Highlight>) -> Vec<Highlight> {
    found.sort_unstable();
    let mut merged: Vec<Highlight> = Vec::new();
    for one in found {
        match merged.last_mut() {
            Some(last) if one.start <= last.end => last.end = last.end.max(one.end),
            _ => merged.push(one),
        }
    }
    merged.truncate(HIGHLIGHTS_MAX);
    merged
}
