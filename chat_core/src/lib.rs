//! What both Fechatter servers must agree on, and nothing else.

pub mod api;
pub mod caller;
pub mod chat;
pub mod clock;
pub mod database;
pub mod essential;
pub mod event;
pub mod feed;
pub mod http;
pub mod ids;
pub mod limits;
pub mod message;
pub mod operators;
pub mod permission;
pub mod problem;
pub mod pulse;
pub mod readiness;
pub mod renewal;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod user;
