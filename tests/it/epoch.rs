//! A log that was set back to an earlier time, and has perhaps grown again, is another log: everybody is told.

use std::{path::Path, process::Command, str::FromStr, time::Duration};

use chat_core::{
    database::Pool,
    feed::{Batch, EventFeed, Gap},
};
use fechatter_tests::{Actor, Received, Room, Site, Stream, cluster, program::Program};
use local_postgres::{LocalPostgres, Options};
use serde_json::json;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::time::timeout;

const QUIET: Duration = Duration::from_millis(1500);

/// The one `reset` that a stream is told, skipping what was delivered before it.
async fn one_reset(stream: &mut Stream) -> Received {
    let reset = stream.until("reset").await;
    assert_eq!(reset.data["reason"], "epoch");
    reset
}

fn epoch_of(position: &str) -> &str {
    position.rsplit_once('-').expect("a position").0
}

async fn epoch_in(pool: &PgPool) -> String {
    sqlx::query_scalar("select epoch from stream_epoch").fetch_one(pool).await.expect("an epoch")
}

/// Takes the newest `cut` messages of a chat and all events since them away, as if they had never been, and writes
/// `grow` others in their place; in one transaction, so that nobody sees what is between.
async fn cut_tail(pool: &PgPool, chat: &str, cut: i64, grow: i64) {
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::raw_sql("select take_event_lock(); set local session_replication_role = replica")
        .execute(&mut *tx)
        .await
        .expect("a superuser");
    let last: i64 = sqlx::query_scalar(
        "with gone as (
             delete from messages m using chats c
             where c.id = $1::uuid and m.chat_id = c.id and m.seq > c.last_seq - $2 returning m.id
         ), shortened as (
             update chats set last_seq = last_seq - $2 where id = $1::uuid
         )
         select min(e.id) - 1 from events e join gone on gone.id = e.message_id",
    )
    .bind(chat)
    .bind(cut)
    .fetch_one(&mut *tx)
    .await
    .expect("messages");
    sqlx::query("delete from events where id > $1")
        .bind(last)
        .execute(&mut *tx)
        .await
        .expect("a shorter log");
    sqlx::query("select setval('events_id_seq', $1)").bind(last).execute(&mut *tx).await.expect("a sequence");
    sqlx::raw_sql("set local session_replication_role = origin").execute(&mut *tx).await.expect("triggers");
    sqlx::query(
        "with c as (update chats set last_seq = last_seq + $2 where id = $1::uuid returning *)
         insert into messages (id, chat_id, seq, sender_id, content)
         select gen_random_uuid(), c.id, c.last_seq - $2 + n, c.created_by, 'another'
         from c, generate_series(1, $2) n",
    )
    .bind(chat)
    .bind(grow)
    .execute(&mut *tx)
    .await
    .expect("other messages");
    tx.commit().await.expect("a commit");
}

/// Streams at two instances, with two instances of the REST server beside them, over a cut.
async fn every_stream_is_told_once(cut: i64, grow: i64) {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let (rest, notify) = (site.another_rest(), site.another_notify());
    let mut streams = vec![
        ann.stream(None).await,
        bob.stream(None).await,
        bob.at(rest.address, notify.address).stream(None).await,
    ];
    for i in 0..4 {
        ann.send(&chat, &format!("{i}")).await;
    }
    let mut before = String::new();
    for stream in &mut streams {
        for i in 0..4 {
            before = stream.expect_message(&format!("{i}")).await.id;
        }
    }
    let old = epoch_in(&site.pool).await;
    assert_eq!(epoch_of(&before), old);

    cut_tail(&site.pool, &chat, cut, grow).await;
    let mut resets = Vec::new();
    for stream in &mut streams {
        resets.push(one_reset(stream).await);
    }
    let new = epoch_in(&site.pool).await;
    assert_ne!(new, old);
    for reset in &resets {
        assert_eq!(epoch_of(&reset.id), new, "several found it out, and one rotated");
    }
    // They go on, once each.
    ann.send(&chat, "after").await;
    for stream in &mut streams {
        stream.expect_message("after").await;
        assert_eq!(stream.during(QUIET).await, []);
    }
    // A position of the lost end is told from one of the new end, on any instance.
    for actor in [&bob, &bob.at(rest.address, notify.address)] {
        let mut resumed = actor.stream(Some(&before)).await;
        one_reset(&mut resumed).await;
        let mut resumed = actor.stream(Some(&resets[0].id)).await;
        resumed.expect_message("after").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_end_is_one_reset_on_each_stream() {
    every_stream_is_told_once(3, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_end_that_grew_again_is_found_all_the_same() {
    // As long as it was before, and longer.
    every_stream_is_told_once(3, 3).await;
    every_stream_is_told_once(2, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_epoch_is_one_reset_on_each_stream() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let notify = site.another_notify();
    let mut streams =
        [ann.stream(None).await, bob.at(bob.rest, notify.address).stream(None).await, bob.stream(None).await];
    ann.send(&chat, "before").await;
    for stream in &mut streams {
        stream.expect_message("before").await;
    }
    let said = rotate_epoch(&site.database_url);
    for stream in &mut streams {
        assert_eq!(epoch_of(&one_reset(stream).await.id), said);
    }
    assert_eq!(epoch_in(&site.pool).await, said, "it prints the new epoch");
    ann.send(&chat, "after").await;
    for stream in &mut streams {
        stream.expect_message("after").await;
        assert_eq!(stream.during(QUIET).await, []);
    }
}

/// Runs the operator's command on a database; answers what it printed.
fn rotate_epoch(url: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [("FECHATTER_DATABASE__URL", url)];
    let mut program = Program::start("fechatter", folder.path(), &["rotate-epoch"], &variables);
    let status = tokio::task::block_in_place(|| program.end());
    assert!(status.success(), "{}", program.said);
    program.said.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_epoch_is_rotated_once() {
    let site = Site::start().await;
    let known = epoch_in(&site.pool).await;
    let rotate = async || {
        sqlx::query("select rotate_epoch($1)").bind(&known).execute(&site.pool).await.expect("a rotation");
        epoch_in(&site.pool).await
    };
    let renewed = rotate().await;
    assert_ne!(renewed, known);
    assert_eq!(rotate().await, renewed, "who comes second changes nothing");
}

/// As on a standby: nothing is delivered of a log that cannot be trusted.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_epoch_cannot_be_written_the_feed_waits_for_another() {
    let url = cluster::fresh_database().await;
    let pool = PgPool::connect(&url).await.expect("a connection");
    let rename = async |times: i32| {
        for _ in 0..times {
            let rename = "update workspaces set name = gen_random_uuid()::text";
            sqlx::query(rename).execute(&pool).await.expect("an event");
        }
    };
    let insert = "insert into workspaces (id, name) values (gen_random_uuid(), 'Acme')";
    sqlx::query(insert).execute(&pool).await.expect("a workspace");
    rename(5).await;
    let options = PgConnectOptions::from_str(&url).expect("options");
    let reading = options.clone().options([("default_transaction_read_only", "on")]);
    let reading = PgPool::connect_with(reading).await.expect("a connection");
    let mut feed = EventFeed::start(Pool::new(reading, Duration::from_secs(30)), options);
    let Batch::Gap { reason: Gap::Start, position: before } = feed.next().await else { panic!("a start") };

    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::raw_sql(
        "set local session_replication_role = replica;
         delete from events where id > (select max(id) - 3 from events);
         select setval('events_id_seq', max(id)) from events",
    )
    .execute(&mut *tx)
    .await
    .expect("a shorter log");
    tx.commit().await.expect("a commit");
    rename(6).await;
    assert!(timeout(QUIET, feed.next()).await.is_err(), "nothing is delivered");

    sqlx::query("select rotate_epoch($1)").bind(&before.epoch.0).execute(&pool).await.expect("a rotation");
    let Batch::Gap { reason: Gap::Epoch, position } = feed.next().await else { panic!("another log") };
    assert_ne!(position.epoch, before.epoch);
    rename(1).await;
    let Batch::Events(events) = feed.next().await else { panic!("it goes on") };
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [position.id + 1]);
}

/// The servers stay up while the database under them is replaced by yesterday's.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_a_backup_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut postgres = tokio::task::block_in_place(|| {
        let options = Options::durable(Options::temporary().expect("a folder").dir);
        LocalPostgres::start(&Options { remove_on_exit: true, ..options }).expect("a private PostgreSQL")
    });
    let url = postgres.url("postgres");
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.expect("a connection");
    chat_core::database::MIGRATOR.run(&mut connection).await.expect("migrations");
    drop(connection);
    let site = Site::start_on(url, |_, _| {}).await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let mut stream = bob.stream(None).await;
    ann.send(&chat, "kept").await;
    stream.expect_message("kept").await;

    let (data, backup) = (postgres.dir().join("data"), folder.path().join("backup"));
    tokio::task::block_in_place(|| {
        postgres.stop().expect("a stop");
        copy(&data, &backup);
        postgres.start_again().expect("a start");
    });
    for i in 0..3 {
        send_until_there(&ann, &chat, &format!("lost {i}")).await;
    }
    let mut last = stream.expect_message("lost 0").await;
    for i in 1..3 {
        last = stream.expect_message(&format!("lost {i}")).await;
    }
    tokio::task::block_in_place(|| {
        postgres.stop().expect("a stop");
        std::fs::remove_dir_all(&data).expect("an empty place");
        copy(&backup, &data);
        postgres.start_again().expect("a start");
    });
    for i in 0..5 {
        send_until_there(&ann, &chat, &format!("new {i}")).await;
    }
    let reset = one_reset(&mut stream).await;
    let page = bob.get(&format!("/api/chats/{chat}/messages")).await.expect(200);
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(6), "what the reload shows");
    send_until_there(&ann, &chat, "after").await;
    // What was written between the reset and here is on the stream; the reset is not repeated.
    loop {
        let received = stream.any().await;
        assert!(["message", "ping"].contains(&received.event.as_str()), "{received:?}");
        if received.data["content"] == "after" {
            break;
        }
    }
    let mut resumed = bob.stream(Some(&last.id)).await;
    assert_eq!(epoch_of(&one_reset(&mut resumed).await.id), epoch_of(&reset.id));
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp");
    assert!(status.success());
}

/// Sends one message, again as long as the database is away.
async fn send_until_there(sender: &Actor, chat: &str, content: &str) {
    let path = format!("/api/chats/{chat}/messages");
    for _ in 0..200 {
        let answer = sender.post(&path, json!({ "content": content, "client_id": content })).await;
        if matches!(answer.status, 200 | 201) {
            return;
        }
        answer.expect(503);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{content} was never taken");
}

/// A client keeps the id of the last event that it has read, and may be cut off right after the `hello`.
#[tokio::test(flavor = "multi_thread")]
async fn a_hello_does_not_run_ahead_of_its_reset() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let before = bob.get("/api/chats").await.event_id();
    ann.send(&chat, "missed").await;
    sqlx::raw_sql("select rotate_epoch(epoch) from stream_epoch")
        .execute(&site.pool)
        .await
        .expect("a rotation");
    let ahead = format!("{}-1000000", epoch_in(&site.pool).await);
    for cursor in [before.as_str(), ahead.as_str(), "nonsense"] {
        let (stream, hello) = Stream::try_open(&bob, cursor).await.expect("a stream");
        drop(stream);
        // What was missed is told one way or the other.
        let mut resumed = bob.stream(Some(&hello.id)).await;
        let told = resumed.any().await;
        assert_ne!(told.event, "ping", "nothing at all after {cursor} and {}", hello.id);
    }
}
