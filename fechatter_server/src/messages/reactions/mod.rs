//! Reactions to messages: an emoji each, counted on the message.

pub mod emoji;
