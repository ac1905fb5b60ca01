//! Mentions: whom a message names, and who is told of it.

pub mod handlers;
pub(crate) mod store;
mod text;
pub mod types;

pub(crate) use self::text::{Mentioned, mentioned};
