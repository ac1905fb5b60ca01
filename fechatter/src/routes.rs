//! The operators' endpoints of both servers in one process.

use std::sync::Arc;

use axum::{Router, extract::State, response::Response, routing::get};
use chat_core::{
    http::answer::Done,
    readiness::{Readiness, answer},
    telemetry::metrics,
};
use serde::Serialize;

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

#[derive(Serialize)]
struct Both {
    ready: bool,
    fechatter_server: Readiness,
    notify_server: Readiness,
}

async fn ready(State(servers): State<Arc<Servers>>) -> Response {
    let (fechatter_server, notify_server) = (servers.rest.readiness(), servers.events.readiness());
    let ready = fechatter_server.is_ready() && notify_server.is_ready();
    answer(ready, &Both { ready, fechatter_server, notify_server })
}
