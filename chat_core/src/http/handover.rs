//! Handing a plain-text HTTP/1.1 connection over, once the head of its answer is on the wire.
//!
//! hyper keeps some twelve kilobytes and a task for every connection. A stream that is idle for hours needs
//! neither: who answers with [`Offer::accept`] gets the socket itself, and writes the rest of the chunked body
//! on its own. Connections under TLS and of HTTP/2 make no offer.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use tokio::net::TcpStream;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connection_limit::Place;

/// A socket whose answer has begun: its head and first bytes are written.
pub struct PlainConnection {
    /// The socket. What the client sends is of no interest any more.
    pub socket: TcpStream,
    /// The connection counts as open, and holds the end of the server up, until this is dropped.
    pub open: Open,
}

/// A connection that counts as open until this is dropped.
pub struct Open {
    #[expect(dead_code, reason = "dropped with the connection")]
    place: Place,
    #[expect(dead_code, reason = "dropped with the connection")]
    token: TaskTrackerToken,
}

impl Open {
    pub(super) fn new(place: Place, token: TaskTrackerToken) -> Self {
        Self { place, token }
    }
}

/// Who goes on with a connection.
pub trait Takeover: Send + 'static {
    /// Goes on with it: writes chunks (RFC 9112, section 7.1), the last one of no bytes, and closes it.
    ///
    /// Called on the connection's task, which ends with it. When the client goes before that, or the request
    /// turns out to be a `HEAD`, this is dropped instead.
    fn take_over(self: Box<Self>, connection: PlainConnection);
}

/// In the extensions of a request: its connection can be handed over.
#[derive(Clone, Debug)]
pub struct Offer(Arc<Slot>);

impl Offer {
    /// An offer whose acceptance shows in `slot`.
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self(slot)
    }

    /// The body to answer with: `first`, and then whatever `taker` writes.
    ///
    /// The answer must be of a status that has a body, say `Connection: close`, and not its length.
    pub fn accept(self, first: Bytes, taker: impl Takeover) -> Body {
        Body::new(Accepted { first: Some(first), taker: Some(Box::new(taker)), slot: self.0 })
    }
}

/// The body of an answer that is handed over after its first bytes.
struct Accepted {
    first: Option<Bytes>,
    taker: Option<Box<dyn Takeover>>,
    slot: Arc<Slot>,
}

impl HttpBody for Accepted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(taker) = self.taker.take() {
            self.slot.turn(State::Writing(taker));
        }
        // Nobody is to be woken: the connection looks at the slot whenever hyper has flushed.
        Poll::Pending
    }
}

/// How far a connection's handover is.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<State>);

#[derive(Default)]
enum State {
    /// Nobody wants the connection.
    #[default]
    Kept,
    /// hyper has been given everything that it is to write.
    Writing(Box<dyn Takeover>),
    /// hyper has written it.
    Written(Box<dyn Takeover>),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kept => "Kept",
            Self::Writing(_) => "Writing",
            Self::Written(_) => "Written",
        })
    }
}

impl Slot {
    /// hyper has flushed, which it does only when its buffer is empty.
    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Writing(_))
            && let State::Writing(taker) = mem::take(&mut *state)
        {
            *state = State::Written(taker);
        }
    }

    /// Who takes the connection over, if it is time.
    pub(super) fn taker(&self) -> Option<Box<dyn Takeover>> {
        let mut state = self.lock();
        if !matches!(*state, State::Written(_)) {
            return None;
        }
        match mem::take(&mut *state) {
            State::Written(taker) => Some(taker),
            State::Kept | State::Writing(_) => None,
        }
    }

    fn turn(&self, state: State) {
        *self.lock() = state;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
