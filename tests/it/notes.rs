//! What the server notes in a chat of what people did to it.

use std::time::Duration;

use fechatter_tests::{Actor, Room, actor::id_of};
use serde_json::{Value, json};

const QUIET: Duration = Duration::from_millis(300);

/// Who is noted to have done what in the chat, oldest first.
async fn notes(reader: &Actor, chat: &str) -> Vec<(String, Value)> {
    let page = reader.get(&format!("/api/chats/{chat}/messages?limit=100")).await.expect(200);
    let messages = page["messages"].as_array().expect("messages").iter().rev();
    let seqs: Vec<_> = messages.clone().map(|message| message["seq"].clone()).collect();
    assert_eq!(seqs, (1..=seqs.len()).collect::<Vec<_>>(), "each in its place");
    let mut notes = Vec::new();
    for message in messages {
        assert_eq!(message["kind"] == "System", message["system"].is_object(), "{message}");
        if message["kind"] == "System" {
            assert_eq!((&message["content"], &message["version"]), (&Value::Null, &json!(1)), "{message}");
            let sender = message["sender"]["name"].as_str().expect("a name").to_owned();
            notes.push((sender, message["system"].clone()));
        } else {
            assert_eq!(message["system"], Value::Null);
        }
    }
    notes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_a_chat_is_noted_once_and_in_order() {
    let Room { site, ann, bob, cid, workspace, chat } = Room::of_two("PublicChannel").await;
    let dan = site.sign_up("dan").await;
    ann.welcome(&workspace, &dan).await;
    assert_eq!(notes(&ann, &chat).await, [], "a new chat has none, and no first member either");
    let path = format!("/api/chats/{chat}");
    let mut stream = bob.stream(None).await;

    cid.act(&format!("{path}/join")).await.expect(200);
    cid.act(&format!("{path}/join")).await.expect(200);
    bob.post(&format!("{path}/members"), json!({ "member_ids": [dan.id, cid.id] })).await.expect(200);
    bob.post(&format!("{path}/members"), json!({ "member_ids": [dan.id] })).await.expect(200);
    ann.send(&chat, "hello").await;
    ann.put(&path, json!({ "name": "news", "description": "all of it" })).await.expect(200);
    ann.put(&path, json!({ "name": "news", "description": null })).await.expect(200);
    ann.put(&path, json!({ "name": "news" })).await.expect(200);
    for act in ["archive", "archive", "unarchive", "unarchive"] {
        ann.act(&format!("{path}/{act}")).await.expect(200);
    }
    ann.delete(&format!("{path}/members/{}", dan.id)).await.expect(204);
    cid.delete(&format!("{path}/members/me")).await.expect(204);

    let note = |who: &str, what: Value| (who.to_owned(), what);
    let expected = [
        note("cid", json!({ "type": "member_joined" })),
        note("bob", json!({ "type": "members_added", "user_ids": [dan.id] })),
        note("ann", json!({ "type": "name_changed", "name": "news" })),
        note("ann", json!({ "type": "description_changed", "description": "all of it" })),
        note("ann", json!({ "type": "description_changed", "description": null })),
        note("ann", json!({ "type": "archived" })),
        note("ann", json!({ "type": "unarchived" })),
        note("ann", json!({ "type": "member_removed", "user_id": dan.id })),
        note("cid", json!({ "type": "member_left" })),
    ];
    assert_eq!(notes(&bob, &chat).await, expected);

    // The stream says the same, each note after the change it tells of.
    let mut told = Vec::new();
    let mut changes = 0;
    for event in stream.during(QUIET).await {
        match event.event.as_str() {
            "message" if event.data["kind"] == "System" => {
                let id = event.data["message_id"].as_str().expect("an id");
                let shown = bob.get(&format!("{path}/messages/{id}")).await.expect(200);
                assert_eq!(event.data["system"], shown["system"]);
                told.push((
                    event.data["sender"]["name"].as_str().expect("a name").to_owned(),
                    shown["system"].clone(),
                ));
                assert!(changes >= told.len(), "the change comes first: {event:?}");
            }
            "chat_update" => changes += 1,
            _ => {}
        }
    }
    assert_eq!((told.as_slice(), changes), (&expected[..], expected.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_neither_unread_nor_the_last_message_nor_anybodys_to_change() {
    let Room { ann, bob, cid, chat, .. } = Room::of_two("PublicChannel").await;
    ann.send(&chat, "hello").await;
    let path = format!("/api/chats/{chat}");
    bob.put(&format!("{path}/read"), json!({ "seq": 1 })).await.expect(200);
    cid.act(&format!("{path}/join")).await.expect(200);
    ann.put(&path, json!({ "name": "news" })).await.expect(200);
    for person in [&ann, &bob, &cid] {
        let entry = person.chat_in_list(&chat).await;
        assert_eq!((&entry["unread_count"], &entry["last_seq"]), (&json!(0), &json!(3)), "{entry}");
        assert_eq!(entry["last_message"]["content"], "hello");
    }
    assert_eq!(bob.chat_in_list(&chat).await["last_read_seq"], 1, "nobody read or wrote anything");
    let page = cid.get(&format!("{path}/messages?limit=2")).await.expect(200);
    for note in page["messages"].as_array().expect("messages") {
        assert_eq!(note["kind"], "System");
        let path = format!("{path}/messages/{}", id_of(note));
        for person in [&ann, &cid] {
            person.patch(&path, json!({ "content": "x" })).await.refuses(403, "forbidden");
            person.delete(&path).await.refuses(403, "forbidden");
        }
        assert_eq!(cid.get(&path).await.expect(200), *note);
        assert_eq!(cid.get(&format!("{path}/edits")).await.expect(200)["edits"], json!([]));
    }
    // What is refused is not noted.
    bob.put(&path, json!({ "name": "mine" })).await.expect(403);
    ann.delete(&format!("{path}/members/me")).await.refuses(409, "last_owner");
    assert_eq!(notes(&ann, &chat).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_is_not_told_of_the_note() {
    let Room { ann, bob, cid, workspace, .. } = Room::of_two("Group").await;
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[&bob, &cid]).await;
    let (mut bobs, mut cids) = (bob.stream(None).await, cid.stream(None).await);
    bob.delete(&format!("/api/chats/{chat}/members/me")).await.expect(204);
    ann.delete(&format!("/api/chats/{chat}/members/{}", cid.id)).await.expect(204);
    bobs.expect_update("member_removed").await;
    assert_eq!(bobs.during(QUIET).await, []);
    cids.expect_update("member_removed").await;
    cids.expect_note("member_left").await;
    cids.expect_update("member_removed").await;
    assert_eq!(cids.during(QUIET).await, []);
    // The last one out leaves nobody to tell.
    ann.delete(&format!("/api/chats/{chat}/members/me")).await.expect(204);
    ann.get(&format!("/api/chats/{chat}")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_races_with_sending_and_renaming() {
    let Room { ann, bob, cid, workspace, .. } = Room::of_two("Group").await;
    for _ in 0..50 {
        let chat = ann.make_chat(&workspace, "PublicChannel", &[&bob]).await;
        let path = format!("/api/chats/{chat}");
        let (messages, join) = (format!("{path}/messages"), format!("{path}/join"));
        let (sent, joined, renamed) = tokio::join!(
            bob.post(&messages, json!({ "content": "hello" })),
            cid.act(&join),
            ann.put(&path, json!({ "name": "news" })),
        );
        let seq = sent.expect(201)["seq"].as_i64().expect("a seq");
        joined.expect(200);
        renamed.expect(200);
        assert_eq!(notes(&ann, &chat).await.len(), 2);
        // Whether cid was there in time tells the order, and unread agrees with it.
        let page = ann.get(&messages).await.expect(200);
        let note = page["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|m| m["system"]["type"] == "member_joined");
        let joined_at = note.and_then(|note| note["seq"].as_i64()).expect("a seq");
        let unread = cid.chat_in_list(&chat).await["unread_count"].as_i64();
        assert_eq!(unread, Some(i64::from(joined_at < seq)), "{page}");
    }
}
