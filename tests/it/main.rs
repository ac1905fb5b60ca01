//! All tests that speak HTTP, in one binary.

mod access_matrix;
mod bad_input;
mod changes;
mod chats;
mod convergence;
mod event_feed;
mod faults;
mod identity;
mod messages;
mod model;
mod notes;
mod paging;
mod permission_cells;
mod refusals;
mod rooms;
mod spec;
mod stream;
mod two_binaries;
mod up;
mod workspaces;
