//! What is sent and shown of workspaces.

use chat_core::{chat::Role, ids::WorkspaceId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text::not_blank;

/// A workspace, as its maker or an admin wants it.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceDraft {
    /// 1 to 100 code points, not only white space.
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Up to 1,000 code points; none when absent.
    #[serde(default)]
    #[garde(length(chars, max = 1000))]
    #[schema(max_length = 1000)]
    pub description: Option<String>,
}

/// A workspace, as the caller sees it.
#[derive(Serialize, ToSchema)]
pub struct Workspace {
    /// Which workspace.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// The caller's role in it.
    pub role: Role,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its name or description last changed.
    pub updated_at: DateTime<Utc>,
}

/// A workspace, as operators see it.
#[derive(Debug, Serialize)]
pub struct WorkspaceLine {
    /// Which workspace.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// Its people.
    pub members: i64,
    /// Its chats that are not deleted.
    pub chats: i64,
    /// The addresses of its owners.
    pub owners: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was deleted; it is purged some time after that.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The workspaces that the caller is in.
#[derive(Serialize, ToSchema)]
pub struct WorkspaceList {
    /// By name.
    pub workspaces: Vec<Workspace>,
}
