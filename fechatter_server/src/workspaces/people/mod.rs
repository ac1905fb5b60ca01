//! A workspace's people.

pub mod handlers;
mod store;
pub mod types;
