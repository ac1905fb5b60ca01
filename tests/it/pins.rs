//! Pinned messages.

use std::time::Duration;

use fechatter_tests::{Actor, Answer, Room, actor::id_of};
use reqwest::Method;
use serde_json::{Value, json};

const QUIET: Duration = Duration::from_millis(300);

fn message_path(chat: &str, message: &Value) -> String {
    format!("/api/chats/{chat}/messages/{}", id_of(message))
}

async fn pin(person: &Actor, message: &str) -> Answer {
    person.request(Method::PUT, &format!("{message}/pin"), None).await
}

async fn unpin(person: &Actor, message: &str) -> Answer {
    person.delete(&format!("{message}/pin")).await
}

/// The texts of the pinned messages.
async fn pinned(person: &Actor, chat: &str) -> Vec<String> {
    let answer = person.get(&format!("/api/chats/{chat}/pins")).await;
    assert!(!answer.event_id().is_empty());
    let list = answer.expect(200);
    let messages = list["messages"].as_array().expect("messages").iter();
    messages.map(|message| message["content"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_pin_and_unpin_and_the_chat_is_told() {
    let Room { site, ann, bob, cid, chat, .. } = Room::of_two("PrivateChannel").await;
    let outsider = site.sign_up("outsider").await;
    let (first, second) = (ann.send(&chat, "first").await, bob.send(&chat, "second").await);
    let (one, two) = (message_path(&chat, &first), message_path(&chat, &second));
    let mut others = vec![cid.stream(None).await, outsider.stream(None).await];
    let mut anns = ann.stream(None).await;
    let entry = ann.chat_in_list(&chat).await;

    let answer = pin(&bob, &one).await.expect(200);
    assert_eq!(answer["pinned"]["by"], bob.id);
    assert_eq!(pin(&ann, &one).await.expect(200)["pinned"], answer["pinned"], "it stays as it is");
    let told = anns.expect_update("message_pinned").await.data;
    assert_eq!(
        (&told["message_id"], &told["actor_id"], &told["pinned_at"], &told["pinned_by"]),
        (&first["id"], &json!(bob.id), &answer["pinned"]["at"], &json!(bob.id))
    );
    pin(&ann, &two).await.expect(200);
    anns.expect_update("message_pinned").await;
    assert_eq!(pinned(&bob, &chat).await, ["second", "first"]);

    unpin(&bob, &two).await.expect(204);
    unpin(&ann, &two).await.expect(204);
    let told = anns.expect_update("message_unpinned").await.data;
    assert_eq!((&told["message_id"], &told["actor_id"]), (&second["id"], &json!(bob.id)));
    assert_eq!(bob.get(&two).await.expect(200)["pinned"], Value::Null);
    assert_eq!(pinned(&bob, &chat).await, ["first"]);

    // Neither an edit nor unread, nor noted in the chat.
    assert_eq!(ann.get(&one).await.expect(200)["version"], 1);
    assert_eq!(ann.chat_in_list(&chat).await, entry);
    assert_eq!(anns.during(QUIET).await, []);
    for stream in &mut others {
        assert_eq!(stream.during(QUIET).await, []);
    }
    for person in [&cid, &outsider] {
        pin(person, &two).await.refuses(404, "not_found");
        unpin(person, &one).await.refuses(404, "not_found");
        person.get(&format!("/api/chats/{chat}/pins")).await.refuses(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pinned() {
    let Room { ann, bob, cid, workspace, chat, .. } = Room::of_two("PublicChannel").await;
    let path = format!("/api/chats/{chat}");
    let message = message_path(&chat, &ann.send(&chat, "hello").await);
    pin(&cid, &message).await.refuses(403, "forbidden");
    unpin(&cid, &message).await.refuses(403, "forbidden");
    ann.put(&path, json!({ "name": "news" })).await.expect(200);
    let page = ann.get(&format!("{path}/messages?limit=1")).await.expect(200);
    pin(&ann, &message_path(&chat, &page["messages"][0])).await.refuses(403, "forbidden");
    let nowhere = format!("{path}/messages/{}", uuid::Uuid::now_v7());
    pin(&ann, &nowhere).await.refuses(404, "not_found");
    unpin(&ann, &nowhere).await.refuses(404, "not_found");
    // A message of another chat is not one of this.
    let other = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let elsewhere = format!("{path}/messages/{}", id_of(&ann.send(&other, "elsewhere").await));
    pin(&ann, &elsewhere).await.refuses(404, "not_found");

    pin(&ann, &message).await.expect(200);
    ann.act(&format!("{path}/archive")).await.expect(200);
    unpin(&ann, &message).await.refuses(409, "archived");
    pin(&bob, &message).await.expect(200);
    ann.act(&format!("{path}/unarchive")).await.expect(200);

    // A deletion unpins, and says so.
    let mut bobs = bob.stream(None).await;
    ann.delete(&message).await.expect(204);
    bobs.expect_update("message_unpinned").await;
    assert_eq!(bobs.expect("message_delete").await.data["pinned"], Value::Null);
    assert_eq!(pinned(&bob, &chat).await, [""; 0]);
    pin(&ann, &message).await.refuses(409, "message_deleted");
    unpin(&ann, &message).await.expect(204);
    ann.delete(&path).await.expect(204);
    pin(&ann, &message).await.refuses(404, "not_found");
    ann.get(&format!("{path}/pins")).await.refuses(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_has_a_hundred_pins_at_most() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let last = [ann.send(&chat, "one").await, ann.send(&chat, "two").await];
    let last = last.map(|message| message_path(&chat, &message));
    sqlx::query(
        "insert into messages (id, chat_id, seq, sender_id, content, pinned_at, pinned_by)
         select gen_random_uuid(), $1::uuid, 100 + n, $2::uuid, n::text, now() + n * interval '1 ms', $2::uuid
         from generate_series(1, 99) n",
    )
    .bind(chat.parse::<uuid::Uuid>().expect("an id"))
    .bind(ann.id.parse::<uuid::Uuid>().expect("an id"))
    .execute(&site.pool)
    .await
    .expect("99 pins");
    for _ in 0..10 {
        let (anns, bobs) = tokio::join!(pin(&ann, &last[0]), pin(&bob, &last[1]));
        let (pinned_one, refused) = if anns.status == 200 { (&last[0], bobs) } else { (&last[1], anns) };
        refused.refuses(409, "too_many_pins");
        assert_eq!(pinned(&ann, &chat).await.len(), 100);
        unpin(&ann, pinned_one).await.expect(204);
    }
    // Pinning while it is deleted leaves no pin.
    for _ in 0..10 {
        let message = message_path(&chat, &ann.send(&chat, "short-lived").await);
        let (put, deleted) = tokio::join!(pin(&bob, &message), ann.delete(&message));
        assert_eq!(deleted.status, 204);
        assert!(matches!(put.status, 200 | 409), "{put:?}");
        assert_eq!(pinned(&ann, &chat).await.len(), 99);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_people_of_a_single_chat_pin() {
    let Room { ann, bob, chat, .. } = Room::of_two("Single").await;
    let message = message_path(&chat, &ann.send(&chat, "hello").await);
    pin(&bob, &message).await.expect(200);
    unpin(&ann, &message).await.expect(204);
    pin(&ann, &message).await.expect(200);
    assert_eq!(pinned(&bob, &chat).await, ["hello"]);
}
