//! Fechatter in one command: a private PostgreSQL, and both servers on one port.

pub mod backup;
mod database;
pub mod epoch;
pub mod health;
pub mod openapi;
pub mod permissions;
mod routes;
pub mod settings_reference;
pub mod up;
pub mod user;
