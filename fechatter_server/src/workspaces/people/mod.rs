//! A workspace's people.

pub mod handlers;
pub(crate) mod store;
pub mod types;
