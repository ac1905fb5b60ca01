//! Chats as people see them.

pub(crate) mod store;
