//! Text as it is compared: compatibility forms are one (NFKC), and neither case nor the marks on letters count.
//!
//! `search_folded` of migration 0014 does the same for the index; `tests/it/search_text.rs` compares the two.

use unicode_normalization::{
    IsNormalized, UnicodeNormalization, char::canonical_combining_class, is_nfc_quick,
};

use super::ranges::is_left_out;

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
    let mut cluster = String::new();
    while let Some(first) = letters.next() {
        let start = at;
        at += 1;
        // Nearly everything: a character of ASCII before another one.
        if first.is_ascii() && letters.peek().is_none_or(char::is_ascii) {
            take(Folded { letter: first.to_ascii_lowercase(), start, end: at });
            continue;
        }
        cluster.clear();
        cluster.push(first);
        while let Some(next) = letters.next_if(|next| belongs_to_the_one_before(*next)) {
            cluster.push(next);
            at += 1;
        }
        for letter in folded(&cluster) {
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

/// Whether the character is composed with the one before it, or left out.
fn belongs_to_the_one_before(letter: char) -> bool {
    if letter.is_ascii() {
        return false;
    }
    // The voicing marks of half-width kana become composing ones only by decomposition.
    matches!(letter, '\u{FF9E}' | '\u{FF9F}')
        || is_left_out(letter)
        || canonical_combining_class(letter) != 0
        || is_nfc_quick(std::iter::once(letter)) == IsNormalized::Maybe
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
