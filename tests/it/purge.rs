//! Deleted chats and workspaces are purged after some time, and nobody hears of it.

use std::time::Duration;

use chat_core::database::Pool;
use chrono::TimeDelta;
use fechatter_server::{config::Settings, housekeeping};
use fechatter_tests::{Site, actor::id_of};
use reqwest::Method;
use serde_json::json;

async fn count(site: &Site, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&site.pool).await.expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_chat_is_purged_after_a_month_in_silence() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let kept = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let gone = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let first = ann.send(&gone, "first").await;
    let reply = json!({ "content": "a reply", "reply_to": first["id"] });
    bob.post(&format!("/api/chats/{gone}/messages"), reply).await.expect(201);
    let last = ann.send(&kept, "kept").await;
    for (chat, message) in [(&gone, &first), (&kept, &last)] {
        let path = format!("/api/chats/{chat}/messages/{}", id_of(message));
        for thing in ["reactions/👍", "pin", "saved"] {
            bob.request(Method::PUT, &format!("{path}/{thing}"), None).await.expect(200);
        }
    }
    // More than a batch holds.
    sqlx::query(
        "insert into messages (id, chat_id, seq, sender_id, content)
         select gen_random_uuid(), $1::uuid, n, $2::uuid, 'x' from generate_series(3, 2500) n",
    )
    .bind(&gone)
    .bind(&ann.id)
    .execute(&site.pool)
    .await
    .expect("messages");
    ann.delete(&format!("/api/chats/{gone}")).await.expect(204);
    let events = count(&site, "select max(id) from events").await;

    site.clock.advance(TimeDelta::days(29));
    site.clean_up().await;
    assert_eq!(count(&site, "select count(*) from messages").await, 2501);

    site.clock.advance(TimeDelta::days(2));
    site.clean_up().await;
    assert_eq!(count(&site, "select count(*) from messages").await, 1);
    assert_eq!(count(&site, "select count(*) from chat_members").await, 2);
    assert_eq!(count(&site, "select count(*) from chats").await, 1);
    assert_eq!(count(&site, "select count(*) from reactions").await, 1);
    assert_eq!(count(&site, "select count(*) from saved_messages").await, 1);
    assert_eq!(count(&site, "select max(id) from events").await, events, "nobody is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workspace_is_purged_after_a_month_in_silence() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let (kept, gone) = (ann.make_workspace("Kept").await, ann.make_workspace("Gone").await);
    for workspace in [&kept, &gone] {
        ann.welcome(workspace, &bob).await;
        ann.make_chat(workspace, "Group", &[&bob]).await;
    }
    ann.delete(&format!("/api/workspaces/{gone}")).await.expect(204);
    let events = count(&site, "select max(id) from events").await;

    site.clock.advance(TimeDelta::days(29));
    site.clean_up().await;
    assert_eq!(count(&site, "select count(*) from workspaces").await, 2);
    assert_eq!(count(&site, "select count(*) from workspace_members").await, 4);

    site.clock.advance(TimeDelta::days(2));
    site.clean_up().await;
    assert_eq!(count(&site, "select count(*) from workspaces where name = 'Kept'").await, 1);
    assert_eq!(count(&site, "select count(*) from workspaces").await, 1);
    assert_eq!(count(&site, "select count(*) from workspace_members").await, 2);
    assert_eq!(count(&site, "select count(*) from chats").await, 1);
    assert_eq!(count(&site, "select max(id) from events").await, events, "nobody is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_does_not_wait_for_what_comes_after_a_drop_of_events() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    sqlx::raw_sql(
        "set local session_replication_role = replica;
         update events set at = at - interval '100 days';
         set local session_replication_role = origin;
         select setval('events_id_seq', 1500000);
         create function slow() returns trigger language plpgsql as
             $$ begin perform pg_sleep(3); return null; end $$;
         create trigger slow before delete on sessions for each statement execute function slow()",
    )
    .execute(&site.pool)
    .await
    .expect("an old log, and slow deletions");
    ann.send(&chat, "in another partition").await;

    let pool = Pool::new(site.pool.clone(), Duration::from_secs(30));
    let now = site.clock.now();
    let keeping = tokio::spawn(async move {
        let settings = Settings::read(None).expect("defaults");
        housekeeping::run_now(&pool, &settings, now).await
    });
    let sleeping = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep'";
    while count(&site, sleeping).await == 0 {
        assert!(!keeping.is_finished());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let held = "select count(*) from pg_locks
        where relation = 'events'::regclass and mode = 'AccessExclusiveLock' and granted";
    assert_eq!(count(&site, held).await, 0, "the log is locked");
    ann.send(&chat, "meanwhile").await;
    assert_eq!(count(&site, sleeping).await, 1, "it was not waited for");
    let purged = keeping.await.expect("no panic").expect("a clean-up");
    assert_eq!(purged.event_partitions, 1);
}
