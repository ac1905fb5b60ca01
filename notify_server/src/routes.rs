//! Every route of this server, a line each.

use std::sync::Arc;

use axum::{Router, middleware};
use chat_core::{
    api::{Api, BEARER, about, served},
    http::capacity::answer_within,
};
use utoipa::openapi::{
    Info, OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::{sse, state::AppState, ticket};

/// Where the document is, when this server runs on its own.
pub const OPENAPI: &str = "/api/notifications/openapi.json";

/// The API.
pub(crate) fn api(state: AppState) -> Api<()> {
    let capacity = Arc::clone(&state.capacity);
    requests()
        .map_router(|router| router.layer(middleware::from_fn_with_state(capacity, answer_within)))
        .merge(streams())
        .with_state(state)
}

/// The description of the API, for which no server needs to run.
#[must_use]
pub fn description() -> OpenApi {
    requests().merge(streams()).split().1
}

fn requests() -> Api<AppState> {
    Api::default().post("/api/notifications/ticket", ticket::issue, about("A ticket that opens one stream"))
}

/// They take no place among the requests, and as long as they like.
fn streams() -> Api<AppState> {
    let events = about("The events that concern one, as they happen");
    Api::default().get("/api/notifications/events", sse::events, events)
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
