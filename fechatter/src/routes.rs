//! The operators' endpoints of both servers in one process.

use std::sync::Arc;

use axum::{Router, extract::State, response::Response, routing::get};
use chat_core::{http::answer::Done, problem::Problem, telemetry::metrics};

/// Both servers.
pub(crate) struct Servers {
    pub(crate) rest: fechatter_server::App,
    pub(crate) events: notify_server::App,
}

/// Whether the process lives, and whether both servers can serve.
pub(crate) fn admin(servers: Servers) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(measurements))
        .with_state(Arc::new(servers))
}

async fn live() -> Done {
    Done
}

async fn measurements(State(servers): State<Arc<Servers>>) -> Response {
    servers.rest.observe();
    servers.events.observe();
    metrics::page()
}

async fn ready(State(servers): State<Arc<Servers>>) -> Result<Done, Problem> {
    servers.rest.ready().await?;
    servers.events.ready().await?;
    Ok(Done)
}
