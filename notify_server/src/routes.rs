//! Every route of this server, a line each.

use std::time::Duration;

use axum::{Router, middleware, routing::get};
use chat_core::{
    api::{Api, BEARER, about, served},
    http::layers::time_limit,
};
use utoipa::openapi::{
    Info, OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::{readiness, sse, state::AppState, ticket};

/// Where the document is, when this server runs on its own.
pub const OPENAPI: &str = "/api/notifications/openapi.json";

/// The API.
pub(crate) fn api(state: AppState) -> Api<()> {
    routes(Duration::from_secs(state.settings.limits.request_s)).with_state(state)
}

/// The description of the API, for which no server needs to run.
#[must_use]
pub fn description() -> OpenApi {
    routes(Duration::MAX).split().1
}

fn routes(limit: Duration) -> Api<AppState> {
    Api::default()
        .post("/api/notifications/ticket", ticket::issue, about("A ticket that opens one stream"))
        // Around what stands above: a stream has no time limit.
        .map_router(|router| {
            router.layer(middleware::from_fn(move |request, next| time_limit(limit, request, next)))
        })
        .get("/api/notifications/events", sse::events, about("The events that concern one, as they happen"))
}

/// The routes and their document on a server of their own.
pub(crate) fn with_document(api: Api<()>) -> Router {
    let (router, mut document) = api.split();
    document.info = Info::new("Fechatter notifications", env!("CARGO_PKG_VERSION"));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let schemes = &mut document.components.get_or_insert_default().security_schemes;
    schemes.insert(BEARER.to_owned(), SecurityScheme::Http(bearer).into());
    router.route(OPENAPI, served(&document))
}

/// The operators' endpoints.
pub(crate) fn admin(state: AppState) -> Router {
    Router::new()
        .route("/livez", get(readiness::live))
        .route("/readyz", get(readiness::ready))
        .with_state(state)
}
