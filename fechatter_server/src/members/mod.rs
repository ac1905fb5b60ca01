//! The people of a chat.

pub mod handlers;
pub mod store;
pub mod types;
