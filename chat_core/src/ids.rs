//! Identifiers: `UUIDv7` (RFC 9562, section 5.7), so that they sort by creation.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! id {
    ($(#[doc = $doc:literal] $name:ident),+ $(,)?) => { $(
        #[doc = $doc]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, ToSchema,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a fresh id is not a default value")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+ };
}

id! {
    /// A person.
    UserId,
    /// A sign-in on one device.
    SessionId,
    /// A company or team, with its people and chats.
    WorkspaceId,
    /// An invitation into a workspace.
    InviteId,
    /// A chat of any type.
    ChatId,
    /// A message.
    MessageId,
    /// An uploaded file.
    FileId,
    /// Somebody's reaction to a message.
    ReactionId,
    /// A message among those that somebody saved.
    SavedId,
}
