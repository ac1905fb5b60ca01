//! The successes of handlers.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{Operation, Output},
    event::Position,
};

/// The header that carries the exact cut of a snapshot.
pub const X_EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");

/// 200 with a JSON body.
pub struct Found<T>(pub T);

/// 201 with a JSON body.
pub struct Created<T>(pub T);

/// 201 for a thing just made, 200 for one that was there already.
pub enum Ensured<T> {
    /// Just made.
    New(T),
    /// There already.
    Existing(T),
}

/// 204.
pub struct Done;

/// 200 with a JSON body, and in `X-Event-Id` the position of the snapshot that it shows.
pub struct Listed<T> {
    /// The body.
    pub body: T,
    /// The snapshot's position.
    pub position: Position,
}

impl<T: Serialize> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: Serialize> IntoResponse for Ensured<T> {
    fn into_response(self) -> Response {
        match self {
            Self::New(body) => Created(body).into_response(),
            Self::Existing(body) => Found(body).into_response(),
        }
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Ok(value) = HeaderValue::from_str(&self.position.to_string()) {
            response.headers_mut().insert(X_EVENT_ID, value);
        }
        response
    }
}

impl<T: ToSchema> Output for Found<T> {
    fn describe(operation: &mut Operation) {
        operation.answers_json::<T>(200);
    }
}

impl<T: ToSchema> Output for Created<T> {
    fn describe(operation: &mut Operation) {
        operation.answers_json::<T>(201);
    }
}

impl<T: ToSchema> Output for Ensured<T> {
    fn describe(operation: &mut Operation) {
        operation.answers_json::<T>(200);
        operation.answers_json::<T>(201);
    }
}

impl Output for Done {
    fn describe(operation: &mut Operation) {
        operation.answers_empty(204);
    }
}

impl<T: ToSchema> Output for Listed<T> {
    fn describe(operation: &mut Operation) {
        operation.answers_json::<T>(200);
        operation.answers_header(
            200,
            "X-Event-Id",
            "Open the stream with this position: nothing falls between.",
        );
    }
}
