//! Metrics, one registry a process, and their text for Prometheus.
//!
//! A handle is made once and kept: to count with it costs an atomic addition, and no look-up. Names end in the unit:
//! `_seconds`, `_bytes`, or `_total` for what is counted up.

use std::{sync::LazyLock, time::Duration};

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use metrics::{
    Counter, Gauge, Histogram, Label, counter as register_counter, describe_counter, describe_gauge,
    describe_histogram, gauge as register_gauge, histogram as register_histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

/// The text format of Prometheus.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// The bounds of what is measured in seconds: from what memory answers up to where the time limits end it.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0];
/// The bounds of what is measured in messages: a batch has 256 at most.
const MESSAGES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// How often what was measured is put into its buckets: until then each value takes memory of its own.
const UPKEEP: Duration = Duration::from_secs(2);

/// A label of a metric. Values are of a small, fixed set: never an id, an address or anything that a client sends.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

static RECORDER: LazyLock<Recorder> = LazyLock::new(Recorder::install);

struct Recorder {
    handle: PrometheusHandle,
    process: Collector,
}

impl Recorder {
    fn install() -> Self {
        let bounds = [("_seconds", SECONDS.as_slice()), ("_messages", MESSAGES.as_slice())];
        let builder = bounds.into_iter().try_fold(PrometheusBuilder::new(), |builder, (suffix, bounds)| {
            builder.set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), bounds)
        });
        let recorder = builder.unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("the process has another recorder of metrics: there will be none to see");
        }
        let process = Collector::default();
        process.describe();
        Self { handle, process }
    }
}

/// A counter that starts at nought; `help` is a sentence for operators.
pub fn counter(name: &'static str, labels: Labels<'_>, help: &'static str) -> Counter {
    LazyLock::force(&RECORDER);
    describe_counter!(name, help);
    register_counter!(name, owned(labels))
}

/// A gauge that starts at nought; `help` is a sentence for operators.
pub fn gauge(name: &'static str, labels: Labels<'_>, help: &'static str) -> Gauge {
    LazyLock::force(&RECORDER);
    describe_gauge!(name, help);
    register_gauge!(name, owned(labels))
}

/// A histogram, with buckets by the unit of its name; `help` is a sentence for operators.
pub fn histogram(name: &'static str, labels: Labels<'_>, help: &'static str) -> Histogram {
    LazyLock::force(&RECORDER);
    describe_histogram!(name, help);
    register_histogram!(name, owned(labels))
}

fn owned(labels: Labels<'_>) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
}

/// Sorts what was measured into its buckets, again and again; never returns.
pub async fn keep_up() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        RECORDER.handle.run_upkeep();
    }
}

/// All metrics of the process, as Prometheus asks for them.
#[must_use]
pub fn page() -> Response {
    RECORDER.process.collect();
    ([(header::CONTENT_TYPE, TEXT)], RECORDER.handle.render()).into_response()
}

/// Notes which version of which program this is.
pub fn note_program(name: &'static str, version: &'static str) {
    let labels = [("program", name), ("version", version)];
    gauge("fechatter_build_info", &labels, "1, for each program in this process, with its version.").set(1.0);
    LazyLock::force(&REFUSED);
}

/// Why work is refused, so that the rest gets done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many requests are being answered.
    Requests,
    /// Too many connections, in all or of one address.
    Connections,
    /// A person has too many event streams.
    Streams,
    /// Too many messages wait to be written.
    Sends,
    /// Too many passwords wait to be hashed.
    Passwords,
    /// A request took longer than it may.
    TimeLimit,
    /// Too much of what was answered before has not been taken yet.
    Answers,
}

/// A counter for each, in the order of [`Refusal::ALL`].
static REFUSED: LazyLock<[Counter; 7]> = LazyLock::new(|| {
    let help = "Requests, streams and connections that were refused because there was too much to do.";
    Refusal::ALL.map(|refusal| counter("fechatter_refused_total", &[("reason", refusal.label())], help))
});

impl Refusal {
    const ALL: [Self; 7] = [
        Self::Requests,
        Self::Connections,
        Self::Streams,
        Self::Sends,
        Self::Passwords,
        Self::TimeLimit,
        Self::Answers,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Connections => "connections",
            Self::Streams => "streams",
            Self::Sends => "sends",
            Self::Passwords => "passwords",
            Self::TimeLimit => "time_limit",
            Self::Answers => "answers",
        }
    }
}

/// Counts a refusal.
pub fn refused(refusal: Refusal) {
    REFUSED[refusal as usize].increment(1);
}
