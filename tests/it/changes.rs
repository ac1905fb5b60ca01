//! Editing and deleting messages, and what is left of them.

use std::time::Duration;

use fechatter_tests::{Actor, Answer, Room, actor::id_of};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

const QUIET: Duration = Duration::from_millis(300);

fn path(chat: &str, message: &Value) -> String {
    format!("/api/chats/{chat}/messages/{}", id_of(message))
}

async fn edit(person: &Actor, path: &str, content: &str) -> Answer {
    person.patch(path, json!({ "content": content })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_author_edits_and_the_chat_sees_what_it_said_before() {
    let Room { ann, bob, chat, .. } = Room::of_three("Group").await;
    let mut stream = ann.stream(None).await;
    let sent = bob.send(&chat, "frist").await;
    let path = path(&chat, &sent);
    let edited = edit(&bob, &path, "first").await.expect(200);
    assert_eq!((&edited["content"], &edited["version"]), (&json!("first"), &json!(2)));
    assert!(edited["edited_at"].is_string());
    for field in ["id", "seq", "created_at", "sender", "deleted_at", "kind"] {
        assert_eq!(edited[field], sent[field], "{field}");
    }
    assert_eq!(ann.get(&path).await.expect(200), edited);
    // What changes nothing is not an edit.
    assert_eq!(edit(&bob, &path, "first").await.expect(200), edited);
    let third = bob.patch(&path, json!({ "content": "first!", "expected_version": 2 })).await.expect(200);

    stream.expect("message").await;
    for version in [&edited, &third] {
        let update = stream.expect("message_update").await;
        assert_eq!(update.data["message_id"], sent["id"]);
        assert_eq!(update.data["version"], version["version"]);
        for (field, value) in version.as_object().expect("an object") {
            assert_eq!(&update.data[field], value, "{field}");
        }
    }
    assert_eq!(stream.during(QUIET).await, []);

    let page = ann.get(&format!("{path}/edits")).await;
    assert!(!page.event_id().is_empty());
    assert_eq!(
        page.expect(200),
        json!({ "has_more": false, "edits": [
            { "version": 2, "content": "first", "written_at": edited["edited_at"] },
            { "version": 1, "content": "frist", "written_at": sent["created_at"] },
        ] })
    );
    let page = ann.get(&format!("{path}/edits?limit=1")).await.expect(200);
    assert_eq!((&page["edits"][0]["version"], &page["has_more"]), (&json!(2), &json!(true)));
    let page = ann.get(&format!("{path}/edits?limit=1&before=2")).await.expect(200);
    assert_eq!((&page["edits"][0]["version"], &page["has_more"]), (&json!(1), &json!(false)));
    ann.get(&format!("{path}/edits?limit=0")).await.blames("limit");
    ann.get(&format!("{path}/edits?before=0")).await.blames("before");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_refused_to_all_but_the_author() {
    let Room { site, ann, bob, cid, workspace, chat } = Room::of_three("PublicChannel").await;
    let message = bob.send(&chat, "bob's").await;
    let path = path(&chat, &message);
    for person in [&ann, &cid] {
        edit(person, &path, "not bob's").await.refuses(403, "forbidden");
    }
    bob.patch(&path, json!({ "content": "x", "expected_version": 2 })).await.refuses(409, "version_mismatch");
    bob.patch(&path, json!({ "content": "x", "expected_version": 0 })).await.blames("expected_version");
    bob.patch(&path, json!({ "content": " \t" })).await.blames("content");
    bob.patch(&path, json!({ "content": "x".repeat(10_001) })).await.blames("content");
    bob.patch(&path, json!({ "content": "x", "version": 1 })).await.blames("version");
    bob.patch(&path, json!({})).await.blames("content");
    edit(&bob, &format!("/api/chats/{chat}/messages/{}", uuid::Uuid::now_v7()), "x").await.expect(404);
    let elsewhere = bob.make_chat(&workspace, "Group", &[]).await;
    edit(&bob, &path.replace(&chat, &elsewhere), "x").await.expect(404);
    // Somebody who left reads a public channel, but writes nothing in it.
    bob.delete(&format!("/api/chats/{chat}/members/me")).await.expect(204);
    edit(&bob, &path, "x").await.refuses(403, "forbidden");
    bob.delete(&path).await.refuses(403, "forbidden");
    site.anonymous().patch(&path, json!({ "content": "x" })).await.expect(401);
    bob.act(&format!("/api/chats/{chat}/join")).await.expect(200);
    assert_eq!(bob.get(&path).await.expect(200), message, "nothing of it was done");
    edit(&bob, &path, "still bob's").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_with_a_key_and_edited_is_still_the_same_send() {
    let Room { bob, chat, .. } = Room::of_three("Group").await;
    let messages = format!("/api/chats/{chat}/messages");
    let body = json!({ "content": "once", "client_id": "k" });
    let sent = bob.post(&messages, body.clone()).await.expect(201);
    let path = path(&chat, &sent);
    for content in ["twice", "thrice"] {
        let edited = edit(&bob, &path, content).await.expect(200);
        assert_eq!(bob.post(&messages, body.clone()).await.expect(200), edited);
        let other = json!({ "content": content, "client_id": "k" });
        bob.post(&messages, other).await.refuses(409, "client_id_reused");
    }
    bob.delete(&path).await.expect(204);
    assert_eq!(bob.post(&messages, body).await.expect(200)["content"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_delete_what() {
    for (chat_type, by_admin) in [("Group", 204), ("PrivateChannel", 204), ("PublicChannel", 204)] {
        let Room { ann, bob, cid, chat, .. } = Room::of_three(chat_type).await;
        let message = bob.send(&chat, "bob's").await;
        let path = path(&chat, &message);
        cid.delete(&path).await.refuses(403, "forbidden");
        assert_eq!(bob.get(&path).await.expect(200), message);
        ann.delete(&path).await.expect(by_admin);
        let tombstone = cid.get(&path).await.expect(200);
        assert_eq!((&tombstone["content"], &tombstone["deleted_by"]), (&Value::Null, &json!(ann.id)));
        // Twice is once, for whoever may; whoever may not learns nothing new.
        ann.delete(&path).await.expect(204);
        bob.delete(&path).await.expect(204);
        cid.delete(&path).await.refuses(403, "forbidden");
        assert_eq!(cid.get(&path).await.expect(200), tombstone);
        edit(&bob, &path, "back").await.refuses(409, "message_deleted");
        ann.delete(&format!("/api/chats/{chat}/messages/{}", uuid::Uuid::now_v7())).await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_single_chat_each_deletes_their_own() {
    let Room { ann, bob, workspace, .. } = Room::of_three("Group").await;
    let chat = ann.make_chat(&workspace, "Single", &[&bob]).await;
    let path = path(&chat, &bob.send(&chat, "bob's").await);
    ann.delete(&path).await.refuses(403, "forbidden");
    bob.delete(&path).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_of_the_workspace_delete_in_public_channels_only() {
    let Room { ann, bob, cid, workspace, .. } = Room::of_three("Group").await;
    // Bob's chats; ann owns the workspace and is in neither.
    let public = bob.make_chat(&workspace, "PublicChannel", &[&cid]).await;
    let private = bob.make_chat(&workspace, "PrivateChannel", &[&cid]).await;
    let (open, closed) = (bob.send(&public, "x").await, bob.send(&private, "x").await);
    cid.delete(&path(&public, &open)).await.refuses(403, "forbidden");
    ann.delete(&path(&private, &closed)).await.refuses(404, "not_found");
    ann.delete(&path(&public, &open)).await.expect(204);
    // What ann wrote before leaving is deleted by the same right.
    ann.act(&format!("/api/chats/{public}/join")).await.expect(200);
    let own = ann.send(&public, "ann's").await;
    ann.delete(&format!("/api/chats/{public}/members/me")).await.expect(204);
    edit(&ann, &path(&public, &own), "x").await.refuses(403, "forbidden");
    ann.delete(&path(&public, &own)).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_chat_keeps_its_messages_as_they_are() {
    let Room { ann, bob, chat, .. } = Room::of_three("Group").await;
    let (kept, gone) = (bob.send(&chat, "kept").await, bob.send(&chat, "gone").await);
    bob.delete(&path(&chat, &gone)).await.expect(204);
    ann.act(&format!("/api/chats/{chat}/archive")).await.expect(200);
    edit(&bob, &path(&chat, &kept), "x").await.refuses(409, "archived");
    for person in [&ann, &bob] {
        person.delete(&path(&chat, &kept)).await.refuses(409, "archived");
        person.delete(&path(&chat, &gone)).await.expect(204);
    }
    ann.act(&format!("/api/chats/{chat}/unarchive")).await.expect(200);
    edit(&bob, &path(&chat, &kept), "x").await.expect(200);
    ann.delete(&path(&chat, &kept)).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_rolls_the_last_message_back_and_unread_drops() {
    let Room { ann, bob, chat, .. } = Room::of_three("Group").await;
    let first = bob.send(&chat, "1").await;
    let second = bob.send(&chat, "2").await;
    let entry = async || ann.chat_in_list(&chat).await;
    assert_eq!(
        (&entry().await["last_message"]["content"], &entry().await["unread_count"]),
        (&json!("2"), &json!(2))
    );
    edit(&bob, &path(&chat, &second), "two").await.expect(200);
    assert_eq!(entry().await["last_message"]["content"], "two");
    bob.delete(&path(&chat, &second)).await.expect(204);
    assert_eq!(
        (&entry().await["last_message"]["content"], &entry().await["unread_count"]),
        (&json!("1"), &json!(1))
    );
    bob.delete(&path(&chat, &first)).await.expect(204);
    assert_eq!((&entry().await["last_message"], &entry().await["unread_count"]), (&Value::Null, &json!(0)));
    // The places stay.
    let page = ann.get(&format!("/api/chats/{chat}/messages")).await.expect(200);
    let seqs: Vec<_> = page["messages"].as_array().into_iter().flatten().map(|m| m["seq"].clone()).collect();
    assert_eq!(seqs, [2, 1]);
    assert_eq!(bob.send(&chat, "3").await["seq"], 3);
}

/// The tables of the database in which some row holds `text`.
async fn tables_with(pool: &PgPool, text: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') order by 1",
    )
    .fetch_all(pool)
    .await
    .expect("tables");
    assert!(tables.len() > 15, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let query = format!("select exists (select from {table} t where t::text like '%' || $1 || '%')");
        let holds = sqlx::query_scalar(AssertSqlSafe(query)).bind(text).fetch_one(pool).await;
        if holds.expect("an answer") {
            found.push(table);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_content_is_gone_from_every_table_and_replay() {
    let Room { site, ann, bob, chat, .. } = Room::of_three("Group").await;
    let mut live = ann.stream(None).await;
    let start = ann.get("/api/chats").await.event_id();
    let sent = bob.send(&chat, "the s3cret plan").await;
    let path = path(&chat, &sent);
    edit(&bob, &path, "the other s3cret plan").await.expect(200);
    edit(&bob, &path, "the last s3cret plan").await.expect(200);
    let reply = json!({ "content": "what plan?", "reply_to": sent["id"] });
    let mut reply = ann.post(&format!("/api/chats/{chat}/messages"), reply).await.expect(201);
    assert_eq!(reply["quote"]["content"], "the last s3cret plan");
    let found = tables_with(&site.pool, "s3cret").await;
    assert_eq!(found.len(), 2, "a message and its past: {found:?}");
    bob.delete(&path).await.expect(204);
    assert_eq!(tables_with(&site.pool, "s3cret").await, Vec::<String>::new());

    live.expect("message").await;
    live.expect("message_update").await;
    live.expect("message_update").await;
    live.expect_message("what plan?").await;
    let deleted = live.expect("message_delete").await;
    assert_eq!((&deleted.data["message_id"], &deleted.data["content"]), (&sent["id"], &Value::Null));
    assert!(deleted.data["deleted_at"].is_string());
    let tombstone = ann.get(&path).await.expect(200);
    for (field, value) in tombstone.as_object().expect("an object") {
        assert_eq!(&deleted.data[field], value, "{field}");
    }
    assert_eq!(ann.get(&format!("{path}/edits")).await.expect(200)["edits"], json!([]));
    let history = ann.get(&format!("/api/chats/{chat}/messages")).await.expect(200);
    assert!(!history.to_string().contains("s3cret"), "{history}");
    reply["quote"]["content"] = Value::Null;
    reply["quote"]["deleted_at"] = tombstone["deleted_at"].clone();
    assert_eq!(history["messages"], json!([reply, tombstone]));

    // From the ring, and from the table on an instance that was not there.
    let other = site.another_notify();
    for notify in [ann.notify, other.address] {
        let mut replayed = ann.at(ann.rest, notify).stream(Some(&start)).await;
        for event in ["message", "message_update", "message_update", "message", "message_delete"] {
            let received = replayed.expect(event).await;
            assert!(!received.data.to_string().contains("s3cret"), "{received:?}");
        }
        assert_eq!(replayed.during(QUIET).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_psql_changes_is_kept_and_erased_the_same_way() {
    let Room { site, ann, bob, chat, .. } = Room::of_three("Group").await;
    let sent = bob.send(&chat, "by bob").await;
    let path = path(&chat, &sent);
    let run = async |sql: &'static str| {
        sqlx::query(sql).bind(id_of(&sent)).execute(&site.pool).await.expect("an update");
    };
    run("update messages set content = 'by hand', version = version + 1 where id = $1::uuid").await;
    let edits = ann.get(&format!("{path}/edits")).await.expect(200);
    assert_eq!(edits["edits"][0]["content"], "by bob");
    run("update messages set content = null, deleted_at = now() where id = $1::uuid").await;
    assert_eq!(tables_with(&site.pool, "by bob").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn marking_as_unread_is_the_way_back() {
    let Room { ann, bob, chat, .. } = Room::of_three("Group").await;
    let mut sent = Vec::new();
    for content in ["1", "2", "3", "4"] {
        sent.push(ann.send(&chat, content).await);
    }
    ann.delete(&path(&chat, &sent[2])).await.expect(204);
    let (read, unread) = (format!("/api/chats/{chat}/read"), format!("/api/chats/{chat}/unread"));
    bob.put(&read, json!({ "seq": 4 })).await.expect(200);
    let (mut bobs, mut anns) = (bob.stream(None).await, ann.stream(None).await);
    let state = bob.put(&unread, json!({ "message_id": sent[1]["id"] })).await.expect(200);
    assert_eq!(state, json!({ "chat_id": chat, "last_read_seq": 1, "unread_count": 2, "mention_count": 0 }));
    assert_eq!(bobs.expect("read").await.data, state);
    assert_eq!(bob.chat_in_list(&chat).await["unread_count"], 2);
    // Again changes nothing and says nothing.
    assert_eq!(bob.put(&unread, json!({ "message_id": sent[1]["id"] })).await.expect(200), state);
    // From further on: what stands before it is read.
    let state = bob.put(&unread, json!({ "message_id": sent[3]["id"] })).await.expect(200);
    assert_eq!((&state["last_read_seq"], &state["unread_count"]), (&json!(3), &json!(1)));
    assert_eq!(bobs.expect("read").await.data, state);
    let state = bob.put(&unread, json!({ "message_id": sent[0]["id"] })).await.expect(200);
    assert_eq!((&state["last_read_seq"], &state["unread_count"]), (&json!(0), &json!(3)));
    assert_eq!(bobs.expect("read").await.data, state);
    assert_eq!(bobs.during(QUIET).await, []);
    assert_eq!(anns.during(QUIET).await, [], "nobody else's business");
    // Reading does not go back.
    bob.put(&read, json!({ "seq": 4 })).await.expect(200);
    assert_eq!(bob.put(&read, json!({ "seq": 1 })).await.expect(200)["last_read_seq"], 4);
    bob.put(&unread, json!({ "message_id": uuid::Uuid::now_v7() })).await.blames("message_id");
    bob.put(&unread, json!({})).await.blames("message_id");
}

const ROUNDS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_races_a_deletion() {
    let Room { site, ann, bob, chat, .. } = Room::of_three("Group").await;
    for round in 0..ROUNDS {
        let sent = bob.send(&chat, "before").await;
        let path = path(&chat, &sent);
        let (edited, deleted) = tokio::join!(edit(&bob, &path, "after"), ann.delete(&path));
        deleted.expect(204);
        match edited.status {
            200 => assert_eq!(edited.body["content"], "after", "round {round}"),
            _ => drop(edited.refuses(409, "message_deleted")),
        }
        let now = ann.get(&path).await.expect(200);
        assert_eq!(now["content"], Value::Null, "round {round}");
        assert_eq!(ann.get(&format!("{path}/edits")).await.expect(200)["edits"], json!([]));
    }
    for word in ["before", "after"] {
        assert_eq!(tables_with(&site.pool, word).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_edits_of_one_version_race() {
    let Room { bob, chat, .. } = Room::of_three("Group").await;
    for round in 0..ROUNDS {
        let path = path(&chat, &bob.send(&chat, "before").await);
        let change = |content: &str| json!({ "content": content, "expected_version": 1 });
        let (left, right) = tokio::join!(bob.patch(&path, change("left")), bob.patch(&path, change("right")));
        let (won, lost) = if left.status == 200 { (left, right) } else { (right, left) };
        let won = won.expect(200);
        lost.refuses(409, "version_mismatch");
        assert_eq!(bob.get(&path).await.expect(200), won, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_races_a_send() {
    let Room { ann, bob, chat, .. } = Room::of_three("Group").await;
    for round in 0..ROUNDS {
        let sent = bob.send(&chat, "old").await;
        let path = path(&chat, &sent);
        let reply = json!({ "content": "new", "reply_to": sent["id"] });
        let messages = format!("/api/chats/{chat}/messages");
        let (deleted, replied) = tokio::join!(bob.delete(&path), ann.post(&messages, reply));
        deleted.expect(204);
        let replied = replied.expect(201);
        let entry = bob.chat_in_list(&chat).await;
        assert_eq!(entry["last_message"]["id"], replied["id"], "round {round}");
        assert_eq!(entry["unread_count"], 1, "round {round}");
        bob.put(&format!("/api/chats/{chat}/read"), json!({ "message_id": replied["id"] })).await.expect(200);
    }
    let entry = ann.chat_in_list(&chat).await;
    assert_eq!(entry["unread_count"], 0, "what bob wrote is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_races_the_deletion_of_its_chat() {
    let Room { ann, bob, workspace, .. } = Room::of_three("Group").await;
    for _ in 0..ROUNDS {
        let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
        let path = path(&chat, &bob.send(&chat, "x").await);
        let chat_path = format!("/api/chats/{chat}");
        let (message, chat) = tokio::join!(bob.delete(&path), ann.delete(&chat_path));
        assert!(matches!(message.status, 204 | 404), "{}", message.body);
        chat.expect(204);
    }
}
