//! Chats as people see them.

pub(crate) mod cache;
pub(crate) mod store;
