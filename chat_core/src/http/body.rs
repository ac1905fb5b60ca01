//! Bodies of requests, which must come in time.

use std::{
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
    http::StatusCode,
};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::{
    answers::Entry,
    leeway::{Leeway, Waiting},
};
use crate::problem::Problem;

/// The client did not send its body in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body came too slowly")]
pub(super) struct TooSlow;

/// What to answer when a body could not be read, by the error that reading it gave: 408 when it came too slowly.
#[must_use]
pub fn unreadable(error: &(dyn Error + 'static)) -> Problem {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TooSlow>() {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "The body came too slowly.");
        }
        cause = error.source();
    }
    Problem::malformed("The body could not be read to its end.")
}

/// How long a request has waited for its body; in its extensions, when it has one.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits(Arc<Mutex<Waited>>);

#[derive(Debug, Default)]
struct Waited {
    before: Duration,
    since: Option<Instant>,
}

impl Waits {
    /// In all, up to now.
    pub(super) fn so_far(&self) -> Duration {
        let waited = self.lock();
        waited.before + waited.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn begin(&self) {
        self.lock().since.get_or_insert_with(Instant::now);
    }

    fn end(&self) {
        let mut waited = self.lock();
        if let Some(since) = waited.since.take() {
            waited.before += since.elapsed();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that fails when it comes too slowly.
pub(super) struct Timely<B> {
    body: B,
    waiting: Waiting,
    waits: Waits,
    /// Whoever is waited for keeps nobody else waiting.
    entry: Entry,
}

impl<B> Timely<B> {
    /// `body`, which may take so long; `entry` is given back when it is waited for.
    pub(super) fn new(body: B, leeway: Leeway, entry: Entry) -> Self {
        Self { body, waiting: Waiting::new(leeway), waits: Waits::default(), entry }
    }

    /// How long it has been waited for.
    pub(super) fn waits(&self) -> Waits {
        self.waits.clone()
    }

    /// Ready when it is too late for more.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        drop(self.entry.take());
        self.waits.begin();
        self.waiting.poll_over(cx)
    }
}

impl<B> HttpBody for Timely<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.waits.end();
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
                self.waiting.end(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => self.poll_late(cx).map(|()| Some(Err(TooSlow.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
