//! What is around every route: request ids, logs, time limits, and errors in one form.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, Span};
use uuid::{Uuid, fmt::Hyphenated};

use super::cors::{self, Origin};
use crate::{
    ids::UserId,
    problem::Problem,
    telemetry::{requests::Measured, traces},
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// Fields of the head of a request.
const FIELDS_MAX: usize = 64;
/// The longest request id taken over from a proxy.
const REQUEST_ID_MAX: usize = 64;
/// Headers that a response gets unless it has set its own.
const DEFAULT_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// Who asked, for the log: known once the token was accepted.
#[derive(Clone, Default)]
pub struct Asker(Arc<OnceLock<UserId>>);

impl Asker {
    /// Who asked, if that is known.
    pub(super) fn person(&self) -> Option<UserId> {
        self.0.get().copied()
    }

    /// Notes who asked.
    pub fn is(parts: &Parts, user: UserId) {
        if let Some(asker) = parts.extensions.get::<Self>() {
            // Proofs build on one another: it may be known already.
            let _ = asker.0.set(user);
        }
    }
}

/// Puts the layers around all routes, and problems in place of the plain 404 and 405. Pages of `origins` may call.
pub fn around(router: Router, origins: &[Origin]) -> Router {
    router
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Another method is needed here.",
            )
        })
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn(serve))
                .option_layer(cors::layer(origins))
                .layer(CatchPanicLayer::custom(panicked)),
        )
}

/// One function rather than a layer for each step, because every layer costs each request.
async fn serve(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let measured = Measured::begin(&request);
    let request_id = request_id(request.headers());
    let span = request_span(&request, &request_id);
    let asker = Asker::default();
    request.extensions_mut().insert(asker.clone());
    let answer = async {
        match refuse_many_fields(&request) {
            Some(problem) => problem.into_response(),
            None => next.run(request).await,
        }
    };
    let mut response = answer.instrument(span.clone()).await;
    measured.end(response.status());
    span.in_scope(|| log_answer(response.status(), begun.elapsed(), &asker, &span));
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = write_problem(problem, &request_id, response);
    }
    let headers = response.headers_mut();
    for (name, value) in DEFAULT_HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers.insert(X_REQUEST_ID, request_id);
    response
}

/// The id that a proxy gave the request when it is fit to be shown, or else one of our own.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(&X_REQUEST_ID).filter(|id| {
        id.len() <= REQUEST_ID_MAX
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    });
    given.cloned().unwrap_or_else(|| {
        let mut text = [0; Hyphenated::LENGTH];
        let text = Uuid::new_v4().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

/// What each field costs here, hyper's limit on their bytes does not know.
fn refuse_many_fields(request: &Request) -> Option<Problem> {
    (request.headers().len() > FIELDS_MAX).then(|| {
        Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_many_fields",
            "The request has too many header fields.",
        )
    })
}

/// The span of a request. Its path holds ids only; query strings are left out, for they can hold tickets.
fn request_span(request: &Request, request_id: &HeaderValue) -> Span {
    if traces::are_on() {
        return traces::request_span(request, request_id.to_str().ok());
    }
    tracing::info_span!(
        "request",
        method = request.method().as_str(),
        path = request.uri().path(),
        request_id = request_id.to_str().unwrap_or_default(),
    )
}

/// At debug, because a line for each request costs more than most requests; what went wrong is logged always.
fn log_answer(status: StatusCode, latency: Duration, asker: &Asker, span: &Span) {
    if traces::are_on() {
        traces::answered(span, status, asker.0.get().copied());
    }
    let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let user_id = asker.0.get().map(tracing::field::display);
    if status.is_server_error() {
        tracing::warn!(status = status.as_u16(), latency_us, user_id, "answered");
    } else {
        tracing::debug!(status = status.as_u16(), latency_us, user_id, "answered");
    }
}

/// Writes the body of a problem, which knows its request only here.
fn write_problem(mut problem: Problem, request_id: &HeaderValue, response: Response) -> Response {
    problem.request_id = request_id.to_str().ok().map(ToOwned::to_owned);
    let (mut head, _) = response.into_parts();
    let (body_head, body) = Json(problem).into_response().into_parts();
    head.headers.extend(body_head.headers);
    head.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    Response::from_parts(head, body)
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let message = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(message, "a handler panicked");
    Problem::internal().into_response()
}
