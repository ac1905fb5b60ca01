use axum::{
    Extension,
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::JoinHandle,
};

mod tls;

use super::*;
use crate::http::{
    handover::{Offer, PlainConnection, Takeover},
    layers::around,
};

/// Short for what is waited for, and far beyond a test's duration for the rest.
const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_mins(10);
const PATIENT: Patience = Patience { first_bytes: LONG, head: LONG, idle: LONG, stall: LONG };
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

struct Site {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Site {
    async fn start(patience: Patience) -> io::Result<Self> {
        Self::start_by(patience, None).await
    }

    async fn start_by(patience: Patience, tls: Option<Tls>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shutdown = CancellationToken::new();
        let router = around(Router::new().route("/", get(async || "here")).route("/stream", get(stream)));
        let serving = tokio::spawn(serve(listener, router, tls, patience, shutdown.clone(), LONG));
        Ok(Self { address, shutdown, serving })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.address).await
    }

    /// Ends the server, which must wait for nobody.
    async fn end(self) -> io::Result<()> {
        self.shutdown.cancel();
        self.serving.await.map_err(io::Error::other)
    }
}

/// Writes one more chunk once it has the socket, and waits for the client to hang up.
struct Writer;

impl Takeover for Writer {
    fn take_over(self: Box<Self>, connection: PlainConnection) {
        let PlainConnection { mut socket, open } = connection;
        tokio::spawn(async move {
            socket.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await?;
            let mut rest = [0; 1];
            while socket.read(&mut rest).await? > 0 {}
            drop(open);
            io::Result::Ok(())
        });
    }
}

async fn stream(offer: Option<Extension<Offer>>) -> Response {
    match offer {
        Some(Extension(offer)) => {
            ([(header::CONNECTION, "close")], offer.accept(Bytes::from("first"), Writer)).into_response()
        }
        None => Body::from("no offer").into_response(),
    }
}

/// Sends a request on a connection that stays open, and reads the answer with its body, `here`.
async fn is_answered(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    socket.write_all(GET).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        assert_ne!(socket.read_buf(&mut answer).await?, 0, "{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// Reads to the end, which must come, whether in peace or not.
async fn closes(mut socket: impl AsyncRead + Unpin) -> String {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut rest).await;
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn a_silent_socket_is_closed_and_the_others_are_served() -> io::Result<()> {
    let site = Site::start(Patience { first_bytes: SHORT, ..PATIENT }).await?;
    let (silent, mut lively) = (site.connect().await?, site.connect().await?);
    is_answered(&mut lively).await?;
    assert_eq!(closes(silent).await, "");
    is_answered(&mut lively).await?;
    // As little as may begin either protocol counts as silence.
    let mut undecided = site.connect().await?;
    undecided.write_all(b"PRI").await?;
    assert_eq!(closes(undecided).await, "");
    is_answered(&mut lively).await
}

#[tokio::test]
async fn a_head_that_dribbles_is_cut_off_and_the_others_are_served() -> io::Result<()> {
    let site = Site::start(Patience { head: SHORT, ..PATIENT }).await?;
    let (dribbling, mut lively) = (site.connect().await?, site.connect().await?);
    is_answered(&mut lively).await?;
    let (mut reading, mut writing) = dribbling.into_split();
    let dribble = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = reading.read_to_end(&mut rest).await;
    dribble.await.map_err(io::Error::other)?;
    // The limit is on heads: a connection between two requests outlasts it.
    sleep(2 * SHORT).await;
    is_answered(&mut lively).await?;
    is_answered(&mut lively).await
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_in_the_end() -> io::Result<()> {
    let site = Site::start(Patience { idle: SHORT, ..PATIENT }).await?;
    let mut idle = site.connect().await?;
    is_answered(&mut idle).await?;
    assert_eq!(closes(idle).await, "");
    Ok(())
}

#[tokio::test]
async fn a_large_head_is_refused() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let fields = |count: usize, value: &str| format!("X: {value}\r\n").repeat(count);
    for (fields, status) in [
        (fields(60, ""), "200"),
        (fields(65, ""), "431"),
        (fields(200, ""), "431"),
        (fields(1, &"x".repeat(31_000)), "200"),
        (fields(1, &"x".repeat(33_000)), "431"),
    ] {
        let mut socket = site.connect().await?;
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
        socket.write_all(request.as_bytes()).await?;
        let answer = closes(socket).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{} bytes: {answer}", request.len());
    }
    Ok(())
}

#[tokio::test]
async fn http_2_is_told_apart_by_its_preface() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let mut socket = site.connect().await?;
    // In two pieces, and after it an empty SETTINGS frame (RFC 9113, section 6.5).
    socket.write_all(b"PRI * HTTP/2.0\r\n").await?;
    sleep(Duration::from_millis(20)).await;
    socket.write_all(b"\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let mut head = [0; 9];
    socket.read_exact(&mut head).await?;
    assert_eq!(head[3], 4, "the server's SETTINGS: {head:?}");
    drop(socket);
    site.end().await
}

#[tokio::test]
async fn a_connection_is_handed_over_once_the_answer_has_begun() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let mut socket = site.connect().await?;
    is_answered(&mut socket).await?;
    socket.write_all(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"0\r\n\r\n") {
        assert_ne!(socket.read_buf(&mut answer).await?, 0);
    }
    let answer = String::from_utf8_lossy(&answer);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    assert_eq!(body, Some("5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    // The end of the server waits for it, as for any open answer.
    site.shutdown.cancel();
    assert!(!site.serving.is_finished());
    drop(socket);
    site.end().await
}

#[tokio::test]
async fn nothing_is_offered_to_http_1_0_and_nothing_handed_over_for_a_head() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let mut old = site.connect().await?;
    old.write_all(b"GET /stream HTTP/1.0\r\n\r\n").await?;
    assert!(closes(old).await.ends_with("\r\n\r\nno offer"));
    let mut curious = site.connect().await?;
    curious.write_all(b"HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    assert!(closes(curious).await.ends_with("\r\n\r\n"));
    Ok(())
}

#[tokio::test]
async fn the_end_waits_for_answers_and_not_for_idle_connections() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let (mut idle, silent) = (site.connect().await?, site.connect().await?);
    is_answered(&mut idle).await?;
    site.end().await?;
    assert_eq!(closes(idle).await, "");
    assert_eq!(closes(silent).await, "");
    Ok(())
}
