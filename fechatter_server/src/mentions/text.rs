//! Finding the mentions in what somebody wrote.
//!
//! Text is read as Markdown where that decides what is code: code spans, fenced blocks and backslash escapes
//! (`CommonMark` 0.31.2, sections 6.1, 4.5 and 2.4). Indented lines are text: people indent for other reasons. Every byte
//! is looked at a fixed number of times, whatever the text.

mod code;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::code::{CodeSpans, blocks};

/// The most different handles of a message that are looked up: what comes after them is plain text.
pub(crate) const HANDLES_MAX: usize = 50;
/// The lengths of a handle.
const HANDLE: std::ops::RangeInclusive<usize> = 3..=32;
/// What may end a handle, but more often ends a sentence or a phrase.
const PUNCTUATION: [char; 3] = ['.', '-', '_'];
/// Calls everybody in the chat.
const ALL: &str = "all";

/// Whom a text mentions, by what is written there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mentioned {
    /// What stands behind each `@`, in lower case, each once, in the order of the text. Punctuation at its end may be
    /// part of the handle or not: who looks it up prefers the longer one.
    pub(crate) handles: Vec<String>,
    /// Whether everybody is called.
    pub(crate) all: bool,
}

impl Mentioned {
    /// The handles as the database takes them: with blanks between, none when there are none.
    pub(crate) fn listed(&self) -> Option<String> {
        (!self.handles.is_empty()).then(|| self.handles.join(" "))
    }
}

/// Whom a text mentions.
pub(crate) fn mentioned(content: &str) -> Mentioned {
    let mut mentioned = Mentioned::default();
    if !content.contains('@') {
        return mentioned;
    }
    each_mention(content, |_, mention| match mention {
        Mention::All => mentioned.all = true,
        Mention::Handle(handle) => {
            if mentioned.handles.len() < HANDLES_MAX && !mentioned.handles.contains(&handle) {
                mentioned.handles.push(handle);
            }
        }
    });
    mentioned
}

/// Who may be meant in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mention {
    All,
    Handle(String),
}

/// Tells of each place that mentions somebody: from its `@` to the end of what [`Mentioned`] has of it.
fn each_mention(content: &str, mut tell: impl FnMut(Range<usize>, Mention)) {
    for block in blocks(content) {
        let mut reader = Reader::new(content, block);
        while let Some((place, mention)) = reader.next_mention() {
            tell(place, mention);
        }
    }
}

/// Reads a block of text from its beginning to its end.
struct Reader<'a> {
    content: &'a str,
    at: usize,
    end: usize,
    before: Option<char>,
    /// Where the last mention ended.
    mention_end: Option<usize>,
    code: CodeSpans,
}

impl<'a> Reader<'a> {
    fn new(content: &'a str, block: Range<usize>) -> Self {
        let code = CodeSpans::of(content, block.clone());
        Self { content, at: block.start, end: block.end, before: None, mention_end: None, code }
    }

    fn rest(&self) -> &'a str {
        &self.content[self.at..self.end]
    }

    /// Goes on behind `to`, with `before` in front.
    fn pass(&mut self, to: usize, before: char) {
        self.at = to;
        self.before = Some(before);
    }

    fn next_mention(&mut self) -> Option<(Range<usize>, Mention)> {
        while let Some(character) = self.rest().chars().next() {
            match character {
                '\\' => self.pass_escape(),
                '`' => self.pass_code(),
                '@' => {
                    if let Some(found) = self.take_mention() {
                        return Some(found);
                    }
                }
                ':' | 'w' | 'W' if self.begins_address() => self.pass_address(),
                _ => self.pass(self.at + character.len_utf8(), character),
            }
        }
        None
    }

    /// A backslash takes the meaning from the punctuation behind it.
    fn pass_escape(&mut self) {
        match self.rest()[1..].chars().next() {
            Some(escaped) if escaped.is_ascii_punctuation() => self.pass(self.at + 2, escaped),
            _ => self.pass(self.at + 1, '\\'),
        }
    }

    fn pass_code(&mut self) {
        let ticks = run(self.rest(), |byte| byte == b'`');
        let end = self.code.end(ticks, self.at + ticks);
        self.pass(end.unwrap_or(self.at + ticks), '`');
    }

    /// Whether a web address begins or goes on here: what is in it mentions nobody.
    fn begins_address(&self) -> bool {
        let rest = self.rest().as_bytes();
        match self.before {
            Some(before) if rest.starts_with(b"://") => before.is_ascii_alphanumeric(),
            before => {
                rest.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"www."))
                    && before.is_none_or(|before| !in_word(before))
            }
        }
    }

    fn pass_address(&mut self) {
        let (rest, mut open) = (self.rest(), 0_usize);
        let end = rest.find(|character: char| match character {
            '(' => {
                open += 1;
                false
            }
            // One that closes what the address has opened is part of it.
            ')' if open > 0 => {
                open -= 1;
                false
            }
            ')' | '<' | '>' | '"' | '`' | '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ffef}' => true,
            _ => character.is_whitespace() || character.is_control(),
        });
        self.pass(self.at + end.unwrap_or(rest.len()), '/');
    }

    /// Takes the `@` and what belongs to it; none when it mentions nobody.
    fn take_mention(&mut self) -> Option<(Range<usize>, Mention)> {
        let (start, before) = (self.at, self.before);
        let written = &self.rest()[1..];
        let written = &written[..run(written, in_handle)];
        let end = start + 1 + written.len();
        self.pass(end, written.chars().next_back().unwrap_or('@'));
        let behind = self.rest().chars().next();
        if behind.is_some_and(|behind| behind == '@' || in_word(behind)) || !self.may_follow(before, start) {
            return None;
        }
        let bare = written.trim_end_matches(PUNCTUATION);
        if bare.eq_ignore_ascii_case(ALL) {
            let end = start + 1 + bare.len();
            self.mention_end = Some(end);
            return Some((start..end, Mention::All));
        }
        // Beyond what a handle can hold, the end of a sentence may follow, and nothing else.
        let longest = &written[..written.len().min(*HANDLE.end())];
        if bare.len() > longest.len() || !HANDLE.contains(&longest.len()) {
            return None;
        }
        self.mention_end = Some(end);
        Some((start..start + 1 + longest.len(), Mention::Handle(longest.to_ascii_lowercase())))
    }

    /// Whether a mention may begin behind this: not within a word, and behind a slash only where the slash is behind
    /// another mention; it is the end of a path otherwise.
    fn may_follow(&self, before: Option<char>, start: usize) -> bool {
        match before {
            None => true,
            Some('@') => false,
            Some('/') => self.mention_end.is_some_and(|end| end + 1 == start),
            Some(before) => !in_word(before),
        }
    }
}

/// How many bytes from the beginning are so.
fn run(text: &str, is: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !is(byte)).unwrap_or(text.len())
}

fn in_handle(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Whether a character next to it makes an `@handle` a part of a word. Those of scripts that leave no space between
/// words do not, nor Korean ones, to which particles are joined.
fn in_word(character: char) -> bool {
    let combining = matches!(character, '\u{300}'..='\u{36f}');
    combining || (character.is_alphanumeric() && !without_spaces(character))
}

/// Thai, Lao, Tibetan, Burmese, Khmer, and all of Chinese, Japanese and Korean.
fn without_spaces(character: char) -> bool {
    matches!(
        character,
        '\u{e00}'..='\u{109f}'
            | '\u{1100}'..='\u{11ff}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{2e80}'..='\u{a4cf}'
            | '\u{a960}'..='\u{a97f}'
            | '\u{ac00}'..='\u{d7ff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{ff66}'..='\u{ffdc}'
            | '\u{1b000}'..='\u{1b16f}'
            | '\u{20000}'..='\u{3ffff}'
    )
}
