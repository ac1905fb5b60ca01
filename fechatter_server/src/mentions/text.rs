//! What a text mentions.

use std::collections::BTreeSet;

/// Whom a text mentions, by what it calls them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mentioned {
    /// Handles, in lower case; nobody knows yet whether they are somebody's.
    pub(crate) handles: BTreeSet<String>,
    /// Whether it mentions everybody.
    pub(crate) all: bool,
}

/// Reads `@handle` and `@all`, where they do not stand in a word.
pub(crate) fn mentioned(text: &str) -> Mentioned {
    let mut mentioned = Mentioned::default();
    for (at, _) in text.match_indices('@') {
        if text[..at].chars().next_back().is_some_and(char::is_alphanumeric) {
            continue;
        }
        let rest = &text[at + 1..];
        let end = rest.find(|next: char| !is_of_handle(next)).unwrap_or(rest.len());
        match rest[..end].trim_end_matches(['.', '-']).to_ascii_lowercase().as_str() {
            "" => {}
            "all" => mentioned.all = true,
            handle => {
                mentioned.handles.insert(handle.to_owned());
            }
        }
    }
    mentioned
}

fn is_of_handle(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&letter)
}
