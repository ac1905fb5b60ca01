//! One connection: which protocol it speaks, and what its client is allowed.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    http::{Request, Response, StatusCode, Version},
    response::IntoResponse,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::{http1, http2},
    service::Service as HyperService,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{
    handover::{Offer, PlainConnection, Slot},
    pace::{Pace, Turn, Turns},
    stall::STALL,
    wire::Wire,
};

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4); nothing of HTTP/1.1 does.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of the head of a request.
const HEAD_MAX: usize = 32 * 1024;
/// Fields of the head of a request.
const FIELDS_MAX: usize = 64;
/// Connections whose first request is answered at the same time. What each of them takes meanwhile is many times
/// what a stream takes later, so that thousands who come at once are let in one after the other.
pub(super) const CROWD: usize = 256;
/// How long a connection waits for its turn at most: longer than that only the others' slow answers last.
const CROWD_WAIT: Duration = Duration::from_secs(3);
/// How often a silent HTTP/2 client is asked for a sign of life, and how long it may take with that.
const HTTP2_PING: Duration = Duration::from_secs(30);

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until its protocol is known.
    pub first_bytes: Duration,
    /// With the head of a request, from its first byte.
    pub head: Duration,
    /// Until the next request.
    pub idle: Duration,
    /// To take some more of an answer.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_bytes: Duration::from_secs(5),
            head: Duration::from_secs(10),
            // More than the minute for which reverse proxies keep connections by default.
            idle: Duration::from_secs(75),
            stall: STALL,
        }
    }
}

/// What all connections of a listener share.
pub(super) struct Host {
    /// Answers.
    pub router: Router,
    /// The time limits.
    pub patience: Patience,
    /// No more requests after this.
    pub shutdown: CancellationToken,
    /// Counts the open connections.
    pub open: TaskTracker,
    /// Lets new connections in.
    pub crowd: Arc<Semaphore>,
}

/// Serves a connection until it ends or is handed over.
pub(super) async fn serve(mut socket: TcpStream, address: SocketAddr, host: Arc<Host>) {
    // Without it, small writes wait for acknowledgements.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let recognised = timeout(host.patience.first_bytes, recognise(&mut socket));
    let recognised = host.shutdown.run_until_cancelled(recognised).await;
    let Some(Ok(Ok((protocol, first)))) = recognised else { return };
    let wire = Wire::new(socket, first, host.patience.stall);
    let permit = timeout(CROWD_WAIT, Arc::clone(&host.crowd).acquire_owned()).await;
    let entry = Entry(Arc::new(Mutex::new(permit.ok().and_then(Result::ok))));
    // Boxed, so that whoever waits up to here takes little.
    match protocol {
        Protocol::Http1 => Box::pin(http1(wire, address, &host, entry)).await,
        Protocol::Http2 => Box::pin(http2(wire, address, &host)).await,
    }
}

/// The permit of a connection's first request.
#[derive(Clone, Debug)]
struct Entry(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Entry {
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Tells the protocol by the first bytes, and answers with them.
async fn recognise(transport: &mut (impl AsyncRead + Unpin)) -> io::Result<(Protocol, Bytes)> {
    let mut first = [0; HTTP2_PREFACE.len()];
    let mut read = 0;
    while read < first.len() {
        match transport.read(&mut first[read..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
        if first[..read] != HTTP2_PREFACE[..read] {
            return Ok((Protocol::Http1, Bytes::copy_from_slice(&first[..read])));
        }
    }
    Ok((Protocol::Http2, Bytes::copy_from_slice(&first)))
}

async fn http1(wire: Wire<TcpStream>, address: SocketAddr, host: &Host, entry: Entry) {
    let (turns, slot) = (Turns::default(), Arc::new(Slot::default()));
    let mut pace = Pace::new(turns.clone(), host.patience.head, host.patience.idle);
    let wire = wire.counted(turns.clone()).offered(Arc::clone(&slot));
    let answers = Answers {
        router: host.router.clone(),
        address,
        turns,
        offer: Some(Offer::new(Arc::clone(&slot))),
        entry: Some(entry.clone()),
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Our own limit tells the head of a request from the time before it.
        .header_read_timeout(None)
        .max_header_size(HEAD_MAX)
        .serve_connection(TokioIo::new(wire), answers)
        .with_upgrades();
    let mut shutdown = pin!(host.shutdown.cancelled());
    let mut ending = false;
    let taker = poll_fn(|cx| {
        if !ending && shutdown.as_mut().poll(cx).is_ready() {
            ending = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            note(ended);
            return Poll::Ready(None);
        }
        // Who has not sent a whole head by now keeps nobody waiting.
        drop(entry.take());
        match slot.taker() {
            Some(taker) => Poll::Ready(Some(taker)),
            None => pace.poll_over(cx).map(|()| None),
        }
    })
    .await;
    // Taken apart without a word to the client: what follows is part of the answer that has begun.
    if let Some((taker, parts)) = taker.zip(connection.into_parts()) {
        let socket = parts.io.into_inner().into_inner();
        taker.take_over(PlainConnection { socket, open: host.open.token() });
    }
}

async fn http2(wire: Wire<TcpStream>, address: SocketAddr, host: &Host) {
    let answers =
        Answers { router: host.router.clone(), address, turns: Turns::default(), offer: None, entry: None };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING)
        // For WebSockets over HTTP/2 (RFC 8441).
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(wire), answers);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return note(ended),
        () = host.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    note(connection.await);
}

/// How a connection ended is the client's affair.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Answers the requests of one connection.
struct Answers {
    router: Router,
    address: SocketAddr,
    turns: Turns,
    /// Made with every request of plain HTTP/1.1.
    offer: Option<Offer>,
    /// For the first request.
    entry: Option<Entry>,
}

impl HyperService<Request<Incoming>> for Answers {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let turn = self.turns.begin();
        if request.headers().len() > FIELDS_MAX {
            let refused = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
            return Box::pin(async { Ok(refused.map(|body| Answer { body, turn })) });
        }
        let mut request = request.map(Body::new);
        let version = request.version();
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(self.address));
        // An older client takes no chunks.
        if let Some(offer) = self.offer.clone().filter(|_| version == Version::HTTP_11) {
            extensions.insert(offer);
        }
        let permit = self.entry.as_ref().and_then(Entry::take);
        let answer = self.router.clone().call(request);
        Box::pin(async {
            let answered = answer.await;
            drop(permit);
            answered.map(|response| response.map(|body| Answer { body, turn }))
        })
    }
}

/// The body of an answer; the request's turn is over with it.
struct Answer {
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
