//! Fechatter in one command: a private PostgreSQL, and both servers on one port.

pub mod backup;
pub mod config;
mod database;
pub mod doctor;
pub mod epoch;
pub mod file_keys;
pub mod health;
pub mod keys;
pub mod openapi;
pub mod permissions;
pub mod purge;
pub mod schema;
mod servers;
pub mod settings_reference;
pub mod up;
pub mod user;
pub mod workspace;
