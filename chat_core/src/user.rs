//! People, as both servers show them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::UserId;

/// Whether a person may use the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[sqlx(type_name = "user_status")]
pub enum UserStatus {
    /// May sign in.
    Active,
    /// May not; all sessions are ended.
    Suspended,
    /// Nobody any more: messages stay under `Deleted user`.
    Deleted,
}

/// A person, as other people see them beside what they wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// The full name.
    pub name: String,
    /// The unique handle.
    pub username: String,
    /// Where the picture is.
    pub avatar_url: Option<String>,
}
