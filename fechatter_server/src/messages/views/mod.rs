//! What messages show to one reader, beyond what they show to all.

pub(crate) mod store;
