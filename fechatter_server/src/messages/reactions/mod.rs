//! Reactions to messages: an emoji each, counted on the message.

pub mod emoji;
pub mod handlers;
pub(crate) mod store;
pub mod types;
