//! The successes of handlers.

use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use axum::{
    Json,
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{Operation, Output},
    event::Position,
};

use super::coding::{AcceptsGzip, gzip};

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

/// JSON that was encoded before: what a `T` looks like.
pub struct Encoded<T> {
    bytes: Bytes,
    /// Made when it is first asked for.
    gzip: Arc<OnceLock<Option<Bytes>>>,
    shape: PhantomData<T>,
}

impl<T: Serialize> Encoded<T> {
    /// Encodes a value.
    ///
    /// # Errors
    /// A value that JSON cannot hold, such as a map with keys that are no strings.
    pub fn of(value: &T) -> serde_json::Result<Self> {
        Ok(Self { bytes: serde_json::to_vec(value)?.into(), gzip: Arc::default(), shape: PhantomData })
    }
}

impl<T> Encoded<T> {
    /// Bytes that it takes to keep, at most.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.bytes.len() / 2
    }

    /// The JSON as gzip, unless that saves too little.
    fn gzip(&self) -> Option<Bytes> {
        self.gzip.get_or_init(|| gzip(&self.bytes).filter(|gzip| gzip.len() <= self.bytes.len() / 2)).clone()
    }
}

impl<T> Clone for Encoded<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), gzip: Arc::clone(&self.gzip), shape: PhantomData }
    }
}

/// [`Found`], with a body that was encoded before.
pub struct FoundEncoded<T>(pub Encoded<T>);

/// [`Listed`], with a body that was encoded before.
pub struct ListedEncoded<T> {
    /// The body.
    pub body: Encoded<T>,
    /// The position at which the list is as the body shows it.
    pub position: Position,
    /// Whether it may be answered as gzip.
    pub accepts_gzip: AcceptsGzip,
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
        at(&self.position, Json(self.body).into_response())
    }
}

impl<T> IntoResponse for FoundEncoded<T> {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        (json, self.0.bytes).into_response()
    }
}

impl<T> IntoResponse for ListedEncoded<T> {
    fn into_response(self) -> Response {
        let gzip = self.accepts_gzip.0.then(|| self.body.gzip()).flatten();
        let mut response = FoundEncoded(self.body).into_response();
        if let Some(gzip) = gzip {
            // With its own length.
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::from(gzip);
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        at(&self.position, response)
    }
}

fn at(position: &Position, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(&position.to_string()) {
        response.headers_mut().insert(X_EVENT_ID, value);
    }
    response
}

impl<T: ToSchema> Output for Found<T> {
    fn describe(operation: &mut Operation) {
        operation.answers_json::<T>(200);
    }
}

impl<T: ToSchema> Output for FoundEncoded<T> {
    fn describe(operation: &mut Operation) {
        Found::<T>::describe(operation);
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

impl<T: ToSchema> Output for ListedEncoded<T> {
    fn describe(operation: &mut Operation) {
        Listed::<T>::describe(operation);
    }
}
