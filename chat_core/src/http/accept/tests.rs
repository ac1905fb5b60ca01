use std::{future::pending, iter::repeat_n, net::IpAddr};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::Request,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpSocket,
    task::JoinHandle,
    time::Instant,
};

mod http2;
mod slow;
mod tls;

use super::*;
use crate::{
    http::{
        capacity,
        connection_limit::ConnectionLimits,
        handover::{Offer, PlainConnection, Takeover},
        json,
        layers::around,
        leeway::Leeway,
        tarpit::HELD_LEAST,
    },
    problem::Problem,
    pulse::Pulse,
};

/// Short for what is waited for, and far beyond a test's duration for the rest.
const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_mins(10);
const PATIENT: Patience = Patience {
    first_bytes: LONG,
    head: LONG,
    body: EASY,
    idle: LONG,
    taking: EASY,
    stream: EASY,
    crowd: LONG,
};
/// The same for what a client is to send or take, in time or at a rate.
const EASY: Leeway = Leeway { most: LONG, rate: 1 };
const HARD: Leeway = Leeway { most: SHORT, rate: 1024 };
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn router() -> Router {
    let soon = Arc::new(capacity::Capacity::new(1000, SHORT, Pulse::for_test()));
    Router::new()
        .route("/", get(async || "here"))
        .route("/stream", get(stream))
        .route("/wait", get(pending::<()>))
        .route("/refused", get(async || StatusCode::TOO_MANY_REQUESTS))
        .route("/endless", get(slow::endless))
        .route("/slowly", get(slow::slowly))
        .route("/page", get(http2::slow::page))
        .route("/page/streamed", get(http2::slow::streamed))
        .route("/quiet", get(http2::slow::quiet))
        .route("/body", post(length))
        .route(
            "/body/soon",
            post(length).layer(middleware::from_fn_with_state(soon, capacity::answer_within)),
        )
}

/// The length of the body.
async fn length(request: Request) -> Result<String, Problem> {
    Ok(json::read(request, &()).await?.len().to_string())
}

struct Site {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Site {
    async fn start(patience: Patience) -> io::Result<Self> {
        Self::start_by(Door { patience, ..Door::default() }).await
    }

    async fn start_by(door: Door) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shutdown = CancellationToken::new();
        let router = around(router(), &[]);
        let serving = tokio::spawn(serve(listener, router, Door { drain: LONG, ..door }, shutdown.clone()));
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
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::other(String::from_utf8_lossy(&answer)));
        }
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
async fn refusals_are_held_back_and_nobody_waits_for_them() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let (mut refused, mut other) = (site.connect().await?, site.connect().await?);
    let begun = Instant::now();
    refused.write_all(b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    is_answered(&mut other).await?;
    let mut start = [0; 12];
    refused.read_exact(&mut start).await?;
    assert_eq!(&start, b"HTTP/1.1 429");
    assert!(begun.elapsed() >= HELD_LEAST);
    // The connection goes on.
    while refused.read(&mut [0; 4096]).await? == 4096 {}
    is_answered(&mut refused).await?;
    site.end().await
}

#[tokio::test]
async fn a_silent_socket_is_closed_and_the_others_are_served() -> io::Result<()> {
    let site = Site::start(Patience { first_bytes: SHORT, ..PATIENT }).await?;
    let (silent, mut lively) = (site.connect().await?, site.connect().await?);
    is_answered(&mut lively).await?;
    assert_eq!(closes(silent).await, "");
    is_answered(&mut lively).await?;
    // As little as may begin either protocol counts as silence, and so does half a preface.
    for some in ["P", "PRI * HTTP/2"] {
        let mut undecided = site.connect().await?;
        undecided.write_all(some.as_bytes()).await?;
        assert_eq!(closes(undecided).await, "");
        is_answered(&mut lively).await?;
    }
    Ok(())
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
async fn a_head_of_300_kb_is_refused_and_the_others_are_served() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let (mut large, mut lively) = (site.connect().await?, site.connect().await?);
    is_answered(&mut lively).await?;
    large.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ").await?;
    let (reading, mut writing) = large.into_split();
    let writing = tokio::spawn(async move { writing.write_all(&vec![b'x'; 300_000]).await });
    let answer = closes(reading).await;
    // The refusal can be lost with what had not been read when it came.
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    drop(writing.await);
    is_answered(&mut lively).await
}

/// Sends the head of a request with a body of 1,000 bytes, and of that one byte after the other.
async fn dribble(mut socket: TcpStream, path: &str, pause: Duration, count: usize) -> io::Result<String> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    socket.write_all(format!("{head}Content-Length: 1000\r\n\r\n").as_bytes()).await?;
    let (reading, mut writing) = socket.into_split();
    let writing = tokio::spawn(async move {
        for byte in repeat_n(b'x', count) {
            if writing.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(pause).await;
        }
        // The other half stays open.
        writing.forget();
    });
    let answer = closes(reading).await;
    writing.abort();
    Ok(answer)
}

#[tokio::test]
async fn a_body_that_stalls_or_dribbles_is_cut_off_and_the_others_are_served() -> io::Result<()> {
    let site = Site::start(Patience { body: HARD, ..PATIENT }).await?;
    let mut lively = site.connect().await?;
    is_answered(&mut lively).await?;
    let (stalled, dribbled) = tokio::join!(
        dribble(site.connect().await?, "/body", Duration::ZERO, 10),
        // Never idle for long, and far from the least rate.
        dribble(site.connect().await?, "/body", Duration::from_millis(10), 1_000),
    );
    for answer in [stalled?, dribbled?] {
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains(r#""code":"too_slow""#), "{answer}");
    }
    is_answered(&mut lively).await
}

#[tokio::test]
async fn what_waits_for_its_body_is_not_held_against_the_handler() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let mut socket = site.connect().await?;
    let head =
        "POST /body/soon HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    socket.write_all(format!("{head}Content-Length: 6\r\n\r\n").as_bytes()).await?;
    for _ in 0..3 {
        sleep(SHORT).await;
        socket.write_all(b"xx").await?;
    }
    let answer = closes(socket).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n6"), "{answer}");
    Ok(())
}

const GET_WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";

/// A site that lets in one new connection after the other.
async fn narrow(patience: Patience) -> io::Result<Site> {
    Site::start_by(Door { crowd: 1, patience, ..Door::default() }).await
}

#[tokio::test]
async fn those_who_come_at_once_are_let_in_one_after_the_other() -> io::Result<()> {
    let site = narrow(PATIENT).await?;
    let mut known = site.connect().await?;
    is_answered(&mut known).await?;
    let mut first = site.connect().await?;
    first.write_all(GET_WAIT).await?;
    let mut second = site.connect().await?;
    assert!(timeout(SHORT, is_answered(&mut second)).await.is_err(), "the first is being answered");
    // Who has been let in before waits for nobody.
    is_answered(&mut known).await?;
    // Whoever goes makes room.
    drop(first);
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        assert_ne!(second.read_buf(&mut answer).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn who_has_not_asked_yet_keeps_nobody_waiting() -> io::Result<()> {
    let site = narrow(PATIENT).await?;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut socket = site.connect().await?;
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await?;
        slow.push(socket);
    }
    is_answered(&mut site.connect().await?).await?;
    // Nor does who owes the body.
    let mut owing = site.connect().await?;
    let head =
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";
    owing.write_all(head.as_bytes()).await?;
    is_answered(&mut site.connect().await?).await?;
    // Their turn comes when they have asked.
    for mut socket in slow {
        socket.write_all(b"\r\n").await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            assert_ne!(socket.read_buf(&mut answer).await?, 0);
        }
    }
    Ok(())
}

#[tokio::test]
async fn slow_answers_keep_nobody_out_for_long() -> io::Result<()> {
    let site = narrow(Patience { crowd: SHORT, ..PATIENT }).await?;
    let mut first = site.connect().await?;
    first.write_all(GET_WAIT).await?;
    is_answered(&mut site.connect().await?).await?;
    is_answered(&mut site.connect().await?).await
}

/// A connection from another address of this machine.
async fn connect_from(host: [u8; 4], site: &Site) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((host, 0).into())?;
    socket.connect(site.address).await
}

#[tokio::test]
async fn connections_are_capped_by_address_and_in_all() -> io::Result<()> {
    let limits = ConnectionLimits { connections: 4, per_address: 2 };
    let trusted = |address: IpAddr| address == IpAddr::from([127, 0, 0, 9]);
    let limiter = ConnectionLimiter::new(limits, Box::new(trusted));
    let site = Site::start_by(Door { limiter, patience: PATIENT, ..Door::default() }).await?;
    let (mut first, mut stream) = (site.connect().await?, site.connect().await?);
    is_answered(&mut first).await?;
    stream.write_all(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"0\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await?, 0);
    }
    // A stream that was handed over counts like any other connection.
    assert_eq!(closes(site.connect().await?).await, "");
    let mut elsewhere = connect_from([127, 0, 0, 2], &site).await?;
    is_answered(&mut elsewhere).await?;
    let mut proxy = connect_from([127, 0, 0, 9], &site).await?;
    is_answered(&mut proxy).await?;
    assert_eq!(closes(connect_from([127, 0, 0, 9], &site).await?).await, "");
    is_answered(&mut first).await?;
    // Who goes makes room, which takes a moment to be noticed.
    drop((stream, elsewhere));
    let mut answered = false;
    for _ in 0..500 {
        answered = is_answered(&mut site.connect().await?).await.is_ok();
        if answered {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(answered);
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
