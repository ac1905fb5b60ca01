//! HTTP as both servers speak it: extractors, answers, layers, listening. Knows no feature.

mod accept;
pub mod answer;
mod answers;
pub mod body;
pub mod capacity;
pub mod client_address;
pub mod coding;
mod connection;
pub mod connection_limit;
pub mod content;
pub mod cors;
mod flood;
pub mod handover;
pub mod json;
pub mod layers;
pub mod leeway;
pub mod listen;
mod pace;
pub mod page;
pub mod path;
pub mod query;
pub mod stall;
mod tarpit;
pub mod tls;
mod unsent;
mod untaken;
mod wire;
