//! Searching messages: what the caller may read, in every language.
//!
//! `query` reads what was asked, `folding` and `tokens` make text comparable, `term` finds where tokens stand side by
//! side, `matching` decides whether a message is meant and how well. PostgreSQL's index only proposes: whatever it finds
//! is looked at by `matching`, so there is one place that knows what a match is. `finding` chooses between the index and
//! reading the newest messages.

pub mod finding;
pub mod folding;
pub mod handlers;
pub mod matching;
mod pages;
pub mod query;
mod ranges;
pub mod store;
pub mod term;
pub mod tokens;
pub mod types;
