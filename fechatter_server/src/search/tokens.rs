//! The units of a text that are compared: words, and single characters of scripts without blanks between words.

use super::{
    folding::{Folded, fold},
    ranges::{Class, class},
};

/// The characters of a word that the index holds.
const INDEXED: usize = 64;

/// A word or a single character, with its place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where its folded text begins in that of all tokens, in bytes.
    from: usize,
    /// Where it ends.
    to: usize,
    /// Its first code point in the text.
    pub start: u32,
    /// The one after its last.
    pub end: u32,
    /// Whether it is a single character of a script without blanks between words, or a symbol.
    pub alone: bool,
    /// Whether the token before it is one of those as well, and nothing stands between.
    pub joined: bool,
}

/// The tokens of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    folded: String,
    tokens: Vec<Token>,
}

impl Tokens {
    /// Reads a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut tokens = Self::default();
        let mut before = Class::Between;
        fold(text, |folded| {
            let class = class(folded.letter);
            match class {
                Class::Between => {}
                Class::Word => tokens.spell(folded, before == Class::Word),
                Class::Unspaced => tokens.stand_alone(folded, before == Class::Unspaced),
            }
            before = class;
        });
        tokens
    }

    /// A character of a word, or the first of one.
    fn spell(&mut self, Folded { letter, start, end }: Folded, goes_on: bool) {
        if !goes_on {
            let from = self.folded.len();
            self.tokens.push(Token { from, to: from, start, end, alone: false, joined: false });
        }
        self.folded.push(letter);
        self.lengthen(end);
    }

    fn stand_alone(&mut self, Folded { letter, start, end }: Folded, joined: bool) {
        let from = self.folded.len();
        self.folded.push(letter);
        // Two regional indicators are a flag.
        let half_a_flag = joined && is_flag_half(letter) && self.ends_in_half_a_flag(from);
        if !half_a_flag {
            self.tokens.push(Token { from, to: from, start, end, alone: true, joined });
        }
        self.lengthen(end);
    }

    fn lengthen(&mut self, end: u32) {
        if let Some(last) = self.tokens.last_mut() {
            last.to = self.folded.len();
            last.end = end;
        }
    }

    fn ends_in_half_a_flag(&self, before: usize) -> bool {
        self.tokens.last().is_some_and(|last| {
            let mut letters = self.folded[last.from..before].chars();
            letters.next().is_some_and(is_flag_half) && letters.next().is_none()
        })
    }

    /// The tokens, in the order of the text.
    #[must_use]
    pub fn all(&self) -> &[Token] {
        &self.tokens
    }

    /// A token's folded text.
    #[must_use]
    pub fn text(&self, token: &Token) -> &str {
        &self.folded[token.from..token.to]
    }

    /// What the index must hold of a text with these tokens, as lexemes of a tsquery; with `open`, the last word may
    /// go on. Follows `message_terms` of migration 0014.
    #[must_use]
    pub fn lexemes(&self, open: bool) -> Vec<String> {
        let mut lexemes = Vec::new();
        let mut at = 0;
        while let Some(first) = self.tokens.get(at) {
            let mut after = at + 1;
            while self.tokens.get(after).is_some_and(|token| token.joined) {
                after += 1;
            }
            let run = &self.folded[first.from..self.tokens[after - 1].to];
            if first.alone {
                pairs(run, &mut lexemes);
            } else {
                let word: String = run.chars().take(INDEXED).collect();
                let goes_on = open && after == self.tokens.len();
                lexemes.push(format!("'{word}'{}", if goes_on { ":*" } else { "" }));
            }
            at = after;
        }
        lexemes
    }
}

/// Each pair of neighbours is a lexeme; a character alone is the beginning of some.
fn pairs(run: &str, lexemes: &mut Vec<String>) {
    let mut letters = run.chars();
    let Some(mut before) = letters.next() else { return };
    if run.len() == before.len_utf8() {
        lexemes.push(format!("'{before}':*"));
    }
    for letter in letters {
        lexemes.push(format!("'{before}{letter}'"));
        before = letter;
    }
}

fn is_flag_half(letter: char) -> bool {
    matches!(letter, '\u{1F1E6}'..='\u{1F1FF}')
}
