//! Chats: their types and the roles in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The four types of chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[sqlx(type_name = "chat_type")]
pub enum ChatType {
    /// Two people, or one person's notes to themselves; one per pair and workspace.
    Single,
    /// Some people, without a place in any directory.
    Group,
    /// A named channel by invitation.
    PrivateChannel,
    /// A named channel that everybody in the workspace can see and join.
    PublicChannel,
}

impl ChatType {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Single, Self::Group, Self::PrivateChannel, Self::PublicChannel];
}

/// A role in a workspace or in a chat, lowest first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, ToSchema,
)]
#[sqlx(type_name = "member_role")]
pub enum Role {
    /// Takes part.
    Member,
    /// Looks after people and settings.
    Admin,
    /// May also delete it, and make other owners.
    Owner,
}

impl Role {
    /// All of them, lowest first.
    pub const ALL: [Self; 3] = [Self::Member, Self::Admin, Self::Owner];
}

/// What a member of a chat wants to be notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[sqlx(type_name = "notify_level")]
pub enum NotifyLevel {
    /// Every message.
    All,
    /// Messages whose `mentions` hold the person, or with `mentions_all`. The servers send everything: clients decide what
    /// to make a sound for.
    Mentions,
    /// Nothing.
    None,
}
