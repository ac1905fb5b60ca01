//! One connection: which protocol it speaks, and what its client is allowed.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{Router, body::Bytes};
use hyper::{
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    answers::{Answers, Entry},
    connection_limit::Place,
    flood::Frames,
    handover::{Offer, Open, PlainConnection, Slot, Takeover},
    leeway::Leeway,
    pace::{Pace, Turns},
    stall::{StallGuard, TAKING},
    tarpit::Tarpit,
    tls,
    untaken::{Streams, Untaken},
    wire::Wire,
};

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4); nothing of HTTP/1.1 does.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of the head of a request.
const HEAD_MAX: usize = 32 * 1024;
/// Connections whose first request is answered at the same time. What each of them takes meanwhile is many times
/// what a stream takes later, so that thousands who come at once are let in one after the other.
pub(super) const CROWD: usize = 256;
/// How often a silent HTTP/2 client is asked for a sign of life, and how long it may take with that.
const HTTP2_PING: Duration = Duration::from_secs(30);
/// Requests of an HTTP/2 connection that are answered at the same time, an event stream being one.
const HTTP2_STREAMS: u32 = 100;
/// Requests of an HTTP/2 connection that may be taken back before they were looked at.
const HTTP2_RESETS: usize = 20;
/// Streams of an HTTP/2 connection that may break the protocol, before the connection is ended.
const HTTP2_ERRORS: usize = 100;
/// Bytes of a body, and of all bodies of a connection, that may come before somebody reads them.
const HTTP2_WINDOW: u32 = 64 * 1024;
const HTTP2_WINDOWS: u32 = 512 * 1024;
/// Bytes of an answer that may wait for its HTTP/2 client.
const HTTP2_UNSENT: usize = 64 * 1024;
/// How slowly the client of an HTTP/2 connection may take one of its answers. A quarter of what it may take over all of
/// them, because they share a line, and up to a hundred frames of 16 KiB go before the next of one.
const STREAM: Leeway = Leeway { most: Duration::from_mins(2), rate: 128 };
/// How long an HTTP/2 client that has nothing to ask any more may take to go.
const HTTP2_GOODBYE: Duration = Duration::from_secs(1);

/// Bytes that a client must send a second, while its body is waited for.
pub(super) const BODY_RATE: u32 = 1024;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until its protocol is known.
    pub first_bytes: Duration,
    /// With the head of a request, from its first byte, and with the handshake of TLS.
    pub head: Duration,
    /// With the body of a request.
    pub body: Leeway,
    /// Until the next request.
    pub idle: Duration,
    /// To take what is written.
    pub taking: Leeway,
    /// To take an answer of HTTP/2, among all others of its connection.
    pub stream: Leeway,
    /// Until its first request is looked at, when many have come at once.
    pub crowd: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_bytes: Duration::from_secs(5),
            head: Duration::from_secs(10),
            body: Leeway { most: Duration::from_secs(15), rate: BODY_RATE },
            // More than the minute for which reverse proxies keep connections by default.
            idle: Duration::from_secs(75),
            taking: TAKING,
            stream: STREAM,
            // Longer than that only the others' slow answers last.
            crowd: Duration::from_secs(3),
        }
    }
}

/// What all connections of a listener share.
pub(super) struct Host {
    /// Answers.
    pub router: Router,
    /// Shakes hands, unless clients are served in clear text.
    pub tls: Option<TlsAcceptor>,
    /// The time limits.
    pub patience: Patience,
    /// No more requests after this.
    pub shutdown: CancellationToken,
    /// Counts the open connections.
    pub open: TaskTracker,
    /// Lets new connections in.
    pub crowd: Arc<Semaphore>,
    /// Holds back what is refused for its rate.
    pub tarpit: Tarpit,
}

/// Serves a connection until it ends or is handed over.
pub(super) async fn serve(socket: TcpStream, address: SocketAddr, place: Place, host: Arc<Host>) {
    // Without it, small writes wait for acknowledgements.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let socket = StallGuard::new(socket, host.patience.taking);
    match &host.tls {
        None => plain(socket, address, place, &host).await,
        // Boxed, so that connections in clear text take no more for it.
        Some(acceptor) => {
            Box::pin(secure(acceptor, socket, address, &host)).await;
            drop(place);
        }
    }
}

async fn plain(mut socket: StallGuard<TcpStream>, address: SocketAddr, place: Place, host: &Host) {
    let Some((protocol, first)) = host.recognise(&mut socket).await else { return };
    let wire = Wire::new(socket, first);
    let entry = host.let_in().await;
    // Boxed, so that whoever waits up to here takes little.
    match protocol {
        Protocol::Http1 => {
            let slot = Arc::new(Slot::default());
            let wire = wire.offered(Arc::clone(&slot));
            let serving = Box::pin(http1(wire, address, host, entry, Some(slot)));
            if let Some((taker, wire)) = serving.await {
                let socket = wire.into_inner().into_inner();
                taker.take_over(PlainConnection { socket, open: Open::new(place, host.open.token()) });
            }
        }
        Protocol::Http2 => Box::pin(http2(wire, address, host)).await,
    }
}

async fn secure(acceptor: &TlsAcceptor, socket: StallGuard<TcpStream>, address: SocketAddr, host: &Host) {
    let handshake = host.shutdown.run_until_cancelled(host.shake_hands(acceptor, socket)).await;
    let Some(Some(mut stream)) = handshake else { return };
    let by_name = match stream.get_ref().1.alpn_protocol() {
        Some(tls::H2) => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let Some((protocol, first)) = host.recognise(&mut stream).await else { return };
    if protocol != by_name {
        tracing::debug!("a client speaks another protocol than it agreed to");
        return;
    }
    let wire = Wire::new(stream, first);
    let entry = host.let_in().await;
    match protocol {
        Protocol::Http1 => drop(http1(wire, address, host, entry, None).await),
        Protocol::Http2 => http2(wire, address, host).await,
    }
}

impl Host {
    /// The stream inside TLS, if the client begins and ends its handshake in time.
    async fn shake_hands(
        &self,
        acceptor: &TlsAcceptor,
        socket: StallGuard<TcpStream>,
    ) -> Option<TlsStream<StallGuard<TcpStream>>> {
        timeout(self.patience.first_bytes, socket.get_ref().readable()).await.ok()?.ok()?;
        let handshake = timeout(self.patience.head, acceptor.accept(socket)).await.ok()?;
        handshake.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed")).ok()
    }

    /// The protocol and the bytes that told it, if they come in time.
    async fn recognise(&self, transport: &mut (impl AsyncRead + Unpin)) -> Option<(Protocol, Bytes)> {
        let recognised = timeout(self.patience.first_bytes, recognise(transport));
        self.shutdown.run_until_cancelled(recognised).await?.ok()?.ok()
    }

    /// Waits until there is room for one more who is new.
    async fn let_in(&self) -> Entry {
        let permit = timeout(self.patience.crowd, Arc::clone(&self.crowd).acquire_owned()).await;
        Entry::new(permit.ok().and_then(Result::ok))
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

/// Serves HTTP/1.1 until the end, or until the connection is handed over by way of `slot`.
async fn http1<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    wire: Wire<T>,
    address: SocketAddr,
    host: &Host,
    entry: Entry,
    slot: Option<Arc<Slot>>,
) -> Option<(Box<dyn Takeover>, Wire<T>)> {
    let turns = Turns::default();
    let mut pace = Pace::new(turns.clone(), host.patience.head, host.patience.idle);
    let wire = wire.counted(turns.clone());
    let answers = Answers {
        router: host.router.clone(),
        address,
        turns,
        offer: slot.clone().map(Offer::new),
        sending: host.patience.body,
        tarpit: host.tarpit.clone(),
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
        match slot.as_ref().and_then(|slot| slot.taker()) {
            Some(taker) => Poll::Ready(Some(taker)),
            None => pace.poll_over(cx).map(|()| None),
        }
    })
    .await;
    // Taken apart without a word to the client: what follows is part of the answer that has begun.
    let (taker, parts) = taker.zip(connection.into_parts())?;
    Some((taker, parts.io.into_inner()))
}

async fn http2<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    wire: Wire<T>,
    address: SocketAddr,
    host: &Host,
) {
    let turns = Turns::default();
    let mut pace = Pace::new(turns.clone(), host.patience.head, host.patience.idle);
    let wire = wire.metered(Frames::after(HTTP2_PREFACE.len(), turns.clone()));
    let answers = Answers {
        router: host.router.clone(),
        address,
        turns,
        offer: None,
        sending: host.patience.body,
        tarpit: host.tarpit.clone(),
        entry: None,
    };
    let answers = service_fn(move |request| {
        let answer = answers.call(request);
        async { answer.await.map(|response| response.map(Untaken::new)) }
    });
    let connection = http2::Builder::new(Streams(host.patience.stream))
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_pending_accept_reset_streams(HTTP2_RESETS)
        .max_local_error_reset_streams(HTTP2_ERRORS)
        .initial_stream_window_size(HTTP2_WINDOW)
        .initial_connection_window_size(HTTP2_WINDOWS)
        .max_send_buf_size(HTTP2_UNSENT)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING)
        // For WebSockets over HTTP/2 (RFC 8441).
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(wire), answers);
    let mut connection = pin!(connection);
    let over = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => pace.poll_over(cx).map(|()| None),
    });
    match host.shutdown.run_until_cancelled(over).await {
        Some(Some(ended)) => note(ended),
        // Nobody waits for an answer.
        Some(None) => {
            connection.as_mut().graceful_shutdown();
            if let Ok(ended) = timeout(HTTP2_GOODBYE, connection).await {
                note(ended);
            }
        }
        None => {
            connection.as_mut().graceful_shutdown();
            note(connection.await);
        }
    }
}

/// How a connection ended is the client's affair.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
