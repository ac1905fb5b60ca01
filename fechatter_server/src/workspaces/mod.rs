//! Workspaces: a company or team, its people and the invites into it.

pub mod handlers;
pub mod invites;
pub mod people;
pub mod store;
pub mod types;
