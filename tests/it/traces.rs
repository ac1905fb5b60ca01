//! Traces, as a collector gets them from the real programs.

mod tls;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use fechatter_tests::{
    Actor, cluster,
    program::{Program, address_in},
};
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as AnyValue},
    trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

/// What came, as it came and as spans with their service's name.
#[derive(Clone, Default)]
struct Collector {
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    /// Listens on a free port until the test's runtime ends.
    async fn start() -> (Self, SocketAddr) {
        let (collector, router) = Self::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, address)
    }

    /// One that does not listen yet.
    fn new() -> (Self, Router) {
        let collector = Self::default();
        let take = async |State(collector): State<Self>, body: Bytes| {
            collector.bodies.lock().expect("no panic").push(body);
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        (collector, router)
    }

    fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        for body in &*self.bodies.lock().expect("no panic") {
            let request = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
            for resource in request.resource_spans {
                let attributes = resource.resource.expect("a resource").attributes;
                let service = text(&attributes, "service.name").expect("a service");
                let spans_of = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(spans_of.map(|span| (service.clone(), span)));
            }
        }
        spans
    }

    /// Waits for a span that is `right`.
    async fn until(&self, right: impl Fn(&Span) -> bool) -> Span {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let spans = self.spans();
            if let Some((_, span)) = spans.iter().find(|(_, span)| right(span)) {
                return span.clone();
            }
            let names: Vec<_> = spans.iter().map(|(_, span)| &span.name).collect();
            assert!(Instant::now() < end, "it did not come, but {names:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        AnyValue::StringValue(text) => Some(text.clone()),
        AnyValue::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

/// An id as `traceparent` writes it.
fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl Drop for Up {
    fn drop(&mut self) {
        // Why a test fails often stands there.
        if std::thread::panicking() {
            eprintln!("the program said: {}", self.program.said_by_now());
        }
    }
}

struct Up {
    program: Program,
    anonymous: Actor,
    _folder: tempfile::TempDir,
}

/// `fechatter up` that sends traces to `collector`.
async fn up(collector: SocketAddr, settings: &[(&str, &str)]) -> Up {
    up_to(&format!("http://{collector}"), settings).await
}

/// The same, by the collector's URL.
async fn up_to(endpoint: &str, settings: &[(&str, &str)]) -> Up {
    let folder = tempfile::tempdir().expect("a folder");
    let url = cluster::fresh_database().await;
    let mut variables = vec![
        ("FECHATTER_SERVER__PORT", "0"),
        ("FECHATTER_SERVER__ADMIN_PORT", "0"),
        ("FECHATTER_DATABASE__URL", url.as_str()),
        ("FECHATTER_TELEMETRY__OTLP_ENDPOINT", endpoint),
        ("FECHATTER_TELEMETRY__SERVICE_NAME", "chat in a test"),
        ("FECHATTER_LOG__FILTER", "info,chat_core::http=debug"),
    ];
    variables.extend(settings);
    let mut program = Program::start("fechatter", folder.path(), &["up"], &variables);
    let address = tokio::task::block_in_place(|| address_in(&program.until("Fechatter is ready")));
    Up { program, anonymous: Actor::anonymous_at(address, address), _folder: folder }
}

async fn sign_up(anonymous: &Actor) -> Actor {
    let body =
        json!({ "email": "ann@example.com", "password": "a long enough phrase", "full_name": "Marianne" });
    let session = anonymous.post("/api/auth/signup", body).await.expect(201);
    let text = |field: &str| session[field].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
    Actor { id: text("id"), token: text("token"), refresh_token: text("refresh_token"), ..anonymous.clone() }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A request in the trace of somebody else.
async fn ask_in_trace(person: &Actor, path: &str) {
    let request = person.client.get(format!("http://{}{path}", person.rest)).bearer_auth(&person.token);
    let answer = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_the_collector_and_hold_nothing_secret() {
    let (collector, address) = Collector::start().await;
    let settings = [
        ("FECHATTER_TELEMETRY__TRUSTED_CALLERS", "10.0.0.0/8, 127.0.0.1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let mut up = up(address, &settings).await;
    let ann = sign_up(&up.anonymous).await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let ticket = ann.act("/api/notifications/ticket").await.expect(201)["ticket"].clone();
    let ticket = ticket.as_str().expect("a ticket");
    let mut stream = fechatter_tests::Stream::open_with_ticket(&ann, ticket, "").await;
    ann.send(&chat, "a private word").await;
    stream.expect_message("a private word").await;
    ann.get("/api/nothing?token=in-a-query").await.expect(404);
    ask_in_trace(&ann, "/api/users/me").await;

    let send = collector.until(|span| span.name == "POST /api/chats/{id}/messages").await;
    assert_eq!(send.kind, 2, "a server's");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/api/chats/{id}/messages"),
        ("http.response.status_code", "201"),
        ("user_id", ann.id.as_str()),
    ] {
        assert_eq!(text(&send.attributes, key).as_deref(), Some(value), "{key}");
    }
    // The batch is a trace of its own, which names the requests that it was for.
    let sending = collector.until(|span| span.name == "send").await;
    assert_eq!(sending.trace_id, send.trace_id);
    let batch = collector.until(|span| span.name == "write_messages").await;
    assert!(batch.links.iter().any(|link| link.trace_id == send.trace_id), "{batch:?}");
    for name in [
        "POST /api/auth/signup",
        "POST /api/workspaces",
        "POST /api/chats",
        "POST /api/notifications/ticket",
        "GET /api/notifications/events",
        "GET",
        "hash_password",
        "begin_write",
        "subscribe",
        "deliver",
    ] {
        collector.until(|span| span.name == name).await;
    }

    let asked = collector.until(|span| span.name == "GET /api/users/me").await;
    assert_eq!((hex(&asked.trace_id), hex(&asked.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert!(collector.spans().iter().all(|(service, _)| service == "chat in a test"));

    up.program.signal(Signal::SIGTERM);
    stream.until("bye").await;
    assert!(tokio::task::block_in_place(|| up.program.end()).success(), "{}", up.program.said);
    let line = up.program.said.lines().find(|line| line.contains("/api/users/me") && line.contains(TRACE));
    let line = line.unwrap_or_else(|| panic!("no line of the request with its trace: {}", up.program.said));
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["span"]["trace_id"], TRACE);
    let bodies = collector.bodies.lock().expect("no panic").concat();
    let all = String::from_utf8_lossy(&bodies).into_owned() + &up.program.said;
    for secret in [
        "a private word",
        "ann@example.com",
        "a long enough",
        "Marianne",
        "Acme",
        "in-a-query",
        ticket,
        &ann.token,
    ] {
        assert!(!all.contains(secret), "{secret} was told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_begin_no_traces_and_the_end_sends_what_is_left() {
    let (collector, address) = Collector::start().await;
    // Nothing is sent before the end.
    let mut up = up(address, &[("OTEL_BSP_SCHEDULE_DELAY", "60000")]).await;
    let ann = sign_up(&up.anonymous).await;
    ask_in_trace(&ann, "/api/users/me").await;
    assert!(collector.spans().is_empty());
    up.program.signal(Signal::SIGTERM);
    assert!(tokio::task::block_in_place(|| up.program.end()).success(), "{}", up.program.said);
    let asked = collector.until(|span| span.name == "GET /api/users/me").await;
    assert_ne!(hex(&asked.trace_id), TRACE);
    assert!(asked.parent_span_id.is_empty(), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_harms_nobody_and_nonsense_stops_the_start() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let mut up = up(gone, &[("OTEL_BSP_SCHEDULE_DELAY", "50")]).await;
    let ann = sign_up(&up.anonymous).await;
    ann.get("/api/users/me").await.expect(200);
    up.program.signal(Signal::SIGTERM);
    assert!(tokio::task::block_in_place(|| up.program.end()).success(), "{}", up.program.said);

    let folder = tempfile::tempdir().expect("a folder");
    for (name, value, mark) in [
        ("FECHATTER_TELEMETRY__OTLP_ENDPOINT", "localhost:4318", "telemetry.otlp_endpoint"),
        ("FECHATTER_TELEMETRY__SAMPLE_RATIO", "2", "telemetry.sample_ratio"),
        ("FECHATTER_TELEMETRY__TRUSTED_CALLERS", "everybody", "everybody"),
        ("FECHATTER_LOG__FORMAT", "xml", "xml"),
    ] {
        let variables = [("FECHATTER_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:1"), (name, value)];
        let mut program = Program::start("fechatter", folder.path(), &["up"], &variables);
        assert!(!tokio::task::block_in_place(|| program.end()).success(), "{name}");
        assert!(program.said.contains(mark), "{name}: {}", program.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_have_the_form_that_is_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = cluster::empty_database().await;
    for (format, json) in [("text", false), ("json", true), ("auto", true)] {
        let variables = [
            ("FECHATTER_DATABASE__URL", url.as_str()),
            ("FECHATTER_LOG__FORMAT", format),
            ("RUST_LOG", "sqlx=debug"),
        ];
        let mut program = Program::start("fechatter", folder.path(), &["migrate"], &variables);
        assert!(tokio::task::block_in_place(|| program.end()).success(), "{}", program.said);
        let line = program
            .said
            .lines()
            .find(|line| line.contains("elapsed"))
            .unwrap_or_else(|| panic!("{}", program.said));
        assert_eq!(serde_json::from_str::<Value>(line).is_ok(), json, "{format}: {line}");
        assert!(!line.contains('\u{1b}'), "no colours: {line}");
    }
}
