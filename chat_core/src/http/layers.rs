//! What surrounds every route: request ids, logs, time limits, and errors in one form.

use std::{any::Any, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    trace::TraceLayer,
};
use tracing::{Span, field::Empty};

use crate::{
    problem::Problem,
    telemetry::{
        metrics::{Refusal, refused},
        requests::Measured,
        traces,
    },
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// The longest request id taken over from a proxy.
const REQUEST_ID_MAX: usize = 64;

/// Puts the layers around all routes, and problems in place of the plain 404 and 405.
pub fn around(router: Router) -> Router {
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
        .layer(middleware::from_fn(write_problems))
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
pub async fn time_limit(limit: Duration, request: Request, next: Next) -> Response {
    if let Ok(response) = tokio::time::timeout(limit, next.run(request)).await {
        return response;
    }
    refused(Refusal::TimeLimit);
    Problem::unavailable("The request took too long.").into_response()
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

/// The span of a request. Its path holds ids only; query strings are left out, for they can hold tickets.
fn request_span(request: &Request) -> Span {
    let request_id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    if traces::are_on() {
        return traces::request_span(request, request_id);
    }
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        request_id,
        user_id = Empty,
    )
}

/// At debug, because a line for each request costs more than most requests; what went wrong is logged always.
fn log_answer(response: &Response, latency: Duration, span: &Span) {
    if traces::are_on() {
        traces::answered(span, response.status());
    }
    let status = response.status().as_u16();
    let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    if response.status().is_server_error() {
        tracing::warn!(status, latency_us, "answered");
    } else {
        tracing::debug!(status, latency_us, "answered");
    }
}

/// Counts the request, and writes the body of a problem, which knows its request only here.
async fn write_problems(request: Request, next: Next) -> Response {
    let request_id = request.extensions().get::<RequestId>().cloned();
    let measured = Measured::begin(&request);
    let mut response = next.run(request).await;
    measured.end(response.status());
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
