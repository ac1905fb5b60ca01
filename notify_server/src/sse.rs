//! GET /api/notifications/events: the stream over Server-Sent Events.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    http::{HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chat_core::{
    api::{Input, Operation, Output},
    event::Position,
    http::{handover::Offer, query::Query},
};
use futures::stream;
use garde::Validate;
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::{
    IntoParams,
    openapi::path::{ParameterBuilder, ParameterIn},
};

use crate::{error::Error, state::AppState, stream::Stream, subscriber::Subscriber, subscription::Cursor};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What the query of a stream may hold.
#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// A ticket, instead of `Authorization: Bearer`; it is not looked at when that header is there.
    #[garde(length(max = 100))]
    ticket: Option<String>,
    /// The position to read on from; without it, from now. The header `Last-Event-ID` goes before it.
    #[serde(default, deserialize_with = "position")]
    #[param(value_type = Option<String>)]
    #[garde(skip)]
    last_event_id: Option<Position>,
}

impl EventsQuery {
    /// The ticket, if there is one.
    #[must_use]
    pub fn ticket(&self) -> Option<&str> {
        self.ticket.as_deref()
    }
}

fn position<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Position>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Position::parse(&text).map(Some).ok_or_else(|| D::Error::custom("is not a position of an event stream"))
}

/// The position that a browser sends when it comes back.
pub struct LastEventId(Option<Cursor>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        // A browser would repeat a refused value for ever, so that nonsense is answered by a reset.
        let read = |value: &HeaderValue| {
            let position = value.to_str().ok().and_then(Position::parse);
            position.map_or(Cursor::Nonsense, Cursor::Last)
        };
        Ok(Self(parts.headers.get(LAST_EVENT_ID).map(read)))
    }
}

impl Input for LastEventId {
    fn describe(operation: &mut Operation) {
        let header = ParameterBuilder::new()
            .name("Last-Event-ID")
            .parameter_in(ParameterIn::Header)
            .description(Some("The position to read on from; a browser sends it when it comes back."))
            .schema(Some(utoipa::schema!(String)));
        operation.parameters(vec![header.build()]);
    }
}

/// The connection itself, if it can be had.
pub struct Handover(Option<Offer>);

impl<S: Send + Sync> FromRequestParts<S> for Handover {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.remove()))
    }
}

impl Input for Handover {
    fn describe(_: &mut Operation) {}
}

/// Opens a stream.
pub async fn events(
    State(state): State<AppState>,
    subscriber: Subscriber,
    Query(query): Query<EventsQuery>,
    LastEventId(header): LastEventId,
    Handover(offer): Handover,
) -> Result<EventStream, Error> {
    let cursor = header.unwrap_or_else(|| query.last_event_id.map_or(Cursor::Now, Cursor::Last));
    let (pulse, limit) = (state.health.pulse.clone(), Duration::from_secs(state.settings.limits.request_s));
    let stream = pulse.within(limit, || Duration::ZERO, Stream::open(state, subscriber, cursor)).await??;
    Ok(EventStream { stream, offer })
}

/// 200 with a body that goes on.
pub struct EventStream {
    stream: Stream,
    offer: Option<Offer>,
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let Self { mut stream, offer } = self;
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            // Without it nginx delivers nothing until its buffer is full.
            (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
        ];
        match offer {
            Some(offer) => {
                let body = offer.accept(stream.take_first(), stream);
                (headers, [(header::CONNECTION, HeaderValue::from_static("close"))], body).into_response()
            }
            None => (headers, Body::from_stream(chunks(stream))).into_response(),
        }
    }
}

/// The stream as hyper asks for it, under TLS and over HTTP/2.
fn chunks(stream: Stream) -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok(chunk), stream))
    })
}

impl Output for EventStream {
    fn describe(operation: &mut Operation) {
        operation.answers_text(
            200,
            "text/event-stream",
            "Events in the order of their commits, each with its position as id; hello, ping, reset and bye between. \
             `typing` has none: it says who is writing, at most once, and counts for six seconds or until their message comes.",
        );
    }
}
