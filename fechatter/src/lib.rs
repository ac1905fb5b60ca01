//! Fechatter in one command: a private PostgreSQL, and both servers on one port.

pub mod openapi;
pub mod permissions;
mod routes;
pub mod up;
pub mod user;
