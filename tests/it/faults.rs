//! What breaks, and what must not break with it.

mod storm;
mod storms;
mod teeth;

use std::{sync::Arc, time::Duration};

use chat_core::{
    clock::Clock,
    database::Pool,
    store::{Snapshot, begin_write},
};
use fechatter_server::{config::Settings, housekeeping};
use fechatter_tests::{Actor, Site, actor::id_of, cluster};
use futures::poll;
use local_postgres::{LocalPostgres, Options};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use tokio::{sync::Mutex, task::spawn_blocking};

async fn pair(site: &Site) -> (Actor, Actor, String) {
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    (ann, bob, chat)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_killed_again_and_again_loses_nothing() {
    let site = Site::start().await;
    let (ann, bob, chat) = pair(&site).await;
    let mut stream = bob.stream(None).await;
    for i in 0..120 {
        if i % 10 == 0 {
            let killed: i64 = sqlx::query_scalar(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where datname = current_database() and application_name like '% listen'",
            )
            .fetch_one(&site.pool)
            .await
            .expect("a count");
            assert!(i > 0 || killed >= 2, "both servers listen");
        }
        ann.send(&chat, &format!("{i}")).await;
    }
    for i in 0..120 {
        stream.expect_message(&format!("{i}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_bell_costs_a_second_and_no_event() {
    let site = Site::start().await;
    let (ann, bob, chat) = pair(&site).await;
    sqlx::raw_sql(
        "create or replace function open_event_log() returns void language plpgsql as
         $$ begin perform take_event_lock(); end $$",
    )
    .execute(&site.pool)
    .await
    .expect("no bell");
    let mut stream = bob.stream(None).await;
    ann.send(&chat, "unrung").await;
    stream.expect_message("unrung").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgresql_it_is_503_and_afterwards_all_goes_on() {
    let postgres = spawn_blocking(|| LocalPostgres::start(&Options::temporary()?)).await.expect("no panic");
    let postgres = Arc::new(Mutex::new(postgres.expect("a private PostgreSQL")));
    let url = postgres.lock().await.url("postgres");
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.expect("a connection");
    chat_core::database::MIGRATOR.run(&mut connection).await.expect("migrations");
    drop(connection);
    let site = Site::start_on(url, |_, _| {}).await;
    let (ann, bob, chat) = pair(&site).await;
    let mut stream = bob.stream(None).await;
    ann.send(&chat, "1").await;
    stream.expect_message("1").await;

    blocking(&postgres, |postgres| postgres.stop().expect("a stop")).await;
    let path = format!("/api/chats/{chat}/messages");
    for path in [path.as_str(), "/api/users/me", "/api/chats"] {
        ann.get(path).await.refuses(503, "unavailable");
    }
    ann.post(&path, json!({ "content": "lost?" })).await.refuses(503, "unavailable");
    let body = json!({ "email": "ann@example.com", "password": "a long enough phrase" });
    site.anonymous().post("/api/auth/signin", body).await.refuses(503, "unavailable");
    ann.act("/api/notifications/ticket").await.refuses(503, "unavailable");
    assert_eq!(site.get(format!("http://{}/livez", site.rest.admin_address)).await.status, 204);
    // It is found out within a second.
    let unready = async {
        while site.get(format!("http://{}/readyz", site.rest.admin_address)).await.status != 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), unready).await.expect("not ready");

    blocking(&postgres, |postgres| postgres.start_again().expect("a start")).await;
    let mut sent = None;
    for _ in 0..100 {
        let answer = ann.post(&path, json!({ "content": "2", "client_id": "after the outage" })).await;
        if matches!(answer.status, 200 | 201) {
            sent = Some(id_of(&answer.body));
            break;
        }
        answer.expect(503);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(sent.is_some(), "service came back without a restart");
    // The stream stayed open and lost nothing.
    let received = stream.expect_message("2").await;
    assert_eq!(received.data["message_id"], json!(sent));
    drop(site);
    blocking(&postgres, |postgres| postgres.stop().expect("a stop")).await;
}

async fn blocking(
    postgres: &Arc<Mutex<LocalPostgres>>,
    act: impl FnOnce(&mut LocalPostgres) + Send + 'static,
) {
    let mut postgres = Arc::clone(postgres).lock_owned().await;
    spawn_blocking(move || act(&mut postgres)).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_each_server_agree() {
    // Forty at once on a busy machine: what is asked here is what they agree on, and not how soon.
    let patient = |rest: &mut fechatter_server::config::Settings, _: &mut notify_server::config::Settings| {
        rest.database.acquire_timeout_s = 30;
        rest.database.lock_timeout_s = 30;
        rest.database.statement_timeout_s = 30;
        rest.limits.request_s = 30;
    };
    let site = Site::start_with(patient).await;
    let (ann, bob, chat) = pair(&site).await;
    let (rest, notify) = (site.another_rest(), site.another_notify());
    let (ann2, bob2) = (ann.at(rest.address, notify.address), bob.at(rest.address, notify.address));
    let (mut first, mut second) = (bob.stream(None).await, bob2.stream(None).await);
    let path = format!("/api/chats/{chat}/messages");
    let sends = (0..40).map(|i| {
        let sender = if i % 2 == 0 { &ann } else { &ann2 };
        sender.post(&path, json!({ "content": format!("{i}") }))
    });
    for answer in futures::future::join_all(sends).await {
        answer.expect(201);
    }
    for seq in 1..=40 {
        let (one, other) = (first.expect("message").await, second.expect("message").await);
        assert_eq!(one.data["seq"], seq);
        assert_eq!(one, other, "the same order, with the same ids");
    }
    // A session that ends at one is refused by the other within a second.
    ann2.act("/api/auth/signout").await.expect(204);
    tokio::time::sleep(Duration::from_millis(1050)).await;
    ann.get("/api/users/me").await.expect(401);
}

/// Whoever hangs up drops the future of their request wherever it waits: the connection to PostgreSQL that it used
/// must come back clean.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_given_up_leaves_no_transaction_behind() {
    let url = cluster::fresh_database().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("a connection");
    let pool = Pool::new(pool, Duration::from_secs(30));
    let (settings, now) = (Settings::read(None).expect("defaults"), Clock::system().now());
    for polls in 1..30 {
        let mut reading = Box::pin(Snapshot::begin(&pool));
        let mut writing = Box::pin(begin_write(&pool, None));
        let mut keeping = Box::pin(housekeeping::run_now(&pool, &settings, now));
        for _ in 0..polls {
            let begun = match polls % 3 {
                0 => poll!(&mut reading).is_ready(),
                1 => poll!(&mut writing).is_ready(),
                _ => poll!(&mut keeping).is_ready(),
            };
            if begun {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop((reading, writing, keeping));
        let transaction = async || -> String {
            let id = sqlx::query_scalar("select pg_current_xact_id()::text").fetch_one(&pool).await;
            id.expect("an id")
        };
        let (one, other) = (transaction().await, transaction().await);
        assert_ne!(one, other, "given up after {polls} polls: a transaction is still open");
    }
}
