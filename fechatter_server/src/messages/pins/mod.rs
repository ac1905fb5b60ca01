//! Messages that are pinned to their chat.

pub mod handlers;
mod store;
pub mod types;
