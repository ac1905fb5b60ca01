//! The answers of one connection.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    http::{Request, Response, Version},
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::Service as HyperService,
};
use tokio::sync::OwnedSemaphorePermit;
use tower::Service;

use super::{
    body::Timely,
    handover::Offer,
    leeway::Leeway,
    pace::{Turn, Turns},
    tarpit::Tarpit,
};

/// The permit of a connection's first request.
#[derive(Clone, Debug)]
pub(super) struct Entry(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Entry {
    /// The permit, if there is one.
    pub(super) fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Mutex::new(permit)))
    }

    /// The permit, once.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Answers the requests of one connection.
pub(super) struct Answers {
    pub(super) router: Router,
    pub(super) address: SocketAddr,
    pub(super) turns: Turns,
    /// Made with every request of plain HTTP/1.1.
    pub(super) offer: Option<Offer>,
    /// How slowly a body may come.
    pub(super) sending: Leeway,
    /// Holds back what says that there were too many.
    pub(super) tarpit: Tarpit,
    /// For the first request.
    pub(super) entry: Option<Entry>,
}

impl HyperService<Request<Incoming>> for Answers {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let turn = self.turns.begin();
        let version = request.version();
        let permit = Entry::new(self.entry.as_ref().and_then(Entry::take));
        let mut request = timely(request, self.sending, permit.clone());
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(self.address));
        // An older client takes no chunks.
        if let Some(offer) = self.offer.clone().filter(|_| version == Version::HTTP_11) {
            extensions.insert(offer);
        }
        let (answer, tarpit) = (self.router.clone().call(request), self.tarpit.clone());
        Box::pin(async move {
            let Ok(response) = answer.await;
            drop(permit.take());
            tarpit.hold(response.status()).await;
            Ok(response.map(|body| Answer { body, turn }))
        })
    }
}

/// The request, with a body that fails when it comes too slowly.
fn timely(request: Request<Incoming>, leeway: Leeway, entry: Entry) -> Request<Body> {
    if request.body().is_end_stream() {
        return request.map(|_| Body::empty());
    }
    let request = request.map(|body| Timely::new(body, leeway, entry));
    let waits = request.body().waits();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(waits);
    request
}

/// The body of an answer; the request's turn is over with it.
pub(super) struct Answer {
    body: Body,
    #[expect(dead_code, reason = "dropped with the body")]
    turn: Turn,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
