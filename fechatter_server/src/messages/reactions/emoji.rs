//! What an emoji is: one emoji sequence of UTS #51, in one spelling.

use icu_properties::{
    CodePointSetData, CodePointSetDataBorrowed,
    props::{Emoji as IsEmoji, EmojiComponent, EmojiModifier, EmojiModifierBase, EmojiPresentation},
};
use serde::Deserialize;

const EMOJI: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<IsEmoji>();
/// What is an emoji only as a part of one: digits, skin tones, hair, regional indicators.
const COMPONENT: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<EmojiComponent>();
const MODIFIER: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<EmojiModifier>();
const MODIFIER_BASE: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<EmojiModifierBase>();
/// What is drawn as an emoji without being told so.
const PRESENTATION: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<EmojiPresentation>();

const JOINER: char = '\u{200d}';
const AS_TEXT: char = '\u{fe0e}';
const AS_EMOJI: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
const BLACK_FLAG: char = '\u{1f3f4}';
const TAG_END: char = '\u{e007f}';

/// The most code points; the longest emoji that Unicode recommends has ten.
const LENGTH_MAX: usize = 32;

/// One emoji, spelled as Unicode recommends: fully qualified (UTS #51, ED-18a).
///
/// Variation selectors stand where they are needed and nowhere else, so that ❤ and ❤️ are one emoji. That it is a
/// single extended grapheme cluster follows from the grammar. Which sequences are drawn as one picture is the
/// client's fonts' affair: any well-formed one will do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Emoji(String);

/// What is not one emoji.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one emoji")]
pub struct NotAnEmoji;

impl Emoji {
    /// Reads an emoji in any spelling; none when it is not exactly one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.chars().peekable();
        let spelled = flag(text).or_else(|| keycap(text)).or_else(|| joined(&mut rest))?;
        (spelled.chars().count() <= LENGTH_MAX).then_some(Self(spelled))
    }

    /// The emoji.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Emoji {
    type Error = NotAnEmoji;

    fn try_from(text: String) -> Result<Self, NotAnEmoji> {
        Self::parse(&text).ok_or(NotAnEmoji)
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Two regional indicators.
fn flag(text: &str) -> Option<String> {
    let indicators = text.chars().filter(|c| ('\u{1f1e6}'..='\u{1f1ff}').contains(c)).count();
    (indicators == 2 && text.chars().count() == 2).then(|| text.to_owned())
}

/// A digit, `#` or `*` in a box.
fn keycap(text: &str) -> Option<String> {
    let key = text.strip_suffix(KEYCAP)?;
    let mut key = key.strip_suffix(AS_EMOJI).unwrap_or(key).chars();
    let (first, None) = (key.next()?, key.next()) else { return None };
    matches!(first, '0'..='9' | '#' | '*').then(|| String::from_iter([first, AS_EMOJI, KEYCAP]))
}

/// Elements with joiners between them, up to the end.
fn joined(rest: &mut Rest<'_>) -> Option<String> {
    let mut spelled = String::new();
    loop {
        element(rest, &mut spelled)?;
        match rest.next() {
            None => return Some(spelled),
            Some(JOINER) => spelled.push(JOINER),
            Some(_) => return None,
        }
    }
}

/// An emoji character with what belongs to it: a skin tone, a variation selector, or the tags of a subdivision.
fn element(rest: &mut Rest<'_>, spelled: &mut String) -> Option<()> {
    let first = spelled.is_empty();
    let base = rest.next()?;
    // Hair is an emoji after a joiner only.
    let hair = !first && ('\u{1f9b0}'..='\u{1f9b3}').contains(&base);
    if !EMOJI.contains(base) || (COMPONENT.contains(base) && !hair) {
        return None;
    }
    spelled.push(base);
    let selected = rest.next_if(|c| [AS_TEXT, AS_EMOJI].contains(c)).is_some();
    if let Some(tone) = rest.next_if(|c| MODIFIER.contains(*c) && MODIFIER_BASE.contains(base)) {
        spelled.push(tone);
    } else if !PRESENTATION.contains(base) {
        spelled.push(AS_EMOJI);
    } else if first && base == BLACK_FLAG && !selected {
        subdivision(rest, spelled)?;
    }
    Some(())
}

/// The tags that make a black flag that of a part of a country, such as `gbsct`, if there are any.
///
/// Tags are not seen, so no more of them pass than name one: two letters, and one to four letters or digits (UTS #51,
/// annex C).
fn subdivision(rest: &mut Rest<'_>, spelled: &mut String) -> Option<()> {
    let is_letter = |c: &char| ('\u{e0061}'..='\u{e007a}').contains(c);
    let is_digit = |c: &char| ('\u{e0030}'..='\u{e0039}').contains(c);
    let mut tags = String::new();
    while let Some(tag) = rest.next_if(|c| is_letter(c) || is_digit(c)) {
        tags.push(tag);
    }
    if tags.is_empty() {
        return Some(());
    }
    let length = tags.chars().count();
    if !(3..=6).contains(&length)
        || !tags.chars().take(2).all(|c| is_letter(&c))
        || rest.next() != Some(TAG_END)
    {
        return None;
    }
    spelled.push_str(&tags);
    spelled.push(TAG_END);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_segmentation::UnicodeSegmentation;

    use super::*;

    fn spelled(text: &str) -> Option<String> {
        Emoji::parse(text).map(|emoji| emoji.0)
    }

    #[test]
    fn every_sort_of_emoji_is_one() {
        let scotland = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}";
        let kiss = "🧑🏻\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}🧑🏿";
        let crowd = ["👨🏽"; 10].join("\u{200d}");
        assert_eq!(crowd.chars().count(), 29);
        for text in [
            "👍",
            "👍🏽",
            "🇩🇪",
            "🇺🇳",
            scotland,
            "🏴",
            kiss,
            "👨‍👩‍👧‍👦",
            "🏳️‍🌈",
            "🏴‍☠️",
            "👩🏾‍🦰",
            "🕵🏿‍♂️",
            "🕵️‍♂️",
            "❤️‍🔥",
            "1️⃣",
            "#️⃣",
            "*️⃣",
            "©️",
            "™️",
            "Ⓜ️",
            "🅰️",
            "㊙️",
            "↔️",
            "🫩",
            "🧑‍🧑‍🧒‍🧒",
            &crowd,
        ] {
            assert_eq!(
                spelled(text).as_deref(),
                Some(text),
                "{text} {:?}",
                text.escape_unicode().to_string()
            );
            assert_eq!(text.graphemes(true).count(), 1, "{text}");
        }
    }

    #[test]
    fn spellings_of_one_emoji_are_the_same() {
        for (spellings, expected) in [
            (&["❤", "❤\u{fe0e}", "❤\u{fe0f}"][..], "❤\u{fe0f}"),
            (&["👍\u{fe0f}", "👍\u{fe0e}"], "👍"),
            (&["1\u{20e3}"], "1\u{fe0f}\u{20e3}"),
            (&["☝\u{fe0f}🏻"], "☝🏻"),
            (&["🏳\u{200d}🌈"], "🏳\u{fe0f}\u{200d}🌈"),
            (&["🕵\u{200d}♂", "🕵\u{fe0f}\u{200d}♂"], "🕵\u{fe0f}\u{200d}♂\u{fe0f}"),
            (&["🏴\u{fe0f}\u{200d}☠"], "🏴\u{200d}☠\u{fe0f}"),
            (&["👁\u{200d}🗨"], "👁\u{fe0f}\u{200d}🗨\u{fe0f}"),
        ] {
            for spelling in spellings {
                assert_eq!(spelled(spelling).as_deref(), Some(expected), "{:?}", spelling.escape_unicode());
            }
        }
    }

    #[test]
    fn nothing_else_is_one() {
        let long = ["👨"; 17].join("\u{200d}");
        let endless = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}";
        let hidden = "\u{1f3f4}\u{e0068}\u{e0065}\u{e006c}\u{e006c}\u{e006f}\u{e0061}\u{e0061}\u{e007f}";
        let on_a_person = "👍\u{e0067}\u{e0062}\u{e0073}\u{e007f}";
        for text in [
            "",
            " ",
            "\0",
            "a",
            "é",
            "é",
            "界",
            "1",
            "#",
            "12",
            "1\u{fe0f}",
            "a\u{20e3}",
            "👍👍",
            "👍 ",
            " 👍",
            "👍a",
            "👍\0",
            "🇩",
            "🇩🇪🇫",
            "🇩a",
            "🇩\u{200d}🇪",
            "🏽",
            "👍🏽🏽",
            "🚗🏽",
            "🦰",
            "\u{200d}",
            "👍\u{200d}",
            "\u{200d}👍",
            "👨\u{200d}\u{200d}👩",
            "👨\u{200d}1",
            "👨\u{200d}🏽",
            "\u{fe0f}",
            "❤\u{fe0f}\u{fe0f}",
            "❤\u{301}",
            "\u{20e3}",
            "\u{2764}\u{20e3}",
            "→",
            "✁",
            ":+1:",
            "thumbsup",
            "\u{feff}👍",
            "👍\u{202e}",
            "&#x1f44d;",
            "\u{10ffff}",
            &long,
            endless,
            hidden,
            on_a_person,
        ] {
            assert_eq!(spelled(text), None, "{:?}", text.escape_unicode().to_string());
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_one_grapheme_and_stays_as_it_is(
            text in proptest::collection::vec(
                prop_oneof![
                    Just(JOINER), Just(AS_TEXT), Just(AS_EMOJI), Just(KEYCAP), Just('🏽'), Just('👩'), Just('❤'),
                    Just('🇩'), Just('🦰'), Just(BLACK_FLAG), Just('\u{e0067}'), Just(TAG_END), Just('7'),
                    Just('\u{301}'), any::<char>(),
                ],
                0..6,
            ),
        ) {
            let text: String = text.into_iter().collect();
            if let Some(emoji) = spelled(&text) {
                prop_assert_eq!(emoji.graphemes(true).count(), 1);
                prop_assert_eq!(spelled(&emoji), Some(emoji.clone()));
            }
        }
    }
}
