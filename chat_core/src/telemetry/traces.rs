//! Traces by OpenTelemetry, sent to a collector over OTLP (HTTP, protobuf); off unless the settings name one.
//!
//! Spans hold what logs may hold: ids, routes and statuses; never tokens, addresses, content or query strings.

mod collector;

use std::{net::SocketAddr, path::PathBuf, sync::OnceLock};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request},
    http::{HeaderMap, StatusCode},
};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Status, TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::{
    Level, Metadata, Span, Subscriber,
    field::{Empty, display},
    info_span,
    level_filters::LevelFilter,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::dynamic_filter_fn, registry::LookupSpan};

use self::collector::Collector;
use super::requests::method;
use crate::{http::client_address::Networks, ids::UserId, settings::Problems};

/// The crates whose spans are sent.
const CRATES: [&str; 4] = ["chat_core", "fechatter", "fechatter_server", "notify_server"];

/// Whose traces are gone on with; set when traces are sent.
static ON: OnceLock<Networks> = OnceLock::new();

/// Where traces go.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    /// The collector, as `http://host:4318` or `https://host:4318`; empty: none.
    pub otlp_endpoint: String,
    /// The authority of its certificate, in PEM; empty: those that this machine trusts.
    pub ca_file: PathBuf,
    /// What this program is called there.
    pub service_name: String,
    /// Which part of the traces that begin here is sent, from 0 to 1.
    pub sample_ratio: f64,
    /// Whose `traceparent` is taken over.
    pub trusted_callers: Networks,
}

impl TraceSettings {
    /// Notes what is wrong with these settings.
    pub fn check(&self, problems: &mut Problems) {
        problems.note(self.usable());
    }

    fn usable(&self) -> Result<(), TraceError> {
        let endpoint = &self.otlp_endpoint;
        if !endpoint.is_empty() && !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme))
        {
            return Err(TraceError::Endpoint);
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err(TraceError::Ratio);
        }
        if endpoint.is_empty() { Ok(()) } else { Collector::of(self).map(drop) }
    }
}

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not a URL of HTTP.
    #[error("telemetry.otlp_endpoint must begin with http:// or https://")]
    Endpoint,
    /// Not a part of something.
    #[error("telemetry.sample_ratio must be from 0 to 1")]
    Ratio,
    /// Nobody who could have signed the collector's certificate.
    #[error("telemetry.ca_file, {file}: {why}")]
    Authorities {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// No client.
    #[error("traces cannot be sent to telemetry.otlp_endpoint: {0} (telemetry.ca_file names an authority)")]
    Client(String),
    /// The exporter does not start.
    #[error("traces cannot be sent: {0}")]
    Exporter(ExporterBuildError),
}

/// Sends traces, if there is a collector.
#[must_use = "what has not been sent is lost unless it is ended"]
pub struct Exporter(Option<SdkTracerProvider>);

impl Exporter {
    /// The exporter of the settings; it connects later.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub(super) fn start(settings: &TraceSettings) -> Result<Self, TraceError> {
        settings.usable()?;
        if settings.otlp_endpoint.is_empty() {
            return Ok(Self(None));
        }
        let endpoint = format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_http_client(Collector::of(settings)?);
        let exporter = exporter.with_endpoint(endpoint).build().map_err(TraceError::Exporter)?;
        let ratio = Sampler::TraceIdRatioBased(settings.sample_ratio);
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource.build())
            .build();
        ON.get_or_init(|| settings.trusted_callers.clone());
        Ok(Self(Some(provider)))
    }

    /// The layer that hands spans over, if there is a collector.
    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.0.as_ref()?.tracer("fechatter");
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_context_activation(false);
        // A filter that is asked each time. The answer of one that is asked once a call site may be taken from another
        // call site that was asked about and said nothing, as those of sqlx do, and the span be lost
        // (tokio-rs/tracing#2519).
        let filter = dynamic_filter_fn(|metadata, _| is_sent(metadata));
        Some(layer.with_filter(filter.with_max_level_hint(LevelFilter::DEBUG)))
    }

    /// Sends what has not been sent.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        // It waits for its own thread.
        let ended = spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Our spans, and what is logged in them; those of libraries hold what they please.
fn is_sent(metadata: &Metadata<'_>) -> bool {
    let own = metadata.target().split("::").next().is_some_and(|name| CRATES.contains(&name));
    let least = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
    own && *metadata.level() <= least
}

/// Whether traces are sent.
#[must_use]
pub fn are_on() -> bool {
    ON.get().is_some()
}

/// The present span, for others to refer to; none when traces are not sent.
#[must_use]
pub fn current() -> Span {
    if are_on() { Span::current() } else { Span::none() }
}

/// The span of a request, as collectors know it (OpenTelemetry semantic conventions, HTTP server spans).
pub(crate) fn request_span(request: &Request, request_id: Option<&str>) -> Span {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let method = method(request.method());
    let span = info_span!(
        "request",
        otel.name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}")),
        otel.kind = "server",
        method,
        // A path that clients make up may hold anything.
        path = route.map(|_| request.uri().path()),
        request_id,
        user_id = Empty,
        trace_id = Empty,
    );
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let (Some(callers), Some(ConnectInfo(peer))) = (ON.get(), peer)
        && callers.contain(peer.ip())
    {
        let headers = Headers(request.headers());
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        // Refused only for a span that is not sent.
        let _ = span.set_parent(parent);
    }
    span.set_attribute("http.request.method", method);
    if let Some(route) = route {
        span.set_attribute("http.route", route.to_owned());
    }
    let context = span.context();
    span.record("trace_id", display(context.span().span_context().trace_id()));
    span
}

/// Notes who asked, and how it was answered.
pub(crate) fn answered(span: &Span, status: StatusCode, asker: Option<UserId>) {
    if let Some(asker) = asker {
        span.record("user_id", display(asker));
    }
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_status(Status::error(""));
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
