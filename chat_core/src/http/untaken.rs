//! Answers over HTTP/2 that their client does not take are taken back.
//!
//! A client opens a window for every answer (RFC 9113, section 5.2). One that keeps it shut, and answers pings meanwhile,
//! leaves the socket with nothing to wait for, so that only who sends the answer can notice.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use axum::body::{Bytes, HttpBody};
use hyper::{
    body::{Frame, SizeHint},
    rt::Executor,
};
use tokio::sync::oneshot;

use super::{
    answers::Answer,
    leeway::{Leeway, Waiting},
};

/// Bytes that are given to hyper at a time: as many as are in a frame, unless a client wants more (RFC 9113, section 6.5.2).
const PIECE: usize = 16 * 1024;
/// Bytes of an answer that is given whole, with its end. A hundred of them may stay with a client that shuts its windows
/// after the first byte, as long as it has other requests on its connection.
const SMALL: usize = 1024;

tokio::task_local! {
    /// What a stream's task has been given to send. hyper knows no way from the task to the answer.
    static GIVEN: Cell<Given>;
}

#[derive(Clone, Copy, Debug, Default)]
struct Given {
    /// Since it was last looked at.
    bytes: usize,
    /// Whether the client is to take some of it, before more is asked for.
    untaken: bool,
}

/// Runs the streams of an HTTP/2 connection. One whose client takes its answer too slowly is reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams(pub(super) Leeway);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::spawn(GIVEN.scope(Cell::default(), run(stream, self.0)));
    }
}

/// Runs a stream until it ends, or its client has been waited for too long; dropping it resets it.
async fn run(stream: impl Future<Output = ()>, leeway: Leeway) {
    let mut stream = pin!(stream);
    let mut waiting = Waiting::new(leeway);
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Given { bytes, untaken } =
            GIVEN.with(|given| given.replace(Given { bytes: 0, untaken: given.get().untaken }));
        if bytes > 0 || !untaken {
            waiting.end(bytes);
        }
        // Who has nothing to say yet waits for the server.
        if !untaken {
            return Poll::Pending;
        }
        ready!(waiting.poll_over(cx));
        tracing::debug!("a client did not take its answer");
        Poll::Ready(())
    })
    .await;
}

/// The body of an answer, which ends only when all of it is on its way, unless it is small.
///
/// The end could not be taken back any more, however long the bytes before it wait for their window.
pub(super) struct Untaken {
    body: Answer,
    /// Of the last frame of the body.
    rest: Bytes,
    given: usize,
    ended: bool,
    /// Ready when what was given last has been sent.
    sent: Option<oneshot::Receiver<()>>,
}

impl Untaken {
    /// Gives out `body`.
    pub(super) fn new(body: Answer) -> Self {
        Self { body, rest: Bytes::new(), given: 0, ended: false, sent: None }
    }

    /// The next piece of the rest.
    fn piece(&mut self) -> Bytes {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        note(piece.len(), true);
        self.given += piece.len();
        if self.given <= SMALL {
            return piece;
        }
        let (gone, sent) = oneshot::channel();
        self.sent = Some(sent);
        Bytes::from_owner(Piece { bytes: piece, gone })
    }

    /// Ready when everything has been sent.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        note(0, true);
        if let Some(sent) = &mut self.sent {
            // It is dropped, and nothing is ever sent by it.
            let _ = ready!(Pin::new(sent).poll(cx));
            self.sent = None;
        }
        Poll::Ready(())
    }
}

fn note(bytes: usize, untaken: bool) {
    GIVEN.with(|given| given.set(Given { bytes: given.get().bytes + bytes, untaken }));
}

/// Bytes that are dropped once they have been sent.
struct Piece {
    bytes: Bytes,
    #[expect(dead_code, reason = "dropped with the bytes")]
    gone: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Untaken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() && !self.ended {
            note(0, false);
            match ready!(Pin::new(&mut self.body).poll_frame(cx)?) {
                None => self.ended = true,
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
        if self.ended {
            return self.poll_sent(cx).map(|()| None);
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.sent.is_none() && self.body.is_end_stream()
    }

    /// Asked for before the first frame only.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
