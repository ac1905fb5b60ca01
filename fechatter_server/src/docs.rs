//! The OpenAPI document and the page that shows it, both without the internet.

use axum::{Router, http::HeaderValue, http::header};
use chat_core::api::{Api, BEARER, served};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::{
    Info, License, OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The page's own scripts and styles, and nothing from elsewhere.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
);

/// The routes of `api`, its document and the page for it.
pub fn with_docs(api: Api<()>) -> Router {
    let (router, document) = api.split();
    router.merge(page()).route(crate::routes::OPENAPI, served(&complete(document)))
}

fn page() -> Router {
    let config = Config::from(crate::routes::OPENAPI).try_it_out_enabled(true).persist_authorization(false);
    Router::from(SwaggerUi::new(crate::routes::DOCS).config(config))
        .layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
}

/// The document with what is true of all of it: title, licence, the bearer scheme.
#[must_use]
pub fn complete(mut document: OpenApi) -> OpenApi {
    let mut info = Info::new("Fechatter", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Team chat that a company runs itself. Errors are problem details (RFC 9457). \
         Lists carry X-Event-Id: open the stream with it, and nothing falls between."
            .to_owned(),
    );
    let mut license = License::new("MIT OR Apache-2.0");
    license.identifier = Some("MIT OR Apache-2.0".to_owned());
    info.license = Some(license);
    document.info = info;
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    document
        .components
        .get_or_insert_default()
        .security_schemes
        .insert(BEARER.to_owned(), SecurityScheme::Http(bearer).into());
    document
}
