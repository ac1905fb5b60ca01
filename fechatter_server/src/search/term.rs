//! Tokens that are looked for side by side.
//!
//! They are found in one walk over a text, whatever it repeats: each token that passes by takes the places of the term
//! that it fits a step further, all at once, as bits (Baeza-Yates and Gonnet, "A New Approach to Text Searching", 1992).

use super::{
    matching::Highlight,
    tokens::{Token, Tokens},
};

/// Places of a term, as bits.
type Places = Box<[u64]>;
const BITS: usize = u64::BITS as usize;

/// Tokens that stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    tokens: Tokens,
    open: bool,
    /// Where each text stands in it, in the order of the texts; an open end is not among them.
    fits: Vec<(Token, Places)>,
    /// The places that need not touch the one before.
    apart: Places,
}

impl Term {
    /// Looks for these tokens; with `open`, the last word may go on.
    #[must_use]
    pub fn new(tokens: Tokens, open: bool) -> Self {
        let all = tokens.all();
        let closed = all.len() - usize::from(open && !all.is_empty());
        let mut order: Vec<_> = (0..closed).collect();
        order.sort_unstable_by_key(|nth| tokens.text(&all[*nth]));
        let fits = order
            .chunk_by(|one, other| tokens.text(&all[*one]) == tokens.text(&all[*other]))
            .map(|same| (all[same[0]], places(all.len(), same.iter().copied())))
            .collect();
        let apart = (0..all.len()).filter(|nth| *nth == 0 || !all[*nth].joined);
        let apart = places(all.len(), apart);
        Self { tokens, open, fits, apart }
    }

    /// What the index must hold of a message that says it.
    #[must_use]
    pub fn lexemes(&self) -> Vec<String> {
        self.tokens.lexemes(self.open)
    }

    /// Where a text says it.
    pub fn places<'text>(&'text self, text: &'text Tokens) -> impl Iterator<Item = Highlight> + 'text {
        let mut begun: Places = places(self.tokens.all().len(), std::iter::empty());
        let all = text.all();
        all.iter().enumerate().filter_map(move |(at, last)| {
            let ends = self.step(&mut begun, text.text(last), last.joined);
            let first = all.get((at + 1).checked_sub(self.tokens.all().len())?)?;
            ends.then_some(Highlight { start: first.start, end: last.end })
        })
    }

    /// Goes on by a token. A place is begun when the tokens up to it are the last ones of the text. Tells whether all of
    /// the term is.
    fn step(&self, begun: &mut Places, text: &str, joined: bool) -> bool {
        let mut first = 1;
        for bits in &mut *begun {
            let carried = *bits >> (BITS - 1);
            *bits = *bits << 1 | first;
            first = carried;
        }
        let Some(last) = self.tokens.all().len().checked_sub(1) else { return false };
        let end = (last / BITS, 1 << (last % BITS));
        let goes_on = self.open
            && begun[end.0] & end.1 != 0
            && text.starts_with(self.tokens.text(&self.tokens.all()[last]));
        match self.fits.binary_search_by(|(token, _)| self.tokens.text(token).cmp(text)) {
            Ok(found) => keep(begun, &self.fits[found].1),
            Err(_) => begun.fill(0),
        }
        if goes_on {
            begun[end.0] |= end.1;
        }
        if !joined {
            keep(begun, &self.apart);
        }
        begun[end.0] & end.1 != 0
    }
}

/// These places of a term of so many tokens.
fn places(of: usize, these: impl Iterator<Item = usize>) -> Places {
    let mut places = vec![0; of.div_ceil(BITS)];
    for place in these {
        places[place / BITS] |= 1 << (place % BITS);
    }
    places.into()
}

fn keep(begun: &mut Places, these: &Places) {
    for (bits, kept) in begun.iter_mut().zip(these) {
        *bits &= kept;
    }
}
