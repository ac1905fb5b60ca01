//! The event stream and its promise.

use std::time::Duration;

use chrono::TimeDelta;
use fechatter_tests::{Actor, Site, Stream};
use serde_json::{Value, json};

/// Long enough for anything wrong to arrive.
const QUIET: Duration = Duration::from_millis(300);

struct Room {
    site: Site,
    ann: Actor,
    bob: Actor,
    workspace: String,
    chat: String,
}

async fn room() -> Room {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[&bob]).await;
    Room { site, ann, bob, workspace, chat }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_as_rest_shows_it_on_every_connection() {
    let Room { ann, bob, chat, .. } = room().await;
    let (mut phone, mut laptop, mut own) =
        (bob.stream(None).await, bob.stream(None).await, ann.stream(None).await);
    let sent = ann.send(&chat, "hello\nworld").await;
    for stream in [&mut phone, &mut laptop, &mut own] {
        let received = stream.expect("message").await;
        assert_eq!(received.data["message_id"], sent["id"]);
        for (field, value) in sent.as_object().expect("an object") {
            assert_eq!(&received.data[field], value, "{field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_chats_arrive_with_their_facts() {
    let Room { site, ann, bob, workspace, .. } = room().await;
    let cid = site.sign_up("cid").await;
    ann.welcome(&workspace, &cid).await;
    let mut stream = bob.stream(None).await;
    let chat = ann.make_chat(&workspace, "PublicChannel", &[&bob]).await;
    assert_eq!(stream.expect_update("created").await.data["chat_id"], json!(chat));
    // What came before one's own joining is in the chat's state, not on the stream.
    assert_eq!(stream.expect_update("member_added").await.data["user_id"], json!(bob.id));
    let path = format!("/api/chats/{chat}");
    ann.put(&path, json!({ "name": "news", "description": "all of it" })).await.expect(200);
    assert_eq!(stream.expect_update("name_changed").await.data["name"], "news");
    assert_eq!(stream.expect_update("description_changed").await.data["description"], "all of it");
    stream.expect_note("name_changed").await;
    stream.expect_note("description_changed").await;
    ann.put(&path, json!({ "name": "news" })).await.expect(200); // changes nothing, says nothing
    cid.act(&format!("{path}/join")).await.expect(200);
    let joined = stream.expect_update("member_added").await;
    assert_eq!((&joined.data["user_id"], &joined.data["role"]), (&json!(cid.id), &json!("Member")));
    assert_eq!(joined.data["member"]["name"], "cid");
    stream.expect_note("member_joined").await;
    let cids = format!("{path}/members/{}", cid.id);
    ann.patch(&cids, json!({ "role": "Admin" })).await.expect(200);
    assert_eq!(stream.expect_update("role_changed").await.data["role"], "Admin");
    ann.delete(&cids).await.expect(204);
    assert_eq!(stream.expect_update("member_removed").await.data["user_id"], json!(cid.id));
    stream.expect_note("member_removed").await;
    ann.act(&format!("{path}/archive")).await.expect(200);
    stream.expect_update("archived").await;
    stream.expect_note("archived").await;
    ann.act(&format!("{path}/unarchive")).await.expect(200);
    stream.expect_update("unarchived").await;
    stream.expect_note("unarchived").await;
    ann.delete(&path).await.expect(204);
    stream.expect_update("deleted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_workspaces_arrive() {
    let Room { site, ann, bob, workspace, .. } = room().await;
    let mut stream = bob.stream(None).await;
    let path = format!("/api/workspaces/{workspace}");
    ann.put(&path, json!({ "name": "Acme Ltd" })).await.expect(200);
    let event = stream.expect("workspace_update").await;
    assert_eq!((&event.data["type"], &event.data["name"]), (&json!("updated"), &json!("Acme Ltd")));
    let cid = site.sign_up("cid").await;
    ann.welcome(&workspace, &cid).await;
    assert_eq!(stream.expect("workspace_update").await.data["user_id"], json!(cid.id));
    ann.delete(&path).await.expect(204);
    let last = stream.until("workspace_update").await;
    assert_eq!(last.data["type"], "deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_is_told_to_ones_own_connections_only() {
    let Room { ann, bob, chat, .. } = room().await;
    ann.send(&chat, "1").await;
    ann.send(&chat, "2").await;
    let (mut bobs, mut anns) = (bob.stream(None).await, ann.stream(None).await);
    bob.put(&format!("/api/chats/{chat}/read"), json!({ "seq": 1 })).await.expect(200);
    let read = bobs.expect("read").await;
    assert_eq!(
        read.data,
        json!({ "chat_id": chat, "last_read_seq": 1, "unread_count": 1, "mention_count": 0 })
    );
    assert_eq!(anns.during(QUIET).await, []);
    // Sending moves the cursor without a word: the message says it.
    bob.send(&chat, "3").await;
    bobs.expect_message("3").await;
    assert_eq!(bobs.during(QUIET).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_from_the_ring_and_from_the_table() {
    let Room { site, ann, bob, chat, .. } = room().await;
    let mut stream = bob.stream(None).await;
    ann.send(&chat, "1").await;
    let first = stream.expect_message("1").await;
    drop(stream);
    ann.send(&chat, "2").await;
    ann.send(&chat, "3").await;
    let mut resumed = bob.stream(Some(&first.id)).await;
    resumed.expect_message("2").await;
    let third = resumed.expect_message("3").await;
    assert_eq!(resumed.during(QUIET).await, [], "each once");

    // Another instance has an empty ring; a restarted one as well.
    let other = site.another_notify();
    let mut elsewhere = bob.at(bob.rest, other.address).stream(Some(&first.id)).await;
    elsewhere.expect_message("2").await;
    assert_eq!(elsewhere.expect_message("3").await, third, "the same event has the same id everywhere");
    drop(elsewhere);
    other.stop().await;
    ann.send(&chat, "4").await;
    let restarted = site.another_notify();
    let mut after = bob.at(bob.rest, restarted.address).stream(Some(&third.id)).await;
    after.expect_message("4").await;
    ann.send(&chat, "5").await;
    after.expect_message("5").await;
    resumed.expect_message("4").await;
    resumed.expect_message("5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_the_stream_from_its_event_id_leave_no_hole() {
    let Room { ann, bob, chat, .. } = room().await;
    let path = format!("/api/chats/{chat}/messages?limit=100");
    let (writer, target) = (ann.clone(), chat.clone());
    let writing = tokio::spawn(async move {
        for i in 0..80 {
            writer.send(&target, &format!("{i}")).await;
        }
    });
    let mut cuts = Vec::new();
    while cuts.len() < 10 && !writing.is_finished() {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let answer = bob.get(&path).await;
        let position = answer.event_id();
        let page = answer.expect(200);
        let shown = page["messages"][0]["seq"].as_i64().unwrap_or_default();
        cuts.push((shown, bob.stream(Some(&position)).await));
    }
    writing.await.expect("all sent");
    assert!(cuts.len() > 1);
    for (shown, mut stream) in cuts {
        for seq in shown + 1..=80 {
            assert_eq!(stream.expect("message").await.data["seq"], seq, "after a snapshot of {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_receives_the_removal_and_nothing_after_it() {
    let Room { site, ann, bob, chat, .. } = room().await;
    let mut stream = bob.stream(None).await;
    ann.send(&chat, "before").await;
    let before = stream.expect_message("before").await;
    ann.delete(&format!("/api/chats/{chat}/members/{}", bob.id)).await.expect(204);
    ann.send(&chat, "after").await;
    let removed = stream.expect_update("member_removed").await;
    assert_eq!(removed.data["user_id"], json!(bob.id));
    assert_eq!(stream.during(QUIET).await, []);

    // Nor by resuming, from the ring or from the table.
    let other = site.another_notify();
    for notify in [bob.notify, other.address] {
        let mut resumed = bob.at(bob.rest, notify).stream(Some(&before.id)).await;
        resumed.expect_update("member_removed").await;
        assert_eq!(resumed.during(QUIET).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_receives_nothing_from_before() {
    let Room { site, ann, workspace, .. } = room().await;
    let cid = site.sign_up("cid").await;
    ann.welcome(&workspace, &cid).await;
    let mut live = cid.stream(None).await;
    let start = cid.get("/api/chats").await.event_id();
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[]).await;
    ann.send(&chat, "before").await;
    ann.put(&format!("/api/chats/{chat}"), json!({ "name": "renamed before" })).await.expect(200);
    ann.post(&format!("/api/chats/{chat}/members"), json!({ "member_ids": [cid.id] })).await.expect(200);
    ann.send(&chat, "after").await;
    let other = site.another_notify();
    let mut from_ring = cid.stream(Some(&start)).await;
    let mut from_table = cid.at(cid.rest, other.address).stream(Some(&start)).await;
    for stream in [&mut live, &mut from_ring, &mut from_table] {
        stream.expect_update("member_added").await;
        stream.expect_note("members_added").await;
        stream.expect_message("after").await;
        assert_eq!(stream.during(QUIET).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_receives_nothing_of_the_time_between() {
    let Room { site, ann, bob, chat, .. } = room().await;
    let mut live = bob.stream(None).await;
    let start = bob.get("/api/chats").await.event_id();
    ann.delete(&format!("/api/chats/{chat}/members/{}", bob.id)).await.expect(204);
    ann.send(&chat, "between").await;
    ann.post(&format!("/api/chats/{chat}/members"), json!({ "member_ids": [bob.id] })).await.expect(200);
    ann.send(&chat, "after").await;
    let other = site.another_notify();
    let mut from_ring = bob.stream(Some(&start)).await;
    let mut from_table = bob.at(bob.rest, other.address).stream(Some(&start)).await;
    for stream in [&mut live, &mut from_ring, &mut from_table] {
        stream.expect_update("member_removed").await;
        stream.expect_update("member_added").await;
        stream.expect_note("members_added").await;
        stream.expect_message("after").await;
        assert_eq!(stream.during(QUIET).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outsiders_receive_nothing() {
    let Room { site, ann, bob, workspace, chat } = room().await;
    let (cid, eve) = (site.sign_up("cid").await, site.sign_up("eve").await);
    ann.welcome(&workspace, &cid).await;
    let (mut cids, mut eves) = (cid.stream(None).await, eve.stream(None).await);
    ann.send(&chat, "secret").await;
    bob.send(&chat, "secret").await;
    ann.put(&format!("/api/chats/{chat}"), json!({ "name": "secret" })).await.expect(200);
    ann.put(&format!("/api/workspaces/{workspace}"), json!({ "name": "Acme Ltd" })).await.expect(200);
    let seen = cids.during(QUIET).await;
    assert_eq!(seen.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(), ["workspace_update"]);
    assert_eq!(eves.during(QUIET).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_stream() {
    let Room { site, ann, bob, chat, .. } = room().await;
    let ticket = async || {
        let answer = bob.act("/api/notifications/ticket").await.expect(201);
        assert_eq!(answer["expires_in"], 30);
        answer["ticket"].as_str().expect("a ticket").to_owned()
    };
    let first = ticket().await;
    let position = bob.get("/api/chats").await.event_id();
    let mut stream = Stream::open_with_ticket(&bob, &first, &format!("&last_event_id={position}")).await;
    ann.send(&chat, "hello").await;
    stream.expect_message("hello").await;
    let anonymous = site.anonymous();
    let path = |ticket: &str| format!("/api/notifications/events?ticket={ticket}");
    anonymous.get(&path(&first)).await.refuses(401, "unauthorized");
    anonymous.get(&path("nonsense")).await.refuses(401, "unauthorized");
    anonymous.get("/api/notifications/events").await.refuses(401, "unauthorized");
    let late = ticket().await;
    site.clock.advance(TimeDelta::seconds(31));
    anonymous.get(&path(&late)).await.refuses(401, "unauthorized");
    // A ticket of a session that has ended.
    let orphan = ticket().await;
    bob.act("/api/auth/signout").await.expect(204);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    anonymous.get(&path(&orphan)).await.refuses(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_cursor_is_refused_or_reset() {
    let Room { site, ann, bob, chat, .. } = room().await;
    bob.get("/api/notifications/events?last_event_id=nonsense").await.blames("last_event_id");
    bob.get("/api/notifications/events?colour=red").await.blames("colour");
    let position = bob.get("/api/chats").await.event_id();
    let (epoch, id) = position.rsplit_once('-').expect("a position");
    let ahead = id.parse::<i64>().expect("a number") + 1000;
    for (cursor, reason) in [
        ("nonsense".to_owned(), "unknown"),
        (format!("{epoch}-{ahead}"), "unknown"),
        (format!("0000beef-{id}"), "epoch"),
    ] {
        let mut stream = bob.stream(Some(&cursor)).await;
        let reset = stream.expect("reset").await;
        assert_eq!(reset.data["reason"], reason, "{cursor}");
        ann.send(&chat, "on").await;
        stream.expect_message("on").await;
        // The new position is one to resume from.
        let mut resumed = bob.stream(Some(&reset.id)).await;
        resumed.expect_message("on").await;
    }
    // What has been dropped cannot be replayed.
    sqlx::query("update stream_epoch set dropped_through = $1")
        .bind(id.parse::<i64>().expect("a number"))
        .execute(&site.pool)
        .await
        .expect("an update");
    let mut stream = bob.stream(Some(&format!("{epoch}-1"))).await;
    assert_eq!(stream.expect("reset").await.data["reason"], "expired");
}

async fn ends_with(stream: &mut Stream, reason: &str) {
    let bye = stream.until("bye").await;
    assert_eq!(bye.data["reason"], reason);
    assert!(bye.data["reconnect_ms"].is_u64(), "{bye:?}");
    assert!(stream.next().await.is_none(), "the stream is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session() {
    let Room { site, bob, .. } = room().await;
    let body = json!({ "email": "bob@example.com", "password": "a long enough phrase" });
    let laptop =
        Actor::from_session(&site, &site.anonymous().post("/api/auth/signin", body).await.expect(200));
    let (mut phones, mut laptops) = (bob.stream(None).await, laptop.stream(None).await);
    let ticket = laptop.act("/api/notifications/ticket").await.expect(201)["ticket"].clone();
    let mut ticketed = Stream::open_with_ticket(&laptop, ticket.as_str().expect("a ticket"), "").await;
    laptop.act("/api/auth/signout").await.expect(204);
    ends_with(&mut laptops, "session_revoked").await;
    ends_with(&mut ticketed, "session_revoked").await;
    assert_eq!(phones.during(QUIET).await, [], "the other session's stream goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let Room { site, bob, .. } = room().await;
    let mut stream = bob.stream(None).await;
    site.clock.advance(TimeDelta::minutes(16));
    ends_with(&mut stream, "token_expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspension_ends_every_stream_and_token() {
    let Room { site, bob, .. } = room().await;
    let mut stream = bob.stream(None).await;
    sqlx::query("update users set status = 'Suspended' where id = $1::uuid")
        .bind(&bob.id)
        .execute(&site.pool)
        .await
        .expect("an update");
    ends_with(&mut stream, "suspended").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    bob.get("/api/users/me").await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_server_is_said() {
    let Room { site, bob, .. } = room().await;
    let other = site.another_notify();
    let mut stream = bob.at(bob.rest, other.address).stream(None).await;
    let stopping = tokio::spawn(other.stop());
    ends_with(&mut stream, "shutdown").await;
    stopping.await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_pings_with_its_position() {
    let site = Site::start_with(|_, notify| notify.stream.heartbeat_s = 1).await;
    let ann = site.sign_up("ann").await;
    let mut stream = ann.stream(None).await;
    let ping = stream.any().await;
    assert_eq!(ping.event, "ping");
    let workspace = ann.make_workspace("Acme").await;
    assert_ne!(workspace, "");
    let event = stream.expect("workspace_update").await;
    // A position from a ping is one to resume from.
    let mut resumed = ann.stream(Some(&ping.id)).await;
    assert_eq!(resumed.expect("workspace_update").await, event);
    assert_eq!(stream.until("ping").await.id, event.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_loses_nothing() {
    let site = Site::start_with(|_, notify| {
        notify.stream.queue_events = 16;
        notify.stream.queue_bytes = 64 * 1024;
    })
    .await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let mut stalled = bob.stream(None).await;
    // More than the sockets' buffers and the queue hold, while nobody reads.
    let long = "x".repeat(9_900);
    for i in 0..900 {
        ann.send(&chat, &format!("{i:04}{long}")).await;
    }
    for i in 0..900 {
        let received = stalled.expect("message").await;
        let content = received.data["content"].as_str().expect("content");
        assert_eq!(&content[..4], format!("{i:04}"));
    }
    assert_eq!(stalled.during(QUIET).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_psql_changes_is_told_too() {
    let Room { site, ann, bob, chat, .. } = room().await;
    let mut stream = bob.stream(None).await;
    sqlx::query(
        "with c as (update chats set last_seq = last_seq + 1 where id = $1::uuid returning last_seq)
         insert into messages (id, chat_id, seq, sender_id, content)
         select gen_random_uuid(), $1::uuid, last_seq, $2::uuid, 'by hand' from c",
    )
    .bind(&chat)
    .bind(&ann.id)
    .execute(&site.pool)
    .await
    .expect("an insert");
    let received = stream.expect_message("by hand").await;
    assert_ne!(received.data["seq"], Value::Null);
    // But nobody writes events by hand.
    let forged = sqlx::query("insert into events (id, kind) values (nextval('events_id_seq'), 'message')")
        .execute(&site.pool)
        .await;
    assert!(forged.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_so_many_streams_and_one_more_is_refused() {
    let site = Site::start_with(|_, notify| notify.limits.streams_per_person = 3).await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let mut anns = Vec::new();
    for _ in 0..3 {
        anns.push(ann.stream(None).await);
    }
    let refused = ann.get("/api/notifications/events").await;
    assert_eq!(refused.headers["retry-after"], "30");
    refused.refuses(429, "too_many_streams");
    // By another session as well, or with a position to go on from.
    let again = site.sign_in_again(&ann).await;
    let position = again.get("/api/chats").await.event_id();
    again
        .get(&format!("/api/notifications/events?last_event_id={position}"))
        .await
        .refuses(429, "too_many_streams");
    let _bobs = bob.stream(None).await;
    let workspace = ann.make_workspace("Acme").await;
    for stream in &mut anns {
        assert_eq!(stream.expect("workspace_update").await.data["workspace_id"], json!(workspace));
    }
    // Who closes one can open another, once the server has seen it.
    anns.pop();
    let url = format!("http://{}/api/notifications/events", ann.notify);
    let opened = async || {
        while ann.client.get(&url).bearer_auth(&ann.token).send().await.expect("an answer").status() != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), opened()).await.expect("a free place");
}
