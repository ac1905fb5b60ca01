//! How a stream stands on the wire: as chunks written without hyper, and as hyper frames it.

use fechatter_tests::{Actor, Site};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A stream read byte by byte.
struct Raw {
    socket: TcpStream,
    read: String,
}

impl Raw {
    async fn open(actor: &Actor, version: &str) -> Self {
        let mut socket = TcpStream::connect(actor.notify).await.expect("a connection");
        let token = &actor.token;
        let request = format!(
            "GET /api/notifications/events HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.expect("a request");
        let mut raw = Self { socket, read: String::new() };
        raw.until("event: hello").await;
        raw
    }

    async fn until(&mut self, mark: &str) {
        while !self.read.contains(mark) {
            assert!(self.more().await, "it ended before {mark:?}: {}", self.read);
        }
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let reading = self.socket.read(&mut buffer);
        let read = tokio::time::timeout(std::time::Duration::from_secs(15), reading).await;
        let read = read.expect("something in time").unwrap_or_default();
        self.read.push_str(std::str::from_utf8(&buffer[..read]).expect("ASCII"));
        read > 0
    }

    /// Reads to the end; answers the head and the body.
    async fn end(mut self) -> (String, String) {
        while self.more().await {}
        let (head, body) = self.read.split_once("\r\n\r\n").expect("a head");
        (head.to_lowercase(), body.to_owned())
    }
}

/// The text in the chunks of a body, which must have its last chunk (RFC 9112, section 7.1).
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").expect("a length");
        let length = usize::from_str_radix(length, 16).expect("a hexadecimal number");
        let (chunk, rest) = rest.split_at(length);
        body = rest.strip_prefix("\r\n").expect("the end of a chunk");
        if length == 0 {
            assert_eq!(body, "", "nothing comes after the last chunk");
            return text;
        }
        text.push_str(chunk);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_plain_text_say_the_same() {
    let site = Site::start_with(|_, notify| notify.stream.heartbeat_s = 1).await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let (mut chunked, mut plain) = (Raw::open(&bob, "1.1").await, Raw::open(&bob, "1.0").await);
    // Some at once, then from a socket that has been idle for long enough to be pinged.
    for content in ["one", "two", "three"] {
        ann.send(&chat, content).await;
    }
    for stream in [&mut chunked, &mut plain] {
        stream.until("three").await;
        stream.until("event: ping").await;
    }
    ann.send(&chat, "four").await;
    for stream in [&mut chunked, &mut plain] {
        stream.until("four").await;
    }
    bob.act("/api/auth/signout").await.expect(204);
    let (head, body) = chunked.end().await;
    assert!(head.contains("transfer-encoding: chunked") && head.contains("connection: close"), "{head}");
    let chunked = events(&unchunked(&body));
    let (head, body) = plain.end().await;
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(chunked, events(&body));
    assert_eq!(chunked.iter().filter(|event| event.contains("event: message")).count(), 4);
    assert!(chunked.last().is_some_and(|event| event.contains("session_revoked")));
}

/// The events of a stream but for its own: those differ from stream to stream.
fn events(text: &str) -> Vec<String> {
    assert!(text.ends_with("\n\n"), "the last event is whole");
    let random = |event: &&str| event.contains("event: hello") || event.contains("event: ping");
    let events = text.trim_end().split("\n\n").filter(|event| !random(event));
    events.map(|event| event.split(",\"reconnect_ms\"").next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_after_its_request_changes_nothing() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let mut stream = Raw::open(&ann, "1.1").await;
    stream.socket.write_all(&[b'x'; 5_000]).await.expect("a write");
    ann.make_workspace("Acme").await;
    stream.until("workspace_update").await;
    // An end of what it sends is the end of the stream.
    stream.socket.shutdown().await.expect("a shutdown");
    stream.end().await;
}
