//! Threads: replies under one message, and who follows them.

pub mod handlers;
pub mod store;
pub mod types;
