//! What is sent and shown of files.

use chat_core::{
    http::{json::validated, page::default_limit},
    ids::{FileId, MessageId, UserId, WorkspaceId},
    message::FileFacts,
    problem::Problem,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::text::not_blank;

/// The most bytes of a name: what file systems take.
const NAME_MAX: usize = 255;

/// Where an upload goes.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct UploadTo {
    /// A workspace that one is in: only there can the file be sent.
    #[garde(skip)]
    #[param(value_type = uuid::Uuid)]
    pub workspace_id: WorkspaceId,
    /// The file's name: at most 255 bytes, no path and no control characters, those of writing direction among them.
    /// Needed unless a form names the file; it goes before that name.
    #[serde(default)]
    #[garde(inner(length(bytes, min = 1, max = NAME_MAX), custom(not_blank), custom(plain)))]
    #[param(min_length = 1, max_length = 255)]
    pub name: Option<String>,
}

impl UploadTo {
    /// A name that a form gives, judged like the one of the query.
    ///
    /// # Errors
    /// 400.
    pub(super) fn named(workspace_id: WorkspaceId, name: String) -> Result<String, Problem> {
        let to = validated(Self { workspace_id, name: Some(name) })?;
        Ok(to.name.unwrap_or_default())
    }
}

/// Refuses what could pass for another name than it is, or for a place.
fn plain<C>(name: &str, _: &C) -> garde::Result {
    if name.contains(['/', '\\']) {
        return Err(garde::Error::new("must not contain a path"));
    }
    if name == "." || name == ".." {
        return Err(garde::Error::new("must not be a place"));
    }
    if name.chars().any(|c| c.is_control() || is_direction(c) || is_separator(c)) {
        return Err(garde::Error::new("must not contain control characters"));
    }
    Ok(())
}

/// What turns the direction of writing (UAX #9, section 2): `exe.gpj` shown as `jpg.exe`, and the other way round.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Ends of lines and paragraphs that are no control characters.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Which part of the list.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListFiles {
    /// Files in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those sent before this file of the chat.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub before: Option<FileId>,
}

/// A file of a chat.
#[derive(Debug, Serialize, ToSchema)]
pub struct SentFile {
    /// The file.
    pub file: FileFacts,
    /// The message that holds it.
    pub message_id: MessageId,
    /// Who sent it.
    pub sender_id: UserId,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
}

/// A page of a chat's files.
#[derive(Debug, Serialize, ToSchema)]
pub struct FilePage {
    /// Those sent last come first.
    pub files: Vec<SentFile>,
    /// Whether there are older ones.
    pub has_more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_and_nothing_else() {
        let fits = |name: &str| {
            let name = Some(name.to_owned());
            UploadTo { workspace_id: WorkspaceId::new(), name }.validate().is_ok()
        };
        for name in ["a", "a b.txt", "...", ".profile", "grüße 界 👍🏽.tar.gz", "'\"<>|*?:", &"x".repeat(255)]
        {
            assert!(fits(name), "{name:?}");
        }
        for name in [
            "",
            " ",
            "\u{3000}",
            ".",
            "..",
            "a/b",
            "../a",
            "a\\b",
            "/",
            "a\nb",
            "a\tb",
            "\u{7f}",
            "a\u{85}b",
            "a\u{0}",
            "photo\u{202e}gpj.exe",
            "\u{200f}a",
            "a\u{2067}b",
            "a\u{61c}b",
            "a\u{2028}b",
            &"x".repeat(256),
            &"界".repeat(86),
        ] {
            assert!(!fits(name), "{name:?}");
        }
    }
}
