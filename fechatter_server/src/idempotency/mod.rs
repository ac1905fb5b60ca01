//! Creating once: the same `Idempotency-Key` and body again answer with what the first request made.
//!
//! A key is the caller's and an operation's own, and is kept for two days. It is stored in the transaction that
//! creates, under the ordering lock: of two requests with one key, the second finds the first.

pub(crate) mod store;
pub mod types;
