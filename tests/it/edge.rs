//! The edge of both servers: TLS, HTTP/2, headers, pages of other origins, and who comes too often.

use std::{net::IpAddr, time::Duration};

use fechatter_tests::{
    Actor, Site, Stream,
    actor::{client, install_cryptography},
    certificate::Certificate,
    program::Program,
};
use nix::sys::signal::Signal;
use reqwest::{Client, ClientBuilder, Method, Response, Version, header::HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::block_in_place,
    time::sleep,
};

const PAGE: &str = "https://chat.example.com";

/// Opens a stream over HTTP/2 and lets something happen on it.
async fn streams_over_http2(site: &Site, client: &Client, base: &str) {
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let url = format!("{base}/api/notifications/events");
    let other = client.get(&url).bearer_auth("nonsense").send().await.expect("an answer");
    assert_eq!((other.version(), other.status().as_u16()), (Version::HTTP_2, 401));
    let mut streams = Vec::new();
    for _ in 0..3 {
        let request = client.get(&url).bearer_auth(&ann.token);
        streams.push(Stream::from_request("ann over HTTP/2", request).await);
    }
    let mut last = String::new();
    for content in ["one", "two"] {
        ann.send(&chat, content).await;
        for stream in &mut streams {
            last = stream.expect_message(content).await.id;
        }
    }
    drop(streams);
    ann.send(&chat, "meanwhile").await;
    let request = client.get(&url).bearer_auth(&ann.token).header("last-event-id", last);
    let mut resumed = Stream::from_request("ann over HTTP/2", request).await;
    resumed.expect_message("meanwhile").await;
    // The end of the server ends streams of this kind as well.
    ann.act("/api/auth/signout").await.expect(204);
    assert_eq!(resumed.until("bye").await.data["reason"], "session_revoked");
    assert_eq!(resumed.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_run_over_http2_in_clear_text() {
    let site = Site::start().await;
    install_cryptography();
    let client = Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    let base = format!("http://{}", site.notify.address);
    streams_over_http2(&site, &client, &base).await;
    let rest = client.get(site.url("/api/permissions")).send().await.expect("an answer");
    assert_eq!((rest.version(), rest.status().as_u16()), (Version::HTTP_2, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_run_over_tls() {
    let certificate = Certificate::make();
    let site = Site::start_with(|_, notify| notify.server.tls = certificate.settings()).await;
    let base = format!("https://localhost:{}", site.notify.address.port());
    streams_over_http2(&site, &certificate.client(|builder| builder), &base).await;
    // And by HTTP/1.1, where the connection is not handed over.
    let client = certificate.client(ClientBuilder::http1_only);
    let bob = site.sign_up("bob").await;
    let workspace = bob.make_workspace("Acme").await;
    let chat = bob.make_chat(&workspace, "Group", &[]).await;
    let request = client.get(format!("{base}/api/notifications/events")).bearer_auth(&bob.token);
    let mut stream = Stream::from_request("bob over TLS", request).await;
    bob.send(&chat, "over TLS").await;
    stream.expect_message("over TLS").await;
    // Who does not trust the certificate, or speaks clear text, gets nothing.
    let url = format!("{base}/api/notifications/events");
    let stranger = Certificate::make().client(|builder| builder);
    assert!(stranger.get(&url).send().await.is_err());
    assert!(client.get(url.replace("https", "http")).send().await.is_err());
    // Operators' endpoints stay in clear text.
    site.get(format!("http://{}/livez", site.notify.admin_address)).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_takes_over_a_renewed_certificate() {
    let mut certificate = Certificate::make();
    let folder = tempfile::tempdir().expect("a folder");
    let (private, _) = fechatter_server::auth::issuer::make_key_files(folder.path()).expect("keys");
    let settings = certificate.settings();
    let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let file_keys = folder.path().join("files.pem");
    fechatter_server::vault::ring::make_file_keys(&file_keys).expect("keys");
    let file_keys = text(&file_keys);
    let (private, certificate_file) = (text(&private), text(&settings.certificate_file));
    let key_file = text(&settings.key_file);
    let variables = [
        ("FECHATTER_SERVER__PORT", "0"),
        ("FECHATTER_SERVER__ADMIN_PORT", "0"),
        ("FECHATTER_DATABASE__URL", "postgres://127.0.0.1:1/nowhere"),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", &private),
        ("FECHATTER_FILES__KEY_FILE", &file_keys),
        ("FECHATTER_SERVER__TLS__CERTIFICATE_FILE", &certificate_file),
    ];
    let mut half = Program::start("fechatter_server", folder.path(), &[], &variables);
    assert!(!block_in_place(|| half.end()).success());
    let told: Vec<_> = half.said.lines().collect();
    assert!(told.len() == 1 && told[0].contains("server.tls.key_file"), "{}", half.said);

    let mut variables = variables.to_vec();
    variables.push(("FECHATTER_SERVER__TLS__KEY_FILE", &key_file));
    let mut program = Program::start("fechatter_server", folder.path(), &[], &variables);
    let line = block_in_place(|| program.until("listening"));
    let log: Value = serde_json::from_str(&line).expect("JSON logs when not at a terminal");
    let address = log["clients"].as_str().expect("an address");
    let port = address.rsplit(':').next().expect("a port");
    let url = format!("https://localhost:{port}/api/permissions");
    let ask = async |client: Client| client.get(&url).send().await.map(|answer| answer.status().as_u16());
    assert_eq!(ask(certificate.client(|builder| builder)).await.ok(), Some(200));
    certificate.renew();
    for attempt in 0.. {
        if ask(certificate.client(|builder| builder)).await.ok() == Some(200) {
            break;
        }
        assert!(attempt < 300, "the new certificate is not taken over: {}", program.said_by_now());
        sleep(Duration::from_millis(100)).await;
    }
    program.signal(Signal::SIGTERM);
    assert!(block_in_place(|| program.end()).success(), "{}", program.said);
}

fn protects(kind: &str, headers: &HeaderMap) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("x-content-type-options"), "nosniff", "{kind}");
    assert_eq!(header("cache-control"), "no-store", "{kind}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{kind}");
    assert!(!header("x-request-id").is_empty(), "{kind}");
    assert_eq!(header("server"), "", "{kind}");
    assert_eq!(header("access-control-allow-credentials"), "", "{kind}");
    let policy = header("content-security-policy");
    if kind.contains("/api/docs") {
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{kind}");
    } else {
        assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'", "{kind}");
    }
}

/// Every kind of answer that a site can give.
async fn all_sorts(site: &Site, ann: &Actor, http2: &Client) -> Vec<(u16, Response)> {
    let http1 = client();
    let (rest, notify) = (site.rest.address, site.notify.address);
    let mut answers = Vec::new();
    for client in [&http1, http2] {
        let get = |url: String| client.get(url).bearer_auth(&ann.token).header("origin", PAGE);
        let sign_in = || client.post(format!("http://{rest}/api/auth/signin")).header("origin", PAGE);
        let preflight = client
            .request(Method::OPTIONS, format!("http://{rest}/api/chats"))
            .header("origin", PAGE)
            .header("access-control-request-method", "POST");
        let many = (0..70).fold(get(format!("http://{rest}/api/users/me")), |request, i| {
            request.header(format!("x-{i}"), "x")
        });
        let json = "application/json";
        for (status, request) in [
            (200, get(format!("http://{rest}/api/users/me"))),
            (200, get(format!("http://{rest}/api/openapi.json"))),
            (200, get(format!("http://{rest}/api/docs/"))),
            (200, get(format!("http://{notify}/api/notifications/events"))),
            (200, preflight),
            (
                201,
                client
                    .post(format!("http://{rest}/api/workspaces"))
                    .bearer_auth(&ann.token)
                    .header("content-type", json)
                    .body(r#"{"name": "Acme"}"#),
            ),
            (400, sign_in().header("content-type", json).body("{")),
            (401, client.get(format!("http://{notify}/api/notifications/events"))),
            (404, get(format!("http://{rest}/api/nothing"))),
            (404, get(format!("http://{notify}/api/nothing"))),
            (405, client.put(format!("http://{rest}/api/users/me"))),
            (413, sign_in().header("content-type", json).body("x".repeat(10_000))),
            (415, sign_in().body("{}")),
            (431, many),
            (204, client.get(format!("http://{}/livez", site.rest.admin_address))),
            (404, client.get(format!("http://{}/nothing", site.notify.admin_address))),
        ] {
            answers.push((status, request.send().await.expect("an answer")));
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_answer_carries_the_protective_headers_and_an_id() {
    let site = Site::start_with(|rest, notify| {
        rest.server.cors_origins = vec![PAGE.parse().expect("an origin")];
        notify.server.cors_origins.clone_from(&rest.server.cors_origins);
    })
    .await;
    let ann = site.sign_up("ann").await;
    let http2 = Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    for (status, answer) in all_sorts(&site, &ann, &http2).await {
        let kind = format!("{status} {} {:?}", answer.url(), answer.version());
        assert_eq!(answer.status().as_u16(), status, "{kind}");
        protects(&kind, answer.headers());
        let (id, media_type) =
            (answer.headers()["x-request-id"].clone(), answer.headers().get("content-type"));
        if status < 400 || media_type.is_none_or(|media_type| media_type != "application/problem+json") {
            assert!(status < 400, "{kind} is no problem");
            continue;
        }
        let problem: Value =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a problem in JSON");
        assert_eq!(
            (&problem["status"], problem["request_id"].as_str()),
            (&Value::from(status), id.to_str().ok())
        );
    }
}

/// What a preflight and a request of a page are answered, as far as pages are concerned.
async fn asked_by(origin: &str, url: &str) -> (HeaderMap, HeaderMap) {
    let client = client();
    let preflight = client
        .request(Method::OPTIONS, url)
        .header("origin", origin)
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "authorization,idempotency-key");
    let request = client.get(url).header("origin", origin);
    let [preflight, answer] =
        [preflight, request].map(async |request| request.send().await.expect("an answer").headers().clone());
    tokio::join!(preflight, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_the_origins_that_are_named_may_call() {
    let allow = "access-control-allow-origin";
    let closed = Site::start().await;
    let (preflight, answer) = asked_by(PAGE, &closed.url("/api/users/me")).await;
    assert!(preflight.get(allow).is_none() && answer.get(allow).is_none());
    closed
        .anonymous()
        .request(Method::OPTIONS, "/api/users/me", None)
        .await
        .refuses(405, "method_not_allowed");

    let origins = [PAGE, "http://localhost:5173"].map(|origin| origin.parse().expect("an origin"));
    let site = Site::start_with(|rest, notify| {
        rest.server.cors_origins = origins.to_vec();
        notify.server.cors_origins = origins.to_vec();
    })
    .await;
    let urls =
        [site.url("/api/users/me"), format!("http://{}/api/notifications/events", site.notify.address)];
    for url in urls {
        for origin in [PAGE, "http://localhost:5173"] {
            // Neither has a token: a preflight never has.
            let (preflight, answer) = asked_by(origin, &url).await;
            let [preflight, answer] = [preflight, answer].map(|headers| {
                move |name: &str| {
                    headers
                        .get(name)
                        .map(|value| value.to_str().expect("text").to_lowercase())
                        .unwrap_or_default()
                }
            });
            assert_eq!((preflight(allow).as_str(), answer(allow).as_str()), (origin, origin));
            assert!(answer("vary").contains("origin"), "{}", answer("vary"));
            assert_eq!(
                preflight("access-control-allow-headers"),
                "authorization,content-type,idempotency-key,last-event-id"
            );
            assert_eq!(preflight("access-control-allow-methods"), "get,post,put,patch,delete");
            let shown = answer("access-control-expose-headers");
            for name in ["x-event-id", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id"] {
                assert!(shown.split(',').any(|shown| shown == name), "{name} is not in {shown}");
            }
        }
        for origin in [
            "https://chat.example.com.evil.net",
            "http://chat.example.com",
            "https://other.example.com",
            "null",
        ] {
            let (preflight, answer) = asked_by(origin, &url).await;
            assert!(preflight.get(allow).is_none() && answer.get(allow).is_none(), "{origin}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_too_many_connections_gets_no_more_and_the_others_are_served() {
    let site = Site::start_with(|rest, _| rest.limits.connections_per_address = 10).await;
    let greedy = IpAddr::from([127, 0, 0, 2]);
    let connect = async || {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((greedy, 0).into()).expect("an address of this machine");
        socket.connect(site.rest.address).await.expect("a connection")
    };
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut socket = connect().await;
        socket.write_all(b"GET /api/permissions HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("a request");
        assert_ne!(socket.read(&mut [0; 1024]).await.expect("an answer"), 0);
        held.push(socket);
    }
    // Closed at once, in peace or not.
    assert!(!matches!(connect().await.read(&mut [0; 1]).await, Ok(1)));
    site.anonymous().get("/api/permissions").await.expect(200);
    drop(held);
    let client = Client::builder().no_proxy().local_address(greedy).build().expect("a client");
    for attempt in 0.. {
        if client.get(site.url("/api/permissions")).send().await.is_ok() {
            break;
        }
        assert!(attempt < 500, "its connections still count");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_answered_408() {
    let site = Site::start_with(|rest, _| rest.limits.body_idle_s = 1).await;
    let mut socket = tokio::net::TcpStream::connect(site.rest.address).await.expect("a connection");
    let head = "POST /api/auth/signin HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    socket.write_all(format!("{head}Content-Length: 100\r\n\r\n{{").as_bytes()).await.expect("a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""code":"too_slow""#), "{answer}");
}
