//! Logs: lines for people at a terminal, JSON elsewhere.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt};

/// Whether `filter` is a list of directives that [`init`] understands.
///
/// # Errors
/// Which one it does not.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|error| format!("log.filter: {error}"))
}

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
