//! Too much to do, and a database that does not keep up: who waits in vain is told so soon, and afterwards all goes on.

use std::time::Duration;

use fechatter_server::config::Settings;
use fechatter_tests::{Actor, Answer, Site, program::Program};
use local_postgres::{LocalPostgres, Options};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use notify_server::config::Settings as NotifySettings;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

/// Longer than any limit that these tests are about, and shorter than the time that a request may take in them.
const SOON: Duration = Duration::from_secs(20);

/// Lets a request take so long that nothing but what is tested ends it.
fn patient(rest: &mut Settings, notify: &mut NotifySettings) {
    rest.limits.request_s = 120;
    notify.limits.request_s = 120;
}

/// Keeps every writer out until the transaction ends.
async fn hold_the_log(site: &Site) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut held = site.pool.begin().await.expect("a transaction");
    sqlx::query("select take_event_lock()").execute(&mut *held).await.expect("the lock");
    held
}

/// Asks for `/readyz` until it answers with `status`.
async fn readyz(site: &Site, admin: std::net::SocketAddr, status: u16) -> Value {
    let asking = async {
        loop {
            let answer = site.get(format!("http://{admin}/readyz")).await;
            assert!(matches!(answer.status, 200 | 503), "{}: {}", answer.request, answer.body);
            assert_eq!(
                answer.status == 503,
                answer.headers.contains_key("retry-after"),
                "{}",
                answer.request
            );
            assert_eq!(answer.body["ready"], answer.status == 200, "{}", answer.body);
            if answer.status == status {
                return answer.body;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, asking).await.unwrap_or_else(|_| panic!("{admin} never answered {status}"))
}

fn reason(readiness: &Value) -> String {
    readiness["reasons"].as_array().expect("reasons").iter().filter_map(Value::as_str).collect()
}

/// Renames the person; it needs the ordering lock.
async fn rename(person: Actor) -> Answer {
    person.patch("/api/users/me", json!({ "full_name": "another name" })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_lock_is_told_to_come_back() {
    let site = Site::start_with(patient).await;
    let ann = site.sign_up("ann").await;
    let held = hold_the_log(&site).await;
    let refused = timeout(SOON, rename(ann.clone())).await.expect("an answer by lock_timeout");
    refused.refuses(503, "unavailable");
    // Nothing else waits.
    ann.get("/api/users/me").await.expect(200);
    held.commit().await.expect("a commit");
    rename(ann).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_connection_is_told_to_come_back() {
    let site = Site::start_with(|rest, notify| {
        patient(rest, notify);
        rest.database.max_connections = 2;
        rest.database.lock_timeout_s = 60;
        rest.database.statement_timeout_s = 60;
    })
    .await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let mut stream = ann.stream(None).await;
    let held = hold_the_log(&site).await;
    // They take all connections, and keep them.
    let mut waiting = JoinSet::new();
    for _ in 0..4 {
        waiting.spawn(rename(ann.clone()));
    }
    let refused = async {
        loop {
            let answer = ann.get("/api/users/me").await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let refused = timeout(SOON, refused).await.expect("an answer by acquire_timeout_s");
    refused.refuses(503, "unavailable");
    // What needs no database answers, and the database is not to blame.
    site.anonymous().get("/api/permissions").await.expect(200);
    assert_eq!(site.get(format!("http://{}/livez", site.rest.admin_address)).await.status, 204);
    readyz(&site, site.rest.admin_address, 200).await;
    held.commit().await.expect("a commit");
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.expect("no panic");
        assert!(matches!(answer.status, 200 | 503), "{}", answer.body);
    }
    ann.get("/api/users/me").await.expect(200);
    ann.send(&chat, "all goes on").await;
    stream.expect_message("all goes on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_at_a_time_is_refused_at_once() {
    let site = Site::start_with(|rest, notify| {
        patient(rest, notify);
        rest.limits.requests_in_flight = 3;
        rest.database.lock_timeout_s = 60;
        rest.database.statement_timeout_s = 60;
    })
    .await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let mut stream = ann.stream(None).await;
    let held = hold_the_log(&site).await;
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        waiting.spawn(rename(ann.clone()));
    }
    let wait_for_the_lock = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
        where d.datname = current_database() and l.locktype = 'advisory' and not l.granted";
    let all_wait = async {
        while sqlx::query_scalar::<_, i64>(wait_for_the_lock).fetch_one(&site.pool).await.expect("a count")
            < 3
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, all_wait).await.expect("all places taken");
    // Whoever has a place keeps it, and nobody else gets in, whatever they ask for.
    ann.get("/api/users/me").await.refuses(503, "unavailable");
    for _ in 0..20 {
        site.anonymous().get("/api/permissions").await.refuses(503, "unavailable");
    }
    assert_eq!(waiting.len(), 3);
    assert!(waiting.try_join_next().is_none());
    // Operators and streams are not concerned.
    readyz(&site, site.rest.admin_address, 200).await;
    drop(ann.stream(None).await);
    held.commit().await.expect("a commit");
    while let Some(answer) = waiting.join_next().await {
        answer.expect("no panic").expect(200);
    }
    site.anonymous().get("/api/permissions").await.expect(200);
    ann.send(&chat, "all goes on").await;
    stream.expect_message("all goes on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_answers_gets_no_more_large_ones() {
    let site = Site::start_with(|rest, _| {
        rest.limits.enabled = false;
        rest.limits.unsent_mib = 2;
    })
    .await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    for _ in 0..100 {
        ann.send(&chat, &"x".repeat(10_000)).await;
    }
    let (page, short) = (format!("/api/chats/{chat}/messages?limit=100"), "/api/users/me");
    ann.get(&page).await.expect(200);

    // A megabyte is more than the system takes for somebody who reads nothing.
    let mut greedy = tokio::net::TcpStream::connect(site.rest.address).await.expect("a connection");
    let head =
        format!("GET {page} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", ann.token);
    greedy.write_all(head.as_bytes()).await.expect("a request");
    let refused = async {
        loop {
            let answer = ann.get(&page).await;
            if answer.status != 200 {
                return answer;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, refused).await.expect("a refusal").refuses(503, "unavailable");
    ann.get(short).await.expect(200);
    let sent = json!({ "content": "y".repeat(10_000) });
    ann.post(&format!("/api/chats/{chat}/messages"), sent).await.expect(201);
    // A part is left to everybody else.
    bob.get(&format!("/api/chats/{chat}/messages?limit=2")).await.expect(200);

    drop(greedy);
    let given_back = async {
        while ann.get(&page).await.status != 200 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, given_back).await.expect("the place is given back with the connection");
}

/// A PostgreSQL of one's own that can be frozen. Whatever happens, it is thawed.
struct Frozen(Vec<Pid>);

impl Frozen {
    /// Stops the postmaster, so that there are no new connections, and then everything else.
    async fn freeze(site: &Site) -> Self {
        let mut connection = site.pool.acquire().await.expect("a connection");
        let folder: String = sqlx::query_scalar("select current_setting('data_directory')")
            .fetch_one(&mut *connection)
            .await
            .expect("a folder");
        let file = std::path::Path::new(&folder).join("postmaster.pid");
        let text = std::fs::read_to_string(file).expect("postmaster.pid");
        let postmaster = text.lines().next().and_then(|line| line.parse().ok()).expect("a process id");
        let mut frozen = Self(vec![Pid::from_raw(postmaster)]);
        kill(frozen.0[0], Signal::SIGSTOP).expect("our own process");
        // A process that was just begun shows a little later.
        for _ in 0..10 {
            let pids: Vec<i32> =
                sqlx::query_scalar("select pid from pg_stat_activity where pid <> pg_backend_pid()")
                    .fetch_all(&mut *connection)
                    .await
                    .expect("the processes");
            for pid in pids.into_iter().map(Pid::from_raw) {
                if !frozen.0.contains(&pid) {
                    frozen.0.push(pid);
                    kill(pid, Signal::SIGSTOP).expect("our own process");
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        assert!(frozen.0.len() > 6, "the servers are connected");
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // It may have ended by itself.
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_database_keeps_nobody_waiting_and_is_found_again() {
    let postgres = spawn_blocking(|| LocalPostgres::start(&Options::temporary()?)).await.expect("no panic");
    let mut postgres = postgres.expect("a private PostgreSQL");
    let url = postgres.url("postgres");
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.expect("a connection");
    chat_core::database::MIGRATOR.run(&mut connection).await.expect("migrations");
    drop(connection);
    let site = Site::start_on(url, patient).await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let mut stream = ann.stream(None).await;
    readyz(&site, site.rest.admin_address, 200).await;
    readyz(&site, site.notify.admin_address, 200).await;

    // Asks on and on, so that some requests are under way at that moment, reading and sending.
    let mut asking = JoinSet::new();
    for person in [&ann, &bob] {
        for path in ["/api/users/me", "/api/chats", "/api/auth/sessions"] {
            let person = person.clone();
            asking.spawn(async move {
                loop {
                    let answer = person.get(path).await;
                    if answer.status != 200 {
                        return answer;
                    }
                }
            });
        }
        let (ann, path) = (ann.clone(), format!("/api/chats/{chat}/messages"));
        asking.spawn(async move {
            loop {
                let answer = ann.post(&path, json!({ "content": "on and on" })).await;
                if answer.status != 201 {
                    return answer;
                }
            }
        });
    }
    sleep(Duration::from_millis(500)).await;
    let frozen = Frozen::freeze(&site).await;
    while let Some(answer) = timeout(SOON, asking.join_next()).await.expect("an answer") {
        answer.expect("no panic").refuses(503, "unavailable");
    }
    let admins = [site.rest.admin_address, site.notify.admin_address];
    for admin in admins {
        let readiness = readyz(&site, admin, 503).await;
        assert!(reason(&readiness).contains("says nothing any more"), "{readiness}");
        assert_eq!(readiness["database"]["answers"], false);
        assert_eq!(site.get(format!("http://{admin}/livez")).await.status, 204);
    }
    // Whoever comes now waits no longer than those who were there; what needs no database does not wait.
    timeout(SOON, ann.get("/api/users/me")).await.expect("an answer").refuses(503, "unavailable");
    timeout(SOON, ann.get("/api/notifications/events")).await.expect("an answer").refuses(503, "unavailable");
    site.anonymous().get("/api/permissions").await.expect(200);

    drop(frozen);
    for admin in admins {
        readyz(&site, admin, 200).await;
    }
    let body = json!({ "content": "all goes on", "client_id": "after the frost" });
    let sending = async {
        while !matches!(
            ann.post(&format!("/api/chats/{chat}/messages"), body.clone()).await.status,
            200 | 201
        ) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, sending).await.expect("service again, without a restart");
    // The stream stayed open, and brings what was sent before, during and after.
    let told = async { while stream.expect("message").await.data["content"] != "all goes on" {} };
    timeout(SOON, told).await.expect("the message");
    drop(site);
    spawn_blocking(move || postgres.stop()).await.expect("no panic").expect("a stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_of_the_schema_and_of_the_log() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let needed = chat_core::database::needed_schema();
    let admins = [site.rest.admin_address, site.notify.admin_address];
    for admin in admins {
        let readiness = readyz(&site, admin, 200).await;
        assert_eq!(readiness["reasons"], json!([]));
        assert_eq!(readiness["shutting_down"], false);
        assert_eq!(
            readiness["database"],
            json!({ "answers": true, "schema": needed, "schema_needed": needed })
        );
        let feed = &readiness["feed"];
        assert!(feed["seconds_since_look"].as_f64().is_some_and(|seconds| seconds < 10.0), "{readiness}");
        assert!(feed["events_behind"].as_i64().is_some_and(|events| events >= 0), "{readiness}");
    }
    for (change, word) in [
        // During an upgrade the version before runs on the new schema.
        ("update _sqlx_migrations set version = 999999 where version = $1", ""),
        ("update _sqlx_migrations set version = $1 where version = 999999", ""),
        ("update _sqlx_migrations set success = false where version = $1", "older"),
        ("update _sqlx_migrations set success = true where version = $1", ""),
    ] {
        sqlx::query(change).bind(needed).execute(&site.pool).await.expect("a change");
        for admin in admins {
            let readiness = readyz(&site, admin, if word.is_empty() { 200 } else { 503 }).await;
            assert!(reason(&readiness).contains(word), "{readiness}");
        }
    }
    // It is about whether to send requests here; those that come are served all the same.
    ann.get("/api/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_first_when_a_server_is_to_end() {
    let site = Site::start_with(|rest, notify| {
        patient(rest, notify);
        rest.database.lock_timeout_s = 60;
        rest.database.statement_timeout_s = 60;
    })
    .await;
    let ann = site.sign_up("ann").await;
    readyz(&site, site.rest.admin_address, 200).await;
    let held = hold_the_log(&site).await;
    let waiting = tokio::spawn(rename(ann.clone()));
    sleep(Duration::from_millis(300)).await;
    site.rest.begin_to_stop();
    let readiness = readyz(&site, site.rest.admin_address, 503).await;
    assert_eq!(readiness["shutting_down"], true);
    assert!(reason(&readiness).contains("about to end"), "{readiness}");
    assert_eq!(site.get(format!("http://{}/livez", site.rest.admin_address)).await.status, 204);
    // The other server goes on.
    readyz(&site, site.notify.admin_address, 200).await;
    held.commit().await.expect("a commit");
    waiting.await.expect("no panic").expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_program_is_ready_when_both_servers_are() {
    let folder = tempfile::Builder::new().prefix("fechatter-ready-").tempdir_in("/tmp").expect("a folder");
    let url = fechatter_tests::cluster::fresh_database().await;
    let variables = [
        ("FECHATTER_SERVER__PORT", "0"),
        ("FECHATTER_SERVER__ADMIN_PORT", "0"),
        ("FECHATTER_DATABASE__URL", url.as_str()),
        ("RUST_LOG", "warn"),
    ];
    let mut program = Program::start("fechatter", folder.path(), &["up"], &variables);
    let line = tokio::task::block_in_place(|| program.until("/readyz"));
    let admin = fechatter_tests::program::address_in(&line);
    let client = fechatter_tests::actor::client();
    let asking = async {
        loop {
            let answer = client.get(format!("http://{admin}/readyz")).send().await.expect("an answer");
            let (status, body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
            if status == 200 {
                return body;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let body = timeout(SOON, asking).await.expect("ready");
    assert_eq!(body["ready"], true);
    for server in ["fechatter_server", "notify_server"] {
        assert_eq!(body[server]["ready"], true, "{body}");
        assert_eq!(body[server]["database"]["answers"], true, "{body}");
    }
    let pool = sqlx::PgPool::connect(&url).await.expect("a connection");
    sqlx::query("update _sqlx_migrations set success = false where version = $1")
        .bind(chat_core::database::needed_schema())
        .execute(&pool)
        .await
        .expect("a change");
    let asking = async {
        while client.get(format!("http://{admin}/readyz")).send().await.expect("an answer").status() != 503 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, asking).await.expect("not ready");
    assert_eq!(client.get(format!("http://{admin}/livez")).send().await.expect("an answer").status(), 204);
    program.signal(Signal::SIGTERM);
    assert!(tokio::task::block_in_place(|| program.end()).success(), "{}", program.said);
}
