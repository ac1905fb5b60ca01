//! The event stream, read as a browser reads it.

use std::{pin::Pin, time::Duration};

use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::{Actor, contract};

/// How long an event may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(15);

/// An event from the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// The event's name.
    pub event: String,
    /// The position, as the last `id` line gave it.
    pub id: String,
    /// The data.
    pub data: Value,
}

type Events = Pin<Box<dyn futures::Stream<Item = Result<Event, EventStreamError<reqwest::Error>>> + Send>>;

/// An open stream.
pub struct Stream {
    name: String,
    events: Events,
    opened: Instant,
    /// What its `hello` calls it, and what came last: for who finds out why nothing more did.
    connection: Value,
    last: String,
}

impl Stream {
    /// Opens it with the actor's token and reads the `hello`.
    pub async fn open(actor: &Actor, cursor: Option<&str>) -> Self {
        let url = format!("http://{}/api/notifications/events", actor.notify);
        let mut request = actor.client.get(url).bearer_auth(&actor.token);
        if let Some(cursor) = cursor {
            request = request.header("last-event-id", cursor);
        }
        Self::from_request(&actor.name, request).await
    }

    /// Opens it where the server may be away; answers the `hello` as well.
    ///
    /// None when there is no answer, or 503, or when the connection ends before the `hello`.
    pub async fn try_open(actor: &Actor, cursor: &str) -> Option<(Self, Received)> {
        let url = format!("http://{}/api/notifications/events", actor.notify);
        let request = actor.client.get(url).bearer_auth(&actor.token).header("last-event-id", cursor);
        let response = timeout(PATIENCE, request.send()).await.ok()?.ok()?;
        if response.status() == 503 {
            return None;
        }
        let mut stream = Self::of(&actor.name, response).await;
        let hello = stream.next().await?;
        assert_eq!(hello.event, "hello", "{}", actor.name);
        Some((stream, hello))
    }

    /// Opens it with a ticket, as a browser does, and reads the `hello`.
    pub async fn open_with_ticket(actor: &Actor, ticket: &str, query: &str) -> Self {
        let url = format!("http://{}/api/notifications/events?ticket={ticket}{query}", actor.notify);
        Self::from_request(&actor.name, actor.client.get(url)).await
    }

    /// Sends a request for it, and reads the `hello`.
    pub async fn from_request(name: &str, request: reqwest::RequestBuilder) -> Self {
        let response =
            timeout(PATIENCE, request.send()).await.expect("an answer in time").expect("an answer");
        let mut stream = Self::of(name, response).await;
        let hello = stream.any().await;
        assert_eq!(hello.event, "hello", "{name}");
        assert!(!hello.id.is_empty(), "{name}: the hello carries the position");
        stream
    }

    async fn of(name: &str, response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200, "{name}: {:?}", response.text().await);
        let request = format!("GET stream by {name}");
        contract::check(&request, response.url().path(), 200, response.headers(), &contract::Body::Endless);
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        assert!(header("content-type").is_some_and(|value| value.starts_with("text/event-stream")));
        // nginx keeps it to itself, and says that it is there.
        if header("server").is_none() {
            assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
        }
        let events = Box::pin(response.bytes_stream().eventsource());
        Self {
            name: name.to_owned(),
            events,
            opened: Instant::now(),
            connection: Value::Null,
            last: String::new(),
        }
    }

    /// The next event of any kind; none when the stream has ended.
    pub async fn next(&mut self) -> Option<Received> {
        let next = timeout(PATIENCE, self.events.next()).await;
        let event = next.unwrap_or_else(|_| {
            let Self { name, opened, connection, last, .. } = self;
            panic!(
                "{name}: nothing came on stream {connection}, opened {:?} ago, after {last}",
                opened.elapsed()
            )
        })?;
        // A connection that was cut is an end as well.
        let event = event.ok()?;
        let data = serde_json::from_str(&event.data).unwrap_or_else(|_| panic!("{}: {event:?}", self.name));
        contract::check_event(&event.event, &data);
        if event.event == "hello" {
            self.connection = data["connection"].clone();
        }
        self.last = format!("{} {}", event.event, event.id);
        Some(Received { event: event.event, id: event.id, data })
    }

    /// The next event of any kind.
    pub async fn any(&mut self) -> Received {
        let next = self.next().await;
        next.unwrap_or_else(|| panic!("{}: the stream has ended", self.name))
    }

    /// The next event that is not a ping, which must be of this name.
    pub async fn expect(&mut self, event: &str) -> Received {
        let received = self.skip_pings().await;
        assert_eq!(received.event, event, "{}: {received:?}", self.name);
        received
    }

    /// The next `message`, which must have this content.
    pub async fn expect_message(&mut self, content: &str) -> Received {
        let received = self.expect("message").await;
        assert_eq!(received.data["content"], content, "{}", self.name);
        received
    }

    /// The next `message`, which must be a note of the server of this type.
    pub async fn expect_note(&mut self, kind: &str) -> Received {
        let received = self.expect("message").await;
        assert_eq!(received.data["kind"], "System", "{}: {received:?}", self.name);
        assert_eq!(received.data["system"]["type"], kind, "{}: {received:?}", self.name);
        received
    }

    /// The next `chat_update`, which must be of this type.
    pub async fn expect_update(&mut self, kind: &str) -> Received {
        let received = self.expect("chat_update").await;
        assert_eq!(received.data["type"], kind, "{}: {received:?}", self.name);
        received
    }

    /// Reads on until an event of this name.
    pub async fn until(&mut self, event: &str) -> Received {
        loop {
            let received = self.any().await;
            if received.event == event {
                return received;
            }
        }
    }

    async fn skip_pings(&mut self) -> Received {
        loop {
            let received = self.any().await;
            if received.event != "ping" {
                return received;
            }
        }
    }

    /// The next event, if one comes within `time`.
    pub async fn within(&mut self, time: Duration) -> Option<Received> {
        timeout(time, self.any()).await.ok()
    }

    /// Whatever comes within `time`, without pings. The stream must not end meanwhile: one that is dead tells nothing
    /// either.
    pub async fn during(&mut self, time: Duration) -> Vec<Received> {
        let mut received = Vec::new();
        let end = tokio::time::Instant::now() + time;
        while let Ok(next) = tokio::time::timeout_at(end, self.any()).await {
            if next.event != "ping" {
                received.push(next);
            }
        }
        received
    }
}
