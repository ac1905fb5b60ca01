//! Editing and deleting messages, and what they said before.

pub mod handlers;
pub mod store;
pub mod types;
