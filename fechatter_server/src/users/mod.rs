//! People: one's own profile, and those of others.

pub mod handlers;
pub(crate) mod store;
pub mod types;
