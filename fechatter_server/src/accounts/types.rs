//! What operators see of accounts.

use chat_core::{ids::UserId, user::UserStatus};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// An account that is not deleted.
#[derive(Debug, Serialize)]
pub struct AccountLine {
    /// Whose.
    pub id: UserId,
    /// The unique handle.
    pub username: String,
    /// The address.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// Whether it may sign in.
    pub status: UserStatus,
    /// Since when.
    pub created_at: DateTime<Utc>,
}
