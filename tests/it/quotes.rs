//! A message that answers another shows what that one says now, and nothing of it once it is deleted.

use fechatter_tests::{Actor, Room, actor::id_of};
use serde_json::{Value, json};

async fn answer(person: &Actor, chat: &str, content: &str, to: &Value) -> Value {
    let body = json!({ "content": content, "reply_to": to["id"] });
    person.post(&format!("/api/chats/{chat}/messages"), body).await.expect(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_the_beginning_of_what_the_message_says_now() {
    let Room { ann, bob, chat, .. } = Room::of_two("Group").await;
    let path = format!("/api/chats/{chat}/messages");
    let mut stream = ann.stream(None).await;
    let long = "日本👍".repeat(100);
    let quoted = ann.send(&chat, &long).await;
    let sent = answer(&bob, &chat, "yes", &quoted).await;
    let begin: String = long.chars().take(200).collect();
    let expected = json!({
        "id": quoted["id"], "kind": "User", "content": begin, "system": null, "file_count": 0,
        "sender": quoted["sender"], "thread_root": null, "in_chat": true,
        "created_at": quoted["created_at"], "deleted_at": null,
    });
    assert_eq!(sent["quote"], expected);
    assert_eq!(quoted["quote"], Value::Null);
    let one = format!("{path}/{}", id_of(&sent));
    let shown = async || {
        let got = ann.get(&one).await.expect(200);
        let page = ann.get(&path).await.expect(200);
        let around = ann.get(&format!("{path}?around={}", id_of(&sent))).await.expect(200);
        assert_eq!(page["messages"][0], got);
        assert_eq!(around["messages"][0], got);
        got["quote"].clone()
    };
    assert_eq!(shown().await, expected);
    stream.expect("message").await;
    assert_eq!(stream.expect("message").await.data["quote"], expected);

    let quoted_path = format!("{path}/{}", id_of(&quoted));
    ann.patch(&quoted_path, json!({ "content": "short" })).await.expect(200);
    assert_eq!(shown().await["content"], "short");
    let edited = bob.patch(&one, json!({ "content": "no" })).await.expect(200);
    assert_eq!(edited["quote"]["content"], "short");
    ann.delete(&quoted_path).await.expect(204);
    let gone = shown().await;
    assert_eq!((&gone["content"], gone["deleted_at"].is_string()), (&Value::Null, true));
    // One may still answer what is gone.
    assert_eq!(answer(&bob, &chat, "what was it?", &quoted).await["quote"], gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_replies_and_answers_can_be_quoted_within_their_chat() {
    let Room { ann, bob, chat, workspace, .. } = Room::of_two("Group").await;
    let path = format!("/api/chats/{chat}");
    ann.put(&path, json!({ "name": "renamed" })).await.expect(200);
    let note = ann.get(&format!("{path}/messages?limit=1")).await.expect(200)["messages"][0].clone();
    let quote = answer(&bob, &chat, "why?", &note).await["quote"].clone();
    assert_eq!((&quote["kind"], &quote["content"]), (&json!("System"), &Value::Null));
    assert_eq!(quote["system"], note["system"]);

    // What stands in a thread alone can be quoted in the chat, and the other way round.
    let root = ann.send(&chat, "root").await;
    let reply = json!({ "content": "in the thread", "thread_root": root["id"], "reply_to": note["id"] });
    let reply = bob.post(&format!("{path}/messages"), reply).await.expect(201);
    assert_eq!(reply["quote"]["id"], note["id"]);
    let quote = answer(&ann, &chat, "seen", &reply).await["quote"].clone();
    assert_eq!((&quote["thread_root"], &quote["in_chat"]), (&root["id"], &json!(false)));

    let other = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let foreign = json!({ "content": "x", "reply_to": reply["id"] });
    bob.post(&format!("/api/chats/{other}/messages"), foreign).await.blames("reply_to");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_replay_shows_what_was_quoted_before_it_was_deleted() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let position = bob.get("/api/chats").await.event_id();
    let quoted = ann.send(&chat, "a secret").await;
    answer(&ann, &chat, "see above", &quoted).await;
    // The hub has both before the deletion, and again from another instance, which reads the table.
    let mut live = bob.stream(Some(&position)).await;
    live.expect_message("a secret").await;
    live.expect_message("see above").await;
    ann.delete(&format!("/api/chats/{chat}/messages/{}", id_of(&quoted))).await.expect(204);
    live.expect("message_delete").await;
    let another = site.another_notify();
    for at in [bob.clone(), bob.at(bob.rest, another.address)] {
        let mut stream = at.stream(Some(&position)).await;
        let frames = [stream.expect("message").await, stream.expect("message").await];
        assert_eq!(frames[1].data["content"], "see above");
        assert_eq!(frames[1].data["quote"]["content"], Value::Null);
        assert!(frames.iter().all(|frame| !frame.data.to_string().contains("secret")), "{frames:?}");
    }
    another.stop().await;
}
