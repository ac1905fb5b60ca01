//! The way in: accounts, sessions and their tokens.

pub(crate) mod attempts;
pub mod device;
pub mod handlers;
pub mod issuer;
pub(crate) mod opaque;
pub mod passwords;
mod rotation;
pub(crate) mod store;
pub mod types;
