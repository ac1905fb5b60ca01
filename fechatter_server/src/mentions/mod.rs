//! Mentions: whom a message names.

mod text;

pub(crate) use self::text::{Mentioned, mentioned};
