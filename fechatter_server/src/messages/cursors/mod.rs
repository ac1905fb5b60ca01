//! How far people have read.

pub mod store;
