//! The error body of both servers: problem details (RFC 9457).

use std::borrow::Cow;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{limits::LimitExceeded, pulse::Late, telemetry::pools};

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// An error, as clients see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Cow<'static, str>,
    /// The status in words.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[serde(serialize_with = "status_number")]
    #[schema(value_type = u16)]
    pub status: StatusCode,
    /// What went wrong this time.
    pub detail: Cow<'static, str>,
    /// Stable and made for programs, in `snake_case`.
    #[schema(value_type = String)]
    pub code: &'static str,
    /// What is wrong with each field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The request, as the logs name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true)]
    pub request_id: Option<String>,
    /// `Retry-After`, in seconds.
    #[serde(skip)]
    pub retry_after: Option<u32>,
    /// The rate limit that was met.
    #[serde(skip)]
    pub exceeded: Option<LimitExceeded>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field: a JSON path as `member_ids[2]`, a query parameter or a part of the path.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl FieldError {
    /// An error in `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem of this status, code and detail.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
            status,
            detail: detail.into(),
            code,
            errors: Vec::new(),
            request_id: None,
            retry_after: None,
            exceeded: None,
        }
    }

    /// 400: some fields are wrong.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.field, only.message),
            several => format!("{} fields are invalid", several.len()),
        };
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "invalid", detail) }
    }

    /// 400: what was sent could not be read at all.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 401: no token, or one that is not accepted. Which of them it was stays untold.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid access token is required.")
    }

    /// 403: visible, but not allowed.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: not there, or not visible; the same for both.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here.")
    }

    /// 429: a rate limit was met.
    #[must_use]
    pub fn too_many(exceeded: LimitExceeded) -> Self {
        let seconds = exceeded.seconds();
        let detail = format!("Too many requests: try again in {seconds} s.");
        Self {
            retry_after: Some(seconds),
            exceeded: Some(exceeded),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
        }
    }

    /// 503: try again shortly.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail) }
    }

    /// 500: our fault; what it was stays in the logs.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side.")
    }
}

/// A database error, logged once: 503 when trying again makes sense, 500 otherwise.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        pools::failed(&error);
        if crate::database::is_unavailable(&error) {
            tracing::warn!(%error, "the database is unavailable");
            Self::unavailable("The database is not available at the moment.")
        } else {
            tracing::error!(%error, "a query failed");
            Self::internal()
        }
    }
}

impl From<Late> for Problem {
    fn from(late: Late) -> Self {
        match late {
            Late::Stalled => Self::unavailable("The database is not available at the moment."),
            Late::TooLong => Self::unavailable("The request took too long."),
        }
    }
}

impl From<LimitExceeded> for Problem {
    fn from(exceeded: LimitExceeded) -> Self {
        Self::too_many(exceeded)
    }
}

/// The answer carries the problem among its extensions; `http::layers` writes the body, with the request id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(exceeded) = self.exceeded {
            headers.extend(exceeded.policy().map(|policy| (RATE_LIMIT_POLICY, policy)));
            headers.extend(exceeded.state().map(|state| (RATE_LIMIT, state)));
        }
        response.extensions_mut().insert(self);
        response
    }
}
