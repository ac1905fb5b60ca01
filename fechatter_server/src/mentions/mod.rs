//! Mentions: whom a message names, and who is told of it.

mod text;

pub(crate) use self::text::{Mentioned, mentioned};
