//! Messages: sending, history, reading up to.

pub mod changes;
pub mod cursors;
pub mod handlers;
pub mod history;
pub mod pins;
pub mod reactions;
pub mod sending;
pub mod store;
pub mod threads;
pub mod types;
pub(crate) mod typing;
pub(crate) mod views;
