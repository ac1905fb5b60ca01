//! Logs: lines for people at a terminal, JSON elsewhere.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt};

/// Sends logs to standard error; `RUST_LOG` overrides `default` (an `EnvFilter` directive list).
///
/// A second call changes nothing.
pub fn init(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let logs = fmt().with_env_filter(filter).with_writer(stderr);
    let set = if stderr().is_terminal() {
        logs.compact().with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    if set.is_err() {
        tracing::debug!("logs were set up before");
    }
}
