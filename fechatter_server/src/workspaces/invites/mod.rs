//! Invites: tokens that let people into a workspace.

pub mod handlers;
pub(crate) mod store;
pub mod types;
