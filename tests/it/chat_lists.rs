//! The list of chats is what the database says at that moment, on every server.

use std::io::Read;

use fechatter_tests::{Actor, Site, actor::id_of};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

async fn list(person: &Actor, path: &str) -> Vec<Value> {
    person.get(path).await.expect(200)["chats"].as_array().cloned().expect("chats")
}

/// Lists twice at each server and asks each chat by itself, which nobody keeps.
async fn expect_true(person: &Actor, other: &Actor, after: &str) {
    let first = list(person, "/api/chats").await;
    for asker in [person, other, other] {
        assert_eq!(list(asker, "/api/chats").await, first, "after {after}");
    }
    for entry in &first {
        let chat = person.get(&format!("/api/chats/{}", id_of(entry))).await.expect(200);
        assert_eq!(chat, *entry, "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_list_follows_every_change_on_every_server() {
    let site = Site::start().await;
    let another = site.another_rest();
    let (ann, bob, cid) = (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("cid").await);
    let there = |person: &Actor| person.at(another.address, site.notify.address);
    let (ann_there, bob_there) = (there(&ann), there(&bob));
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    ann.welcome(&workspace, &cid).await;
    let of_workspace = format!("/api/chats?workspace_id={workspace}");
    assert_eq!(list(&bob, &of_workspace).await, list(&bob_there, "/api/chats").await);

    let group = ann.make_chat(&workspace, "Group", &[&bob]).await;
    expect_true(&bob, &bob_there, "a new chat").await;
    let single = ann.make_chat(&workspace, "Single", &[&bob]).await;
    let message = ann.send(&group, "one").await;
    expect_true(&bob, &bob_there, "a message").await;
    let message = format!("/api/chats/{group}/messages/{}", id_of(&message));
    ann.patch(&message, json!({ "content": "uno", "expected_version": 1 })).await.expect(200);
    expect_true(&bob, &bob_there, "an edit").await;
    ann.patch(&message, json!({ "content": "@bob, uno" })).await.expect(200);
    expect_true(&bob, &bob_there, "a mention").await;
    assert_eq!(bob_there.chat_in_list(&group).await["mention_count"], 1);
    bob.put(&format!("/api/chats/{group}/read"), json!({ "seq": 1 })).await.expect(200);
    expect_true(&bob, &bob_there, "reading").await;
    ann.delete(&message).await.expect(204);
    expect_true(&bob, &bob_there, "a deletion").await;
    ann.put(&format!("/api/chats/{group}"), json!({ "name": "renamed" })).await.expect(200);
    expect_true(&bob, &bob_there, "a name").await;

    bob.act(&format!("/api/chats/{single}/hide")).await.expect(200);
    expect_true(&bob, &bob_there, "hiding").await;
    assert_eq!(list(&bob, "/api/chats").await.len(), 1);
    ann.send(&single, "back").await;
    expect_true(&bob, &bob_there, "a message to a hidden chat").await;
    assert_eq!(list(&bob, "/api/chats").await.len(), 2);

    ann.patch("/api/users/me", json!({ "full_name": "Ann Other" })).await.expect(200);
    expect_true(&bob, &bob_there, "a person's new name").await;
    let entry = bob.chat_in_list(&single).await;
    assert_eq!(
        (&entry["name"], &entry["last_message"]["sender_name"]),
        (&json!("Ann Other"), &json!("Ann Other"))
    );

    ann.delete(&format!("/api/chats/{group}/members/{}", bob.id)).await.expect(204);
    expect_true(&bob, &bob_there, "removal from a chat").await;
    assert_eq!(list(&bob, "/api/chats").await.len(), 1);
    ann.act(&format!("/api/chats/{group}/archive")).await.expect(200);
    expect_true(&ann, &ann_there, "archiving").await;

    // From outside the servers: the triggers tell it all the same.
    let changed = "update chats set description = 'by hand' where id = $1::uuid";
    sqlx::query(changed).bind(&group).execute(&site.pool).await.expect("an update");
    expect_true(&ann, &ann_there, "an update by hand").await;

    assert_eq!(list(&bob_there, &of_workspace).await.len(), 1);
    ann.delete(&format!("/api/workspaces/{workspace}/members/{}", bob.id)).await.expect(204);
    for person in [&bob, &bob_there] {
        person.get(&of_workspace).await.expect(404);
        assert_eq!(list(person, "/api/chats").await, Vec::<Value>::new());
    }
    another.stop().await;
}

/// Everybody writes, and after each message asks the other server, which has to show it or a later one.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_never_contradicts_what_its_reader_was_told() {
    let site = Site::start().await;
    let another = site.another_rest();
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let mut people = vec![ann.clone()];
    for name in ["bob", "cid", "dee"] {
        let person = site.sign_up(name).await;
        ann.welcome(&workspace, &person).await;
        people.push(person);
    }
    let others: Vec<&Actor> = people[1..].iter().collect();
    let chat = ann.make_chat(&workspace, "Group", &others).await;
    let writers = people.iter().map(|person| {
        let (here, there) = (person.clone(), person.at(another.address, site.notify.address));
        let chat = chat.clone();
        tokio::spawn(async move {
            for round in 0..25 {
                let (writer, reader) = if round % 2 == 0 { (&here, &there) } else { (&there, &here) };
                let seq = writer.send(&chat, &format!("{} {round}", writer.name)).await["seq"].as_i64();
                let shown = reader.chat_in_list(&chat).await;
                assert!(shown["last_seq"].as_i64() >= seq, "{shown} after {seq:?}");
                assert!(shown["last_read_seq"].as_i64() >= seq, "{shown} after {seq:?}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    another.stop().await;
}

/// The position of a kept list is an exact cut: list and events from there on give each message once.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_list_has_an_exact_position() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let elsewhere = ann.make_chat(&workspace, "Group", &[]).await;
    let eve = site.sign_up("eve").await;
    let far_off = eve.make_workspace("Far").await;
    let noise = eve.make_chat(&far_off, "Group", &[]).await;
    for round in 0..10 {
        let first = ann.get("/api/chats").await;
        eve.send(&noise, "nobody here hears this").await;
        let kept = ann.get("/api/chats").await;
        assert_eq!(first.body, kept.body);
        assert_ne!(first.event_id(), kept.event_id(), "a kept list is at the log's end all the same");
        let mut stream = ann.stream(Some(&kept.event_id())).await;
        let (before, after) = (format!("before {round}"), format!("after {round}"));
        ann.send(&elsewhere, &before).await;
        stream.expect_message(&before).await;
        ann.send(&chat, &after).await;
        stream.expect_message(&after).await;
    }
    // It is kept: what no trigger tells of is not seen yet.
    let kept = ann.get("/api/chats").await.body;
    let mut silent = site.pool.begin().await.expect("a transaction");
    for statement in ["set local session_replication_role = replica", "update chats set name = 'unheard of'"]
    {
        sqlx::query(statement).execute(&mut *silent).await.expect("a statement");
    }
    silent.commit().await.expect("a commit");
    assert_eq!(ann.get("/api/chats").await.body, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_the_same_as_gzip() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let coded = async |codings: &str| {
        let request = ann.client.get(format!("http://{}/api/chats", ann.rest)).bearer_auth(&ann.token);
        let response = request.header("accept-encoding", codings).send().await.expect("an answer");
        assert_eq!(response.headers()["vary"], "accept-encoding");
        let coding = response.headers().get("content-encoding").map(|value| value.as_bytes().to_vec());
        (coding, response.bytes().await.expect("a body"))
    };
    assert_eq!(coded("gzip").await, (None, r#"{"chats":[]}"#.into()), "too short to be worth it");
    for _ in 0..20 {
        ann.make_chat(&workspace, "Group", &[]).await;
    }
    // As it is read from the database, and as it was kept.
    let (none, plain) = coded("br, gzip;q=0").await;
    assert_eq!(none, None);
    for _ in 0..2 {
        let (coding, bytes) = coded("br, gzip").await;
        assert_eq!(coding.as_deref(), Some(&b"gzip"[..]));
        assert!(bytes.len() < plain.len() / 4, "{} of {} bytes", bytes.len(), plain.len());
        let mut read = Vec::new();
        GzDecoder::new(&*bytes).read_to_end(&mut read).expect("gzip");
        assert_eq!(read, plain);
    }
}
