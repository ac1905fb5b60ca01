//! What operators see of a running server: logs, metrics and traces.

pub mod logs;
pub mod metrics;
pub mod pools;
pub mod requests;
pub mod traces;
