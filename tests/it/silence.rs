//! Connections to PostgreSQL fall silent for good, as when a primary loses its power or a firewall forgets them, and new
//! ones are answered. What waits on the silent ones is given up in a time that follows from the settings.

use std::time::Duration;

use chat_core::{database::DatabaseSettings, store::begin_write};
use fechatter_server::config::Settings;
use fechatter_tests::{Actor, Site, Stream, cluster, wire::Wire};
use secrecy::SecretString;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longer than these settings allow, and far shorter than TCP waits.
const SOON: Duration = Duration::from_mins(1);
/// From one request to the next: what is shown here takes no load.
const PAUSE: Duration = Duration::from_millis(20);

/// Short limits, on a way by the wire.
fn by_wire(database: &mut DatabaseSettings, url: String) {
    database.url = SecretString::from(url);
    database.acquire_timeout_s = 2;
    database.statement_timeout_s = 1;
    database.lock_timeout_s = 1;
    // PostgreSQL is not gone in these tests: so it ends what the silent connections hold.
    database.idle_in_transaction_timeout_s = 1;
}

async fn site_by_wire() -> (Site, Wire) {
    let url = cluster::fresh_database().await;
    let wire = Wire::to(&url).await;
    let as_role = |role| wire.url(&cluster::as_role(role, &url));
    let (rest, notify) = (as_role("fechatter_server"), as_role("notify_server"));
    let site = Site::start_on(url, |settings, notify_settings| {
        by_wire(&mut settings.database, rest);
        by_wire(&mut notify_settings.database, notify);
    })
    .await;
    (site, wire)
}

/// Asks until it succeeds; answers 503 meanwhile, and nothing else.
async fn again(what: &str, mut ask: impl AsyncFnMut() -> fechatter_tests::Answer) {
    let asking = async {
        loop {
            let answer = ask().await;
            match answer.status {
                200 | 201 => return,
                503 => sleep(Duration::from_millis(50)).await,
                _ => panic!("{}: {}", answer.request, answer.body),
            }
        }
    };
    timeout(SOON, asking).await.unwrap_or_else(|_| panic!("{what} never came back"));
}

/// Asks and writes on and on, by more requests than there are connections, so that some are under way at any moment.
fn keep_busy(person: &Actor, stop: &CancellationToken) -> JoinSet<()> {
    let mut busy = JoinSet::new();
    for i in 0..8 {
        let (person, stop) = (person.clone(), stop.clone());
        busy.spawn(async move {
            while !stop.is_cancelled() {
                let answer = match i % 3 {
                    0 => person.get("/api/chats").await,
                    1 => person.get("/api/auth/sessions").await,
                    _ => person.patch("/api/users/me", json!({ "full_name": "another name" })).await,
                };
                assert!(matches!(answer.status, 200 | 503), "{}: {}", answer.request, answer.body);
                sleep(PAUSE).await;
            }
        });
    }
    busy
}

/// Sends numbers, each until it is acknowledged; answers how many, once it is told to stop.
async fn send_on(sender: Actor, chat: String, stop: CancellationToken) -> usize {
    let path = format!("/api/chats/{chat}/messages");
    let mut sent = 0;
    while !stop.is_cancelled() {
        let body = json!({ "content": sent.to_string(), "client_id": sent.to_string() });
        let answer = sender.post(&path, body).await;
        match answer.status {
            200 | 201 => sent += 1,
            _ => drop(answer.expect(503)),
        }
        sleep(PAUSE).await;
    }
    sent
}

/// What the messages say, up to the one that says `end`.
async fn listen(mut stream: Stream) -> Vec<String> {
    let mut said = Vec::new();
    while said.last().is_none_or(|last| last != "end") {
        let received = stream.within(SOON).await.expect("the stream goes on");
        assert_ne!(received.event, "reset");
        if received.event == "message" {
            said.push(received.data["content"].as_str().unwrap_or_default().to_owned());
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_give_up_silent_connections_and_all_goes_on() {
    let (site, wire) = site_by_wire().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let listening = tokio::spawn(listen(bob.stream(None).await));

    let stop = CancellationToken::new();
    let mut busy = keep_busy(&bob, &stop);
    let sending = tokio::spawn(send_on(ann.clone(), chat.clone(), stop.clone()));
    for round in 0..2 {
        sleep(Duration::from_secs(1)).await;
        wire.fall_silent().await;
        let silent = Instant::now();
        again("the list of chats", async || ann.get("/api/chats").await).await;
        again("a write", async || ann.patch("/api/users/me", json!({ "full_name": "Ann" })).await).await;
        again("a ticket", async || ann.act("/api/notifications/ticket").await).await;
        let body = json!({ "content": "note", "client_id": format!("note {round}") });
        let own = ann.make_chat(&workspace, "Group", &[]).await;
        again("a send", async || ann.post(&format!("/api/chats/{own}/messages"), body.clone()).await).await;
        for admin in [site.rest.admin_address, site.notify.admin_address] {
            again("readiness", async || site.get(format!("http://{admin}/readyz")).await).await;
        }
        drop(ann.stream(None).await);
        assert!(silent.elapsed() < SOON, "round {round}");
    }
    stop.cancel();
    let sent = timeout(SOON, sending).await.expect("the last send").expect("no panic");
    while let Some(ended) = timeout(SOON, busy.join_next()).await.expect("the last request") {
        ended.expect("no panic");
    }
    assert!(sent > 1, "{sent}");
    ann.send(&chat, "end").await;
    let said = listening.await.expect("an open stream");
    let all: Vec<_> = (0..sent).map(|number| number.to_string()).chain(["end".to_owned()]).collect();
    assert_eq!(said, all, "every message once, in order");
    // No place of the pool was lost: as many as there are can be used at the same time.
    let mut all = JoinSet::new();
    for _ in 0..6 {
        let ann = ann.clone();
        all.spawn(async move { ann.get("/api/auth/sessions").await });
    }
    while let Some(answer) = all.join_next().await {
        answer.expect("no panic").expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_gives_a_silent_connection_up_wherever_it_is() {
    let url = cluster::fresh_database().await;
    let wire = Wire::to(&url).await;
    let mut database = Settings::read(None).expect("defaults").database;
    by_wire(&mut database, wire.url(&url));
    let pool = database.pool_of_one("test").expect("a pool");
    let ask = async || sqlx::query("select 1").execute(&pool).await.map(drop);
    let found_again = async |place: &str| {
        let begun = Instant::now();
        while let Err(error) = ask().await {
            assert!(chat_core::database::is_unavailable(&error), "{place}: {error}");
            assert!(begun.elapsed() < SOON, "{place}: {error}");
        }
    };

    ask().await.expect("an answer");
    sleep(Duration::from_millis(200)).await;
    wire.fall_silent().await;
    ask().await.expect("another connection in place of the idle one");

    let asking = async {
        let slow = sqlx::query("select pg_sleep(0.5)").execute(&pool);
        let silence = async {
            sleep(Duration::from_millis(100)).await;
            wire.fall_silent().await;
        };
        tokio::join!(slow, silence).0
    };
    let error = timeout(SOON, asking).await.expect("a limit").expect_err("nobody answered");
    assert!(chat_core::database::is_unavailable(&error), "{error}");
    found_again("in a statement").await;

    let mut lent = pool.acquire().await.expect("a connection");
    wire.fall_silent().await;
    let given_up = timeout(Duration::from_millis(100), sqlx::query("select 1").execute(&mut *lent)).await;
    assert!(given_up.is_err(), "nobody answered");
    drop(lent);
    found_again("given up by its user").await;

    let tx = begin_write(&pool, None).await.expect("a transaction");
    wire.fall_silent().await;
    drop(tx);
    found_again("to be undone").await;
}
