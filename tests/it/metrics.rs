//! What `/metrics` says, of real programs after real requests.

use std::{collections::BTreeSet, fs, future::Future, net::SocketAddr, path::Path, time::Duration};

use config::{Config, File, FileFormat};
use fechatter_server::auth::issuer::make_key_files;
use fechatter_tests::{
    Actor, cluster,
    measurements::Measurements,
    program::{Program, address_in},
    proxy::{Flow, Proxy},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const PASSWORD: &str = "a long enough phrase";

/// `fechatter up` on a database of its own.
struct Up {
    _program: Program,
    _folder: TempDir,
    url: String,
    address: SocketAddr,
    operators: SocketAddr,
}

impl Up {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = cluster::fresh_database().await;
        let mut variables = vec![
            ("FECHATTER_SERVER__PORT", "0"),
            ("FECHATTER_SERVER__ADMIN_PORT", "0"),
            ("FECHATTER_DATABASE__URL", url.as_str()),
            ("RUST_LOG", "warn"),
        ];
        variables.extend(settings);
        let mut program = Program::start("fechatter", folder.path(), &["up"], &variables);
        let (address, operators) = tokio::task::block_in_place(|| {
            let address = address_in(&program.until("Fechatter is ready"));
            (address, address_in(&program.until("For operators")))
        });
        Self { _program: program, _folder: folder, url, address, operators }
    }

    async fn read(&self) -> Measurements {
        Measurements::of(self.operators).await
    }

    async fn sign_up(&self, name: &str) -> Actor {
        let anonymous = Actor::anonymous_at(self.address, self.address);
        let session = anonymous.post("/api/auth/signup", account(name)).await.expect(201);
        let text = |field: &str| session[field].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        Actor { name: name.to_owned(), id: text("id"), token: text("token"), ..anonymous }
    }
}

fn account(name: &str) -> Value {
    json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "full_name": name })
}

/// Reads until it is as `right` wants it.
async fn until<F: Future<Output = Measurements>>(
    read: impl Fn() -> F,
    right: impl Fn(&Measurements) -> bool,
) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let now = read().await;
        if right(&now) {
            return;
        }
        assert!(Instant::now() < end, "it never came to that:\n{}", now.text);
        sleep(Duration::from_millis(100)).await;
    }
}

fn is(value: f64, expected: u32) -> bool {
    (value - f64::from(expected)).abs() < 0.001
}

#[tokio::test(flavor = "multi_thread")]
async fn values_move_with_what_is_done_and_tell_nothing_of_anybody() {
    let up = Up::start(&[]).await;
    let (ann, bob) = (up.sign_up("ann").await, up.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let mut stream = bob.stream(None).await;
    let before = up.read().await;
    let grown = |after: &Measurements, name: &str, labels: &[(&str, &str)]| {
        after.sum(name, labels) - before.sum(name, labels)
    };

    let messages = format!("/api/chats/{chat}/messages");
    let mut last = Value::Null;
    for content in ["one secret", "two secrets", "three secrets"] {
        last = ann.send(&chat, content).await;
        stream.expect_message(content).await;
    }
    ann.with_token("nonsense").get(&messages).await.expect(401);
    ann.get(&format!("/api/chats/{workspace}/messages")).await.expect(404);
    ann.get(&format!("/api/nothing/{chat}?q=ann@example.com")).await.expect(404);
    ann.delete("/api/permissions").await.expect(405);
    let odd = reqwest::Method::from_bytes(b"ANN").expect("a method");
    ann.request(odd, "/api/users/me", None).await.expect(405);

    let after = up.read().await;
    let requests = "fechatter_http_requests_total";
    let template = "/api/chats/{id}/messages";
    for (method, route, status, count) in [
        ("POST", template, "201", 3),
        ("GET", template, "401", 1),
        ("GET", template, "404", 1),
        ("GET", "unknown", "404", 1),
        ("DELETE", "/api/permissions", "405", 1),
        ("other", "/api/users/me", "405", 1),
    ] {
        let labels = [("method", method), ("route", route), ("status", status)];
        assert!(is(grown(&after, requests, &labels), count), "{labels:?}\n{}", after.text);
    }
    let post = [("method", "POST"), ("route", template)];
    assert!(is(grown(&after, "fechatter_http_request_duration_seconds_count", &post), 3));
    assert!(grown(&after, "fechatter_http_request_duration_seconds_sum", &post) > 0.0);
    for (name, count) in [
        ("fechatter_messages_sent_total", 3),
        ("fechatter_send_batch_messages_sum", 3),
        ("fechatter_send_batch_messages_count", 3),
        ("fechatter_send_commit_seconds_count", 3),
        ("fechatter_send_lock_wait_seconds_count", 3),
        ("fechatter_deliveries_total", 3),
        ("fechatter_delivery_delay_seconds_count", 3),
        ("fechatter_stream_overflows_total", 0),
        ("fechatter_database_failures_total", 0),
    ] {
        assert!(is(grown(&after, name, &[]), count), "{name}\n{}", after.text);
    }
    for (name, labels, value) in [
        ("fechatter_streams_open", None, 1),
        ("fechatter_http_requests_in_flight", None, 1),
        ("fechatter_send_queue_bytes", None, 0),
        ("fechatter_build_info", Some(("program", "notify_server")), 1),
        ("fechatter_build_info", Some(("program", "fechatter_server")), 1),
        ("fechatter_feed_lag_events", Some(("feed", "notify_server")), 0),
        ("fechatter_feed_lag_events", Some(("feed", "fechatter_server")), 0),
        ("fechatter_password_hashings", Some(("state", "waiting")), 0),
    ] {
        let labels: Vec<_> = labels.into_iter().collect();
        assert!(after.has(name, &labels) && is(after.sum(name, &labels), value), "{name}\n{}", after.text);
    }
    for pool in ["fechatter_server", "fechatter_server writer", "notify_server", "notify_server feed"] {
        let of = |state| after.sum("fechatter_database_connections", &[("pool", pool), ("state", state)]);
        assert!(of("used") + of("idle") >= 1.0 && of("used") + of("idle") <= of("most"), "{pool}");
    }
    assert!(after.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(after.sum("process_open_fds", &[]) > 10.0);

    // Whatever is told is told of all together.
    let ids = [&ann.id, &bob.id, &workspace, &chat, &ann.token];
    let secrets = ["ann", "bob", "secret", "Acme", "127.0.0.1", last["id"].as_str().expect("an id")];
    for value in after.label_values(None) {
        for secret in ids.iter().map(|id| id.as_str()).chain(secrets) {
            assert!(!value.contains(secret), "{value}");
        }
    }
    assert!(!after.text.contains("ANN"));

    drop(stream);
    until(|| up.read(), |now| is(now.sum("fechatter_streams_open", &[]), 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_refusals_and_resets_are_told() {
    // Many sign up from one address here.
    let limits = ("FECHATTER_LIMITS__ENABLED", "false");
    let up = Up::start(&[("FECHATTER_AUTH__HASHING_QUEUE", "0"), limits]).await;
    let ann = up.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    ann.send(&chat, "first").await;
    let before = up.read().await;

    // Another writer holds the ordering lock, until a send has waited for it.
    let mut connection = PgConnection::connect(&up.url).await.expect("a connection");
    let mut holder = connection.begin().await.expect("a transaction");
    sqlx::query("select take_event_lock()").execute(&mut *holder).await.expect("the lock");
    let sending = tokio::spawn({
        let (ann, chat) = (ann.clone(), chat.clone());
        async move { ann.send(&chat, "waits").await }
    });
    until(|| up.read(), |now| now.sum("fechatter_send_queue_bytes", &[]) > 0.0).await;
    sleep(Duration::from_millis(300)).await;
    holder.rollback().await.expect("an end");
    sending.await.expect("sent");
    let after = up.read().await;
    let grown = |name: &str| after.sum(name, &[]) - before.sum(name, &[]);
    assert!(grown("fechatter_send_lock_wait_seconds_sum") >= 0.3, "{}", after.text);
    assert!(grown("fechatter_send_commit_seconds_sum") >= grown("fechatter_send_lock_wait_seconds_sum"));

    // More sign-ups than there are cores, and no place to wait.
    let many = (0..40).map(|n| {
        let anonymous = Actor { client: ann.client.clone(), ..Actor::anonymous_at(up.address, up.address) };
        tokio::spawn(
            async move { anonymous.post("/api/auth/signup", account(&format!("x{n}"))).await.status },
        )
    });
    let mut refused = 0;
    for answered in many.collect::<Vec<_>>() {
        refused += u32::from(answered.await.expect("an answer") == 503);
    }
    assert!(refused > 0);
    let after = up.read().await;
    assert!(is(after.sum("fechatter_refused_total", &[("reason", "passwords")]), refused), "{}", after.text);
    assert!(is(after.sum("fechatter_refused_total", &[]), refused));

    // A stream from nowhere, one from another log, and one that resumes.
    let mut streams = vec![ann.stream(Some("nonsense")).await, ann.stream(Some("other-1")).await];
    for stream in &mut streams {
        stream.until("reset").await;
    }
    let position = ann.get("/api/chats").await.event_id();
    ann.send(&chat, "missed").await;
    let mut resumed = ann.stream(Some(&position)).await;
    resumed.expect_message("missed").await;
    let after = up.read().await;
    for reason in ["unknown", "epoch"] {
        assert!(is(after.sum("fechatter_stream_resets_total", &[("reason", reason)]), 1), "{}", after.text);
    }
    assert!(after.sum("fechatter_replay_pages_total", &[("source", "memory")]) >= 1.0, "{}", after.text);

    ann.act("/api/auth/signout").await.expect(204);
    for stream in &mut streams {
        stream.until("bye").await;
    }
    until(
        || up.read(),
        |now| is(now.sum("fechatter_stream_byes_total", &[("reason", "session_revoked")]), 3),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_stream_shows_as_an_overflow() {
    let up = Up::start(&[]).await;
    let ann = up.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let proxy = Proxy::start().await;
    proxy.lead_to(Some(up.address));
    let mut stream = ann.at(up.address, proxy.address).stream(None).await;
    proxy.set(Flow::Stalled);
    // More than all buffers on the way take.
    let mut connection = PgConnection::connect(&up.url).await.expect("a connection");
    sqlx::query(
        "insert into messages (id, chat_id, seq, sender_id, content)
         select gen_random_uuid(), $1::uuid, n, $2::uuid, repeat('x', 10000) from generate_series(3, 2000) n",
    )
    .bind(&chat)
    .bind(&ann.id)
    .execute(&mut connection)
    .await
    .expect("messages");
    until(|| up.read(), |now| now.sum("fechatter_stream_overflows_total", &[]) >= 1.0).await;
    proxy.set(Flow::Open);
    sqlx::query("update chats set last_seq = 2000 where id = $1::uuid")
        .bind(&chat)
        .execute(&mut connection)
        .await
        .expect("an update");
    ann.send(&chat, "after the flood").await;
    loop {
        let event = stream.any().await;
        if event.data["content"] == "after the flood" {
            break;
        }
    }
    let after = up.read().await;
    assert!(after.sum("fechatter_replay_pages_total", &[]) >= 1.0, "{}", after.text);
    assert!(is(after.sum("fechatter_stream_resets_total", &[]), 0), "{}", after.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_read_shows_as_lag() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, public) = make_key_files(folder.path()).expect("keys");
    let url = cluster::fresh_database().await;
    let variables = [
        ("NOTIFY_SERVER__PORT", "0"),
        ("NOTIFY_SERVER__ADMIN_PORT", "0"),
        ("NOTIFY_DATABASE__URL", url.as_str()),
        ("NOTIFY_AUTH__PUBLIC_KEY_FILE", public.to_str().expect("text")),
    ];
    let mut program = Program::start("notify_server", folder.path(), &[], &variables);
    let line = tokio::task::block_in_place(|| program.until("listening"));
    let log: Value = serde_json::from_str(&line).expect("JSON logs when not at a terminal");
    let operators = log["operators"].as_str().expect("an address").parse().expect("an address");
    let read = || Measurements::of(operators);
    let lag = |now: &Measurements| now.sum("fechatter_feed_lag_seconds", &[("feed", "notify_server")]);
    until(read, |now| lag(now) < 2.0).await;
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let mut locked = connection.begin().await.expect("a transaction");
    sqlx::query("lock table events").execute(&mut *locked).await.expect("the lock");
    until(read, |now| lag(now) > 4.0).await;
    locked.rollback().await.expect("an end");
    until(read, |now| lag(now) < 2.0).await;
}

/// The expressions of the dashboard, and those of the alerts.
fn expressions() -> Vec<String> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let read = |file| fs::read_to_string(deploy.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let dashboard: Value = serde_json::from_str(&read("grafana/fechatter.json")).expect("JSON");
    let alerts: Value = Config::builder()
        .add_source(File::from_str(&read("prometheus/alerts.yml"), FileFormat::Yaml))
        .build()
        .and_then(Config::try_deserialize)
        .expect("YAML");
    let mut found = Vec::new();
    collect_expressions(&dashboard, &mut found);
    let panels = found.len();
    collect_expressions(&alerts, &mut found);
    assert!(panels > 40 && found.len() > panels + 10, "{panels} of {}", found.len());
    found
}

fn collect_expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_expressions(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if ["expr", "definition"].contains(&name.as_str()) => {
                        found.push(text.to_owned());
                    }
                    _ => collect_expressions(value, found),
                }
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_and_the_alerts_speak_of_what_there_is() {
    let up = Up::start(&[]).await;
    let ann = up.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    ann.send(&chat, "a message").await;
    up.read().await;
    let now = up.read().await;
    let (names, labels) = (now.names(), now.label_names());
    let mut spoken_of = BTreeSet::new();
    for expression in expressions() {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| ["fechatter_", "process_"].iter().any(|own| word.starts_with(own))) {
            assert!(names.contains(word), "{word} is not there, in {expression}");
            spoken_of.insert(word.to_owned());
        }
        for group in expression.split("by (").skip(1) {
            let group = group.split(')').next().unwrap_or_default();
            for label in group.split(',').map(str::trim).filter(|label| *label != "instance") {
                assert!(labels.contains(label), "nothing has the label {label}, in {expression}");
            }
        }
        if let Some(route) = expression.split("route=\"").nth(1).and_then(|rest| rest.split('"').next()) {
            assert!(now.label_values(Some("route")).contains(route), "no route {route}, in {expression}");
        }
    }
    // And nothing of ours is left out.
    let metric = |name: &&str| {
        name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count").to_owned()
    };
    let own: BTreeSet<String> =
        names.iter().filter(|name| name.starts_with("fechatter_")).map(metric).collect();
    let spoken_of: BTreeSet<String> = spoken_of.iter().map(|name| metric(&name.as_str())).collect();
    assert_eq!(own.difference(&spoken_of).collect::<Vec<_>>(), Vec::<&String>::new());
}
