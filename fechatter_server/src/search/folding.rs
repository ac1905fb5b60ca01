//! Text as it is compared: compatibility forms are one (NFKC), and neither case nor the marks on letters count.
//!
//! `search_folded` of migration 0020 does the same for the index; `tests/it/search_text.rs` compares the two.

use unicode_normalization::{
    IsNormalized, UnicodeNormalization,
    char::{canonical_combining_class, decompose_compatible},
    is_nfc_quick,
};

use super::ranges::is_left_out;

/// The marks of a run that count: PostgreSQL takes time by the square of their number to bring them into their order.
const MARKS_MAX: usize = 30;

/// A folded character, and the code points of the text that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The character.
    pub letter: char,
    /// The first code point that it stands for.
    pub start: u32,
    /// The one after the last.
    pub end: u32,
}

/// Folds a text; calls `take` with each character that comes out.
pub fn fold(text: &str, mut take: impl FnMut(Folded)) {
    let mut letters = text.chars().peekable();
    let mut at = 0;
    let mut cluster = Cluster::default();
    while let Some(first) = letters.next() {
        let start = at;
        at += 1;
        // Nearly everything: a character of ASCII before another one.
        if first.is_ascii() && letters.peek().is_none_or(char::is_ascii) {
            take(Folded { letter: first.to_ascii_lowercase(), start, end: at });
            continue;
        }
        cluster.begin(first);
        while let Some(next) = letters.next_if(|next| belongs_to_the_one_before(*next)) {
            cluster.push(next);
            at += 1;
        }
        for letter in folded(&cluster.text) {
            take(Folded { letter, start, end: at });
        }
    }
}

/// The folded text alone.
#[must_use]
pub fn folded_text(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold(text, |one| folded.push(one.letter));
    folded
}

/// A base character with what belongs to it, as far as it counts.
#[derive(Default)]
struct Cluster {
    text: String,
    /// The marks at its end.
    marks: usize,
}

impl Cluster {
    fn begin(&mut self, first: char) {
        self.text.clear();
        self.marks = 0;
        self.push(first);
    }

    /// What is left out does not end a run of marks.
    fn push(&mut self, letter: char) {
        if is_left_out(letter) {
            return;
        }
        self.marks = if is_mark(first_part(letter)) { self.marks + 1 } else { 0 };
        if self.marks <= MARKS_MAX {
            self.text.push(letter);
        }
    }
}

/// Whether the character is composed with the one before it, or left out.
fn belongs_to_the_one_before(letter: char) -> bool {
    if letter.is_ascii() {
        return false;
    }
    let first = first_part(letter);
    is_left_out(letter) || is_mark(first) || is_nfc_quick(std::iter::once(first)) == IsNormalized::Maybe
}

/// What the character begins with once it is taken apart: half-width and compatibility letters compose only then.
fn first_part(letter: char) -> char {
    let mut first = None;
    decompose_compatible(letter, |part| {
        first.get_or_insert(part);
    });
    first.unwrap_or(letter)
}

fn is_mark(letter: char) -> bool {
    canonical_combining_class(letter) != 0
}

/// A base character with what belongs to it, folded.
fn folded(cluster: &str) -> impl Iterator<Item = char> {
    cluster.nfkd().filter(|letter| !is_left_out(*letter)).flat_map(lower).flat_map(one_spelling).nfc()
}

fn lower(letter: char) -> impl Iterator<Item = char> {
    letter.to_lowercase()
}

/// Letters that have more than one spelling, and those whose mark is a part of them.
fn one_spelling(letter: char) -> impl Iterator<Item = char> {
    let (one, another) = match letter {
        'ß' => ('s', Some('s')),
        'ς' => ('σ', None),
        'ı' => ('i', None),
        'ø' => ('o', None),
        'đ' => ('d', None),
        'ł' => ('l', None),
        same => (same, None),
    };
    std::iter::once(one).chain(another)
}
