//! Chats of the four types, and the directory of public channels.

pub mod handlers;
pub mod store;
pub mod types;
pub(crate) mod views;
