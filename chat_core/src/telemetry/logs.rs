//! Logs: lines for people at a terminal, JSON elsewhere.

use std::io::{IsTerminal, stderr};

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, fmt, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use super::traces::{Exporter, TraceError, TraceSettings};
use crate::settings::Problems;

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// `EnvFilter` directives; `RUST_LOG` overrides them.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text at a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl LogSettings {
    /// Notes what is wrong with these settings.
    pub fn check(&self, problems: &mut Problems) {
        let filter = EnvFilter::try_new(&self.filter);
        problems.note(filter.map_err(|error| format!("log.filter: {error}")));
    }
}

/// Sends logs to standard error, and traces to the collector of the settings if there is one. A second call changes
/// nothing.
///
/// # Errors
/// A collector that no traces can be sent to.
pub fn init(logs: &LogSettings, traces: &TraceSettings) -> Result<Exporter, TraceError> {
    let exporter = Exporter::start(traces)?;
    let registry = tracing_subscriber::registry();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&logs.filter));
    // A filter for all layers together is quicker than one for each, and is all that is needed without traces.
    let set = match exporter.layer() {
        None => registry.with(filter).with(lines(logs.format)).try_init(),
        Some(traces) => registry.with(traces).with(lines(logs.format).with_filter(filter)).try_init(),
    };
    if set.is_err() {
        tracing::debug!("logs were set up before");
    }
    Ok(exporter)
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let text = match format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = fmt::layer().with_writer(stderr);
    if text {
        lines.compact().with_target(false).with_ansi(stderr().is_terminal()).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    }
}
