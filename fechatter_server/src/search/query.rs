//! What is asked for: words, phrases, what is left out, and filters.

use std::{fmt, iter::Peekable, str::Chars};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use super::{term::Term, tokens::Tokens};

/// The most words, phrases and filters of a query.
pub const PARTS_MAX: usize = 32;

/// A query that has been understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What a message must say: all of it.
    pub terms: Vec<Term>,
    /// What it must not say.
    pub left_out: Vec<Term>,
    /// What must be true of it otherwise.
    pub filters: Filters,
}

/// What is asked of a message besides its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Handles of senders, any of them; `me` is the caller.
    pub from: Vec<String>,
    /// Names or ids of chats, any of them; `@handle` is one's chat with a person.
    pub places: Vec<String>,
    /// Sent before this.
    pub before: Option<DateTime<Utc>>,
    /// Sent at this or later.
    pub since: Option<DateTime<Utc>>,
    /// Holds a file.
    pub has_file: bool,
    /// Mentions the caller.
    pub mentions_me: bool,
}

impl Filters {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The code point of the query at which the problem begins, from 0.
    pub at: usize,
    /// The problem.
    pub what: FlawKind,
}

/// What can be wrong with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// More than [`PARTS_MAX`] parts.
    TooManyParts,
    /// Neither a letter, a digit, a symbol nor a filter.
    Empty,
    /// Only what is to be left out.
    OnlyLeftOut,
    /// A filter without a value.
    NoValue,
    /// Not a date.
    NotADate,
    /// `has:` with anything but `file`.
    NotAFile,
    /// `mentions:` with anything but `me`.
    NotMe,
    /// A filter after a minus.
    FilterLeftOut,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            FlawKind::TooManyParts => "a query has at most 32 words, phrases and filters",
            FlawKind::Empty => "there is nothing to look for",
            FlawKind::OnlyLeftOut => "say what to find, not only what to leave out",
            FlawKind::NoValue => "a filter needs a value right after its colon",
            FlawKind::NotADate => "a date is written as 2026-01-31",
            FlawKind::NotAFile => "only has:file is known",
            FlawKind::NotMe => "only mentions:me is known",
            FlawKind::FilterLeftOut => "a filter cannot be left out",
        };
        write!(f, "at character {}: {what}", self.at)
    }
}

impl Query {
    /// Reads a query. Any text is either a query or has a flaw.
    ///
    /// # Errors
    /// The first flaw, and its place.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let mut query = Self::default();
        let mut reader = Reader { letters: text.chars().peekable(), at: 0 };
        let mut parts = 0;
        while let Some(part) = reader.part() {
            let at = part.at;
            if query.take(part)? {
                parts += 1;
            }
            if parts > PARTS_MAX {
                return Err(Flaw { at, what: FlawKind::TooManyParts });
            }
        }
        match (query.terms.is_empty() && query.filters.is_empty(), query.left_out.is_empty()) {
            (false, _) => Ok(query),
            (true, true) => Err(Flaw { at: 0, what: FlawKind::Empty }),
            (true, false) => Err(Flaw { at: 0, what: FlawKind::OnlyLeftOut }),
        }
    }

    /// Takes a part over; tells whether there was something in it.
    fn take(&mut self, part: Part) -> Result<bool, Flaw> {
        if let Some(filter) = part.filter {
            let flaw = |what| Flaw { at: part.at, what };
            if part.minus {
                return Err(flaw(FlawKind::FilterLeftOut));
            }
            return self.filters.take(filter, part.text.trim()).map(|()| true).map_err(flaw);
        }
        let tokens = Tokens::of(&part.text);
        if tokens.all().is_empty() {
            return Ok(false);
        }
        let terms = if part.minus { &mut self.left_out } else { &mut self.terms };
        terms.push(Term::new(tokens, part.open));
        Ok(true)
    }
}

impl Filters {
    fn take(&mut self, filter: Filter, value: &str) -> Result<(), FlawKind> {
        if value.is_empty() {
            return Err(FlawKind::NoValue);
        }
        match filter {
            Filter::From => self.from.push(value.trim_start_matches('@').to_lowercase()),
            Filter::In => self.places.push(value.trim_start_matches('#').to_owned()),
            Filter::Before => {
                let day = date(value)?;
                self.before = Some(self.before.map_or(day, |earlier| earlier.min(day)));
            }
            Filter::After => {
                let next = date(value)?.checked_add_days(Days::new(1)).ok_or(FlawKind::NotADate)?;
                self.since = Some(self.since.map_or(next, |later| later.max(next)));
            }
            Filter::Has if value.eq_ignore_ascii_case("file") => self.has_file = true,
            Filter::Has => return Err(FlawKind::NotAFile),
            Filter::Mentions if value.eq_ignore_ascii_case("me") => self.mentions_me = true,
            Filter::Mentions => return Err(FlawKind::NotMe),
        }
        Ok(())
    }
}

/// The beginning of a day, in UTC.
fn date(text: &str) -> Result<DateTime<Utc>, FlawKind> {
    let well_formed = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| well_formed);
    day.map(|day| day.and_time(NaiveTime::MIN).and_utc()).ok_or(FlawKind::NotADate)
}

#[derive(Clone, Copy)]
enum Filter {
    From,
    In,
    Before,
    After,
    Has,
    Mentions,
}

impl Filter {
    /// The filter of this name; any other text before a colon is text.
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "from" => Self::From,
            "in" => Self::In,
            "before" => Self::Before,
            "after" => Self::After,
            "has" => Self::Has,
            "mentions" => Self::Mentions,
            _ => return None,
        })
    }
}

/// A part of a query: what stands between blanks or in quotation marks.
struct Part {
    at: usize,
    minus: bool,
    filter: Option<Filter>,
    text: String,
    open: bool,
}

struct Reader<'query> {
    letters: Peekable<Chars<'query>>,
    at: usize,
}

impl Reader<'_> {
    fn next_if(&mut self, wanted: impl FnOnce(char) -> bool) -> Option<char> {
        let letter = self.letters.next_if(|letter| wanted(*letter));
        self.at += usize::from(letter.is_some());
        letter
    }

    fn part(&mut self) -> Option<Part> {
        while self.next_if(char::is_whitespace).is_some() {}
        let at = self.at;
        self.letters.peek()?;
        let mut minus = self.next_if(|letter| letter == '-').is_some();
        // Two of them begin an option of a command, not what is left out.
        while self.next_if(|letter| letter == '-').is_some() {
            minus = false;
        }
        if self.next_if(is_quote).is_some() {
            return Some(Part { at, minus, filter: None, text: self.quoted(), open: false });
        }
        let mut text = String::new();
        while let Some(letter) = self.next_if(|letter| !letter.is_whitespace() && !is_quote(letter)) {
            if letter == ':'
                && let Some(filter) = Filter::named(&text)
            {
                let text = if self.next_if(is_quote).is_some() { self.quoted() } else { self.plain() };
                return Some(Part { at, minus, filter: Some(filter), text, open: false });
            }
            text.push(letter);
        }
        let open = text.ends_with('*');
        Some(Part { at, minus, filter: None, text, open })
    }

    /// Up to the closing quotation mark; one that is missing stands at the end.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        while let Some(letter) = self.next_if(|letter| !is_quote(letter)) {
            text.push(letter);
        }
        self.next_if(is_quote);
        text
    }

    fn plain(&mut self) -> String {
        let mut text = String::new();
        while let Some(letter) = self.next_if(|letter| !letter.is_whitespace()) {
            text.push(letter);
        }
        text
    }
}

/// Quotation marks, those of telephones included.
fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{FF02}')
}
