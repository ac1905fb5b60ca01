//! What is sent and shown of chats.

use std::collections::BTreeSet;

use chat_core::{
    chat::{ChatType, NotifyLevel, Role},
    http::{json::present, page::default_limit},
    ids::{ChatId, MessageId, UserId, WorkspaceId},
    user::Person,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{error::Error, text::not_blank};

/// A chat to be made.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateChat {
    /// 1 to 100 code points; channels need one, a `Single` chat has none.
    #[serde(default)]
    #[garde(length(chars, max = 100), custom(fits_type(&self.chat_type)))]
    #[schema(max_length = 100)]
    pub name: Option<String>,
    /// Up to 1,000 code points.
    #[serde(default)]
    #[garde(length(chars, max = 1000))]
    #[schema(max_length = 1000)]
    pub description: Option<String>,
    /// Which type.
    #[garde(skip)]
    pub chat_type: ChatType,
    /// In which workspace.
    #[garde(skip)]
    pub workspace_id: WorkspaceId,
    /// Who is in it beside the caller; for `Single`, the one other person, or oneself.
    #[serde(default)]
    #[garde(length(max = 100))]
    #[schema(max_items = 100)]
    pub member_ids: Vec<UserId>,
}

fn fits_type<C>(chat_type: &ChatType) -> impl FnOnce(&Option<String>, &C) -> garde::Result {
    move |name, context| {
        let name = name.as_deref().unwrap_or_default();
        match chat_type {
            ChatType::Single if !name.is_empty() => {
                Err(garde::Error::new("a Single chat has no name of its own"))
            }
            ChatType::PrivateChannel | ChatType::PublicChannel if name.is_empty() => {
                Err(garde::Error::new("a channel needs a name"))
            }
            _ if name.is_empty() => Ok(()),
            _ => not_blank(name, context),
        }
    }
}

impl CreateChat {
    /// The name to be stored.
    #[must_use]
    pub fn stored_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.is_empty())
    }

    /// Everybody who is in it from the beginning, `creator` among them.
    #[must_use]
    pub fn people(&self, creator: UserId) -> BTreeSet<UserId> {
        self.member_ids.iter().copied().chain([creator]).collect()
    }

    /// For a `Single` chat: the key of its pair, `<smaller id>:<greater id>`.
    ///
    /// # Errors
    /// Not exactly one other person, nor oneself.
    pub fn dm_key(&self, creator: UserId) -> Result<Option<String>, Error> {
        if self.chat_type != ChatType::Single {
            return Ok(None);
        }
        let people = self.people(creator);
        match (people.first(), people.last()) {
            (Some(first), Some(last)) if !self.member_ids.is_empty() && people.len() <= 2 => {
                Ok(Some(format!("{first}:{last}")))
            }
            _ => {
                Err(Error::Invalid { field: "member_ids", message: "a Single chat is with one other person" })
            }
        }
    }
}

/// What changes; a field that is absent stays.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateChat {
    /// 1 to 100 code points.
    #[serde(default)]
    #[garde(length(chars, min = 1, max = 100), inner(custom(not_blank)))]
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
    /// Up to 1,000 code points; null removes it.
    #[serde(default, deserialize_with = "present")]
    #[garde(inner(inner(length(chars, max = 1000))))]
    #[schema(value_type = Option<String>, max_length = 1000)]
    pub description: Option<Option<String>>,
}

/// Which of one's chats.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListChats {
    /// Those of this workspace only.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub workspace_id: Option<WorkspaceId>,
}

/// The newest message of a chat that a person wrote and nobody deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastMessage {
    /// Which message.
    pub id: MessageId,
    /// The text.
    pub content: String,
    /// Who sent it.
    pub sender_id: UserId,
    /// The sender's full name.
    pub sender_name: String,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
}

/// A chat, as the caller sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatView {
    /// Which chat.
    pub id: ChatId,
    /// The name; for a `Single` chat the other person's, for a group without one its people's.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// Which type.
    pub chat_type: ChatType,
    /// Where it is.
    pub workspace_id: WorkspaceId,
    /// The caller's role in it; null for who is not in it.
    pub role: Option<Role>,
    /// For a `Single` chat: the other person, or oneself.
    pub peer: Option<Person>,
    /// The newest message.
    pub last_message: Option<LastMessage>,
    /// Messages by others that the caller has not read, exact to 999; 1000 stands for more.
    pub unread_count: i64,
    /// Those of them that mention the caller, or everybody while the caller was there; 1000 stands for more than 999.
    pub mention_count: i64,
    /// Everything up to this seq is read; null for who is not in it.
    pub last_read_seq: Option<i64>,
    /// The last seq before the caller joined, from which on `@all` means the caller as well; null for who is not in it.
    pub joined_seq: Option<i64>,
    /// What the caller is notified of; null for who is not in it.
    pub notify_level: Option<NotifyLevel>,
    /// Whether it is out of the caller's list until its next message; `Single` chats only.
    pub hidden: bool,
    /// The seq of the newest message.
    pub last_seq: i64,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its name or description last changed.
    pub updated_at: DateTime<Utc>,
    /// Since when it can be read only.
    pub archived_at: Option<DateTime<Utc>>,
}

/// One's chats.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatList {
    /// Latest activity first.
    pub chats: Vec<ChatView>,
}

/// Which part of the directory.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListChannels {
    /// Channels in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those after this channel.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub after: Option<ChatId>,
}

/// A public channel, in the directory.
#[derive(Debug, Serialize, ToSchema)]
pub struct Channel {
    /// Which channel.
    pub id: ChatId,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// Whether the caller is in it.
    pub joined: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Since when it can be read only.
    pub archived_at: Option<DateTime<Utc>>,
}

/// A page of the directory.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelPage {
    /// Oldest channel first.
    pub channels: Vec<Channel>,
    /// Whether there are more.
    pub has_more: bool,
}
