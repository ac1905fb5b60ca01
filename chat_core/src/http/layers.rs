//! What surrounds every route: request ids, logs, time limits, and errors in one form.

use std::{any::Any, pin::pin, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, timeout};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    trace::TraceLayer,
};
use tracing::{Span, field::Empty};

use super::{
    body::Waits,
    cors::{self, Origin},
};
use crate::problem::Problem;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// Fields of the head of a request.
const FIELDS_MAX: usize = 64;
/// The longest request id taken over from a proxy.
const REQUEST_ID_MAX: usize = 64;

/// Puts the layers around all routes, and problems in place of the plain 404 and 405. Pages of `origins` may call.
pub fn around(router: Router, origins: &[Origin]) -> Router {
    let layers = ServiceBuilder::new()
        .layer(middleware::map_request(drop_unfit_request_id))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(request_span)
                .on_request(())
                .on_failure(())
                .on_response(log_answer),
        )
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        .layer(fixed(header::CACHE_CONTROL, "no-store"))
        .layer(fixed(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .option_layer(cors::layer(origins))
        .layer(middleware::from_fn(write_problems))
        .layer(middleware::map_request(refuse_many_fields))
        .layer(CatchPanicLayer::custom(panicked));
    router
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Another method is needed here.",
            )
        })
        .layer(layers)
}

/// Ends requests that take longer than `limit` with 503; not for streams.
///
/// The time in which the client owes its body does not count: it has limits of its own.
pub async fn time_limit(limit: Duration, request: Request, next: Next) -> Response {
    let waits = request.extensions().get::<Waits>().cloned();
    let allowed = || limit.saturating_add(waits.as_ref().map_or(Duration::ZERO, Waits::so_far));
    let begun = Instant::now();
    let mut answer = pin!(next.run(request));
    loop {
        let left = allowed().saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Problem::unavailable("The request took too long.").into_response();
        }
        if let Ok(response) = timeout(left, answer.as_mut()).await {
            return response;
        }
    }
}

/// A header that a response gets unless it has set its own.
fn fixed(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

async fn drop_unfit_request_id<B>(mut request: axum::http::Request<B>) -> axum::http::Request<B> {
    let fit = request.headers().get(&X_REQUEST_ID).is_none_or(|id| {
        id.len() <= REQUEST_ID_MAX
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    });
    if !fit {
        request.headers_mut().remove(&X_REQUEST_ID);
    }
    request
}

/// What each field costs here, hyper's limit on their bytes does not know.
async fn refuse_many_fields(request: Request) -> Result<Request, Problem> {
    if request.headers().len() > FIELDS_MAX {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_many_fields",
            "The request has too many header fields.",
        ));
    }
    Ok(request)
}

/// The span of a request. Its path holds ids only; query strings are left out, for they can hold tickets.
fn request_span(request: &Request) -> Span {
    let request_id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        request_id,
        user_id = Empty,
    )
}

/// At debug, because a line for each request costs more than most requests; what went wrong is logged always.
fn log_answer(response: &Response, latency: Duration, _: &Span) {
    let status = response.status().as_u16();
    let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    if response.status().is_server_error() {
        tracing::warn!(status, latency_us, "answered");
    } else {
        tracing::debug!(status, latency_us, "answered");
    }
}

/// Writes the body of a problem, which knows its request only here.
async fn write_problems(request: Request, next: Next) -> Response {
    let request_id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    problem.request_id = request_id.and_then(|id| Some(id.header_value().to_str().ok()?.to_owned()));
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
