//! The feed misses nothing, and it is the ordering lock that sees to it.

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use chat_core::{
    database::Pool,
    feed::{Batch, EventFeed, Gap},
};
use fechatter_tests::cluster;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

const WRITERS: i64 = 16;
const EACH: i64 = 60;

/// A database with one person and one chat a writer, so that nothing but the log orders the writers.
async fn database() -> (Pool, PgConnectOptions) {
    let url = cluster::fresh_database().await;
    let pool = PgPoolOptions::new().max_connections(20).connect(&url).await.expect("a connection");
    sqlx::raw_sql(
        "insert into users (id, email, username, password_hash, full_name)
             values ('00000000-0000-7000-8000-000000000001', 'a@example.com', 'ann', '', 'Ann');
         insert into workspaces (id, name) values ('00000000-0000-7000-8000-000000000002', 'Acme');",
    )
    .execute(&pool)
    .await
    .expect("a workspace");
    sqlx::query(
        "insert into chats (id, workspace_id, chat_type, created_by)
         select ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid,
             '00000000-0000-7000-8000-000000000002', 'Group', '00000000-0000-7000-8000-000000000001'
         from generate_series(1, $1) n",
    )
    .bind(WRITERS)
    .execute(&pool)
    .await
    .expect("chats");
    (Pool::new(pool, Duration::from_secs(30)), PgConnectOptions::from_str(&url).expect("options"))
}

/// Starts the feed, lets the writers write, and answers how many of the messages it missed.
async fn missed(pool: &Pool, listen: PgConnectOptions) -> usize {
    let mut feed = EventFeed::start(pool.clone(), listen);
    assert!(matches!(feed.next().await, Batch::Gap { reason: Gap::Start, .. }));
    let writers: Vec<_> = (1..=WRITERS).map(|writer| tokio::spawn(write(pool.clone(), writer))).collect();
    let reading = tokio::spawn(async move {
        let (mut seen, mut last) = (BTreeSet::new(), 0);
        let all = usize::try_from(WRITERS * EACH).expect("a small number");
        let mut end = Instant::now() + Duration::from_secs(30);
        while seen.len() < all {
            let Ok(batch) = timeout_at(end, feed.next()).await else { break };
            let Batch::Events(events) = batch else { panic!("a gap: {batch:?}") };
            for event in events {
                assert!(event.id > last, "{} after {last}", event.id);
                last = event.id;
                seen.extend(event.message_id);
            }
            // Once everything is written, whatever is still missing will not come.
            end = Instant::now() + Duration::from_secs(4);
        }
        seen
    });
    let mut written = BTreeSet::new();
    for writer in writers {
        written.extend(writer.await.expect("a writer"));
    }
    let seen = reading.await.expect("a reader");
    written.difference(&seen.into_iter().map(|id| id.0).collect()).count()
}

async fn write(pool: Pool, writer: i64) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for seq in 1..=EACH {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into messages (id, chat_id, seq, sender_id, content)
             values ($1, ('00000000-0000-7000-9000-' || lpad($2::text, 12, '0'))::uuid, $3,
                 '00000000-0000-7000-8000-000000000001', 'x')",
        )
        .bind(id)
        .bind(writer)
        .bind(seq)
        .execute(&pool)
        .await
        .expect("a message");
        ids.push(id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_with_sixteen_writers() {
    let (pool, listen) = database().await;
    assert_eq!(missed(&pool, listen).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ordering_lock_events_are_missed() {
    let (pool, listen) = database().await;
    // Without the lock, ids are given out in one order and committed in another. The wait at the end of some
    // transactions is what a slow disk does.
    sqlx::raw_sql(
        "create or replace function take_event_lock() returns void language sql as 'select';
         create function dawdle() returns trigger language plpgsql as $$
         begin
             perform pg_sleep(random() * 0.02);
             return null;
         end $$;
         create constraint trigger dawdle after insert on messages deferrable initially deferred
             for each row execute function dawdle();",
    )
    .execute(&pool)
    .await
    .expect("no lock");
    assert!(missed(&pool, listen).await > 0, "the test above would not notice a missing lock");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_lock_a_slow_commit_delays_but_loses_nothing() {
    let (pool, listen) = database().await;
    sqlx::raw_sql(
        "create function dawdle() returns trigger language plpgsql as $$
         begin
             perform pg_sleep(random() * 0.004);
             return null;
         end $$;
         create constraint trigger dawdle after insert on messages deferrable initially deferred
             for each row execute function dawdle();",
    )
    .execute(&pool)
    .await
    .expect("slow commits");
    assert_eq!(missed(&pool, listen).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_partitions_are_dropped_whole_and_the_newest_event_stays() {
    let (pool, listen) = database().await;
    write(pool.clone(), 1).await;
    // The log goes on in a later partition.
    sqlx::query("select setval('events_id_seq', 2500000)").execute(&pool).await.expect("a jump");
    write(pool.clone(), 2).await;
    let dropped: i32 =
        sqlx::query_scalar("select drop_expired_events('1 hour')").fetch_one(&pool).await.expect("a count");
    assert_eq!(dropped, 0, "nothing is that old");
    let dropped: i32 =
        sqlx::query_scalar("select drop_expired_events('0 hours')").fetch_one(&pool).await.expect("a count");
    assert_eq!(dropped, 2);
    let (through, first): (i64, i64) =
        sqlx::query_as("select dropped_through, (select min(id) from events) from stream_epoch")
            .fetch_one(&pool)
            .await
            .expect("a row");
    assert_eq!((through, first), (1_999_999, 2_500_001));
    // The feed goes on where the log ends.
    let mut feed = EventFeed::start(pool.clone(), listen);
    let Batch::Gap { position, .. } = feed.next().await else { panic!("a start") };
    assert_eq!(position.id, 2_500_000 + EACH);
    write(pool, 3).await;
    assert!(matches!(feed.next().await, Batch::Events(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_can_write_more_events_than_a_partition_has_left() {
    let (pool, _) = database().await;
    sqlx::query("select setval('events_id_seq', 1999990)").execute(&pool).await.expect("a jump");
    write(pool.clone(), 1).await;
    let newest: i64 = sqlx::query_scalar("select max(id) from events").fetch_one(&pool).await.expect("an id");
    assert_eq!(newest, 1_999_990 + EACH);
}
