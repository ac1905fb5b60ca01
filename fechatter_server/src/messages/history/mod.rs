//! The history of a chat, page by page.

pub mod store;
