//! What is sent and shown of a chat's people.

use chat_core::{
    chat::{NotifyLevel, Role},
    http::{page::default_limit, path::PathPart},
    ids::UserId,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// `{user_id}` in a path.
pub struct UserInPath;

impl PathPart for UserInPath {
    type Id = UserId;
    const NAME: &'static str = "user_id";
}

/// People to be added.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMembers {
    /// People of the workspace; who is in the chat already stays as they are.
    #[garde(length(min = 1, max = 100))]
    #[schema(min_items = 1, max_items = 100)]
    pub member_ids: Vec<UserId>,
}

/// A role to be given.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRole {
    /// Which role.
    #[garde(skip)]
    pub role: Role,
}

/// How one keeps a chat.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSettings {
    /// What one is notified of.
    #[garde(skip)]
    pub notify_level: NotifyLevel,
}

/// Which part of the list.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListMembers {
    /// People in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those after this person.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub after: Option<UserId>,
}

/// Somebody in a chat or workspace.
#[derive(Debug, Serialize, ToSchema)]
pub struct Member {
    /// Who.
    pub id: UserId,
    /// The full name.
    pub name: String,
    /// The unique handle.
    pub username: String,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// The role.
    pub role: Role,
    /// Since when.
    pub joined_at: DateTime<Utc>,
}

/// A page of people.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberPage {
    /// In the order of their ids.
    pub members: Vec<Member>,
    /// Whether there are more.
    pub has_more: bool,
}

/// The people who were named.
#[derive(Debug, Serialize, ToSchema)]
pub struct Members {
    /// In the order of their ids.
    pub members: Vec<Member>,
}
