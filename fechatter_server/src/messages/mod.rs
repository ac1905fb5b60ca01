//! Messages: sending, history, reading up to.

pub mod changes;
pub mod handlers;
pub mod sending;
pub mod store;
pub mod types;
pub(crate) mod typing;
