//! Mentions: whom a message names, and who is told of it.

pub(crate) mod text;
