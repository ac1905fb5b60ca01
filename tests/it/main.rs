//! All tests that speak HTTP, in one binary.

mod access_matrix;
mod accounts;
mod bad_input;
mod changes;
mod chat_settings;
mod chats;
mod convergence;
mod epoch;
mod event_feed;
mod faults;
mod idempotency;
mod identity;
mod messages;
mod model;
mod notes;
mod paging;
mod permission_cells;
mod purge;
mod races;
mod refusals;
mod rooms;
mod spec;
mod stream;
mod two_binaries;
mod up;
mod workspaces;
