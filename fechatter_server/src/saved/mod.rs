//! Messages that people save for themselves. Nobody else can learn of it.

pub mod handlers;
mod store;
pub mod types;
