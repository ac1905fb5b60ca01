//! What operators ask of a server: whether it lives, whether it can serve, and its figures.

use axum::{Router, extract::State, response::IntoResponse, routing::get};

use crate::{http::answer::Done, telemetry::metrics};

/// A server, or several in one process, as its operators see it.
pub trait Operated: Clone + Send + Sync + 'static {
    /// The answer of `/readyz`.
    type Readiness: IntoResponse;

    /// Whether it can serve, and if not, why.
    fn readiness(&self) -> Self::Readiness;

    /// Brings those metrics up to date that are looked at only when somebody asks.
    fn observe(&self);
}

/// The operators' endpoints.
pub fn routes<S: Operated>(server: S) -> Router {
    Router::new()
        .route("/livez", get(async || Done))
        .route("/readyz", get(async |State(server): State<S>| server.readiness().into_response()))
        .route(
            "/metrics",
            get(async |State(server): State<S>| {
                server.observe();
                metrics::page()
            }),
        )
        .with_state(server)
}
