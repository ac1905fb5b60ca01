//! Fechatter in one command: a private PostgreSQL, and both servers on one port.

mod database;
pub mod epoch;
pub mod openapi;
pub mod permissions;
pub mod purge;
mod routes;
pub mod up;
pub mod user;
pub mod workspace;
