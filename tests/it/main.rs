//! All tests that speak HTTP, in one binary.

mod access_matrix;
mod accounts;
mod bad_input;
mod chat_settings;
mod chats;
mod event_feed;
mod faults;
mod idempotency;
mod identity;
mod messages;
mod paging;
mod purge;
mod races;
mod rooms;
mod spec;
mod stream;
mod two_binaries;
mod up;
mod workspaces;
