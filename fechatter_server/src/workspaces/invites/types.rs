//! What is sent and shown of invites.

use chat_core::{
    chat::Role,
    http::path::PathPart,
    ids::{InviteId, UserId},
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::types::{EMAIL_MAX, TOKEN_TEXT_MAX},
    workspaces::people::types::member,
};

/// `{invite_id}` in a path.
pub struct InviteInPath;

impl PathPart for InviteInPath {
    type Id = InviteId;
    const NAME: &'static str = "invite_id";
}

/// An invite to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteDraft {
    /// The role of who accepts; at most one's own.
    #[serde(default = "member")]
    #[garde(skip)]
    #[schema(default = "Member")]
    pub role: Role,
    /// How many people may accept.
    #[serde(default = "one")]
    #[garde(range(min = 1, max = 1000))]
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    pub max_uses: i32,
    /// For how long; a week when absent.
    #[serde(default = "a_week")]
    #[garde(range(min = 1, max = 8760))]
    #[schema(minimum = 1, maximum = 8760, default = 168)]
    pub expires_in_hours: u32,
    /// Only the account with this address may accept.
    #[serde(default)]
    #[garde(email, length(chars, max = EMAIL_MAX))]
    #[schema(format = "email", max_length = 254)]
    pub email: Option<String>,
}

fn one() -> i32 {
    1
}

fn a_week() -> u32 {
    7 * 24
}

/// An invite in force.
#[derive(Serialize, ToSchema)]
pub struct Invite {
    /// Which invite.
    pub id: InviteId,
    /// The role of who accepts.
    pub role: Role,
    /// Only the account with this address may accept.
    pub email: Option<String>,
    /// How many people may accept.
    pub max_uses: i32,
    /// How many have.
    pub uses: i32,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// An invite just made.
#[derive(Serialize, ToSchema)]
pub struct NewInvite {
    /// The invite.
    #[serde(flatten)]
    pub invite: Invite,
    /// What people accept it with. Only its hash is kept, so a repeated request (`Idempotency-Key`) is answered
    /// without it: who lost the first answer revokes the invite and makes another.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub token: Option<String>,
}

/// An invite that was made, now or by an earlier request with the same key.
pub(super) enum Made {
    Now(Invite),
    Before(Invite),
}

/// A workspace's invites.
#[derive(Serialize, ToSchema)]
pub struct InviteList {
    /// Newest first.
    pub invites: Vec<Invite>,
}

/// An invite to be accepted.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvite {
    /// The invite's token.
    #[garde(length(chars, max = TOKEN_TEXT_MAX))]
    #[schema(max_length = 128)]
    pub token: String,
}
