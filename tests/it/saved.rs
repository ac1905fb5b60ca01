//! Messages that people save for themselves.

use std::time::Duration;

use fechatter_tests::{Actor, Answer, Room, actor::id_of};
use reqwest::Method;
use serde_json::{Value, json};

const QUIET: Duration = Duration::from_millis(300);

fn message_path(chat: &str, message: &Value) -> String {
    format!("/api/chats/{chat}/messages/{}", id_of(message))
}

async fn save(person: &Actor, message: &str) -> Answer {
    person.request(Method::PUT, &format!("{message}/saved"), None).await
}

async fn unsave(person: &Actor, message: &str) -> Answer {
    person.delete(&format!("{message}/saved")).await
}

/// What the saved messages say.
async fn saved(person: &Actor) -> Vec<Value> {
    let list = person.get("/api/saved").await.expect(200);
    let saved = list["saved"].as_array().expect("a list").iter();
    saved.map(|saved| saved["message"]["content"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_saves_is_ones_own() {
    let Room { ann, bob, workspace, chat, .. } = Room::of_two("Group").await;
    let other = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let first = ann.send(&chat, "first").await;
    let one = message_path(&chat, &first);
    let two = message_path(&other, &ann.send(&other, "second").await);
    let (mut bobs, mut anns) = (bob.stream(None).await, ann.stream(None).await);
    let mut bobs_other_device = bob.stream(None).await;
    let before = ann.get(&one).await.body;

    let answer = save(&bob, &one).await.expect(200);
    assert_eq!(answer["message"], first);
    assert_eq!(save(&bob, &one).await.expect(200), answer, "it stays in its place");
    save(&bob, &two).await.expect(200);
    assert_eq!(saved(&bob).await, ["second", "first"]);
    for stream in [&mut bobs, &mut bobs_other_device] {
        let told = stream.expect("saved").await.data;
        let expected = json!({
            "chat_id": chat, "message_id": first["id"], "type": "added", "id": answer["id"],
            "saved_at": answer["saved_at"],
        });
        assert_eq!(told, expected);
        assert_eq!(stream.expect("saved").await.data["chat_id"], json!(other));
    }
    unsave(&bob, &one).await.expect(204);
    unsave(&bob, &one).await.expect(204);
    let told = bobs.expect("saved").await.data;
    assert_eq!((&told["type"], &told["message_id"]), (&json!("removed"), &first["id"]));
    assert_eq!(bobs.during(QUIET).await, []);
    assert_eq!(saved(&bob).await, ["second"]);

    // Nobody else can learn of it, the author included.
    assert_eq!(saved(&ann).await, [""; 0]);
    assert_eq!(ann.get(&one).await.body, before);
    assert_eq!(anns.during(QUIET).await, []);
    unsave(&ann, &two).await.expect(204);
    assert_eq!(saved(&bob).await, ["second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_paged_newest_first() {
    let Room { ann, bob, chat, .. } = Room::of_two("Group").await;
    for number in 0..5 {
        let message = message_path(&chat, &ann.send(&chat, &number.to_string()).await);
        ann.request(Method::PUT, &format!("{message}/reactions/👍"), None).await.expect(200);
        save(&ann, &message).await.expect(200);
        save(&bob, &message).await.expect(200);
    }
    let (mut walked, mut before) = (Vec::new(), String::new());
    loop {
        let answer = ann.get(&format!("/api/saved?limit=2{before}")).await;
        assert!(!answer.event_id().is_empty());
        let page = answer.expect(200);
        for saved in page["saved"].as_array().expect("a list") {
            assert_eq!(saved["message"]["reactions"], json!([{ "emoji": "👍", "count": 1, "me": true }]));
            walked.push(saved["message"]["content"].clone());
            before = format!("&before={}", id_of(saved));
        }
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(walked, ["4", "3", "2", "1", "0"]);
    for limit in ["0", "101", "x"] {
        ann.get(&format!("/api/saved?limit={limit}")).await.blames("limit");
    }
    ann.get("/api/saved?before=x").await.blames("before");
    ann.get("/api/saved?colour=red").await.blames("colour");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_read_is_hidden_until_one_may() {
    let Room { site, ann, bob, cid, workspace, chat } = Room::of_two("PrivateChannel").await;
    let public = ann.make_chat(&workspace, "PublicChannel", &[]).await;
    let doomed = ann.make_chat(&workspace, "Group", &[&bob]).await;
    for place in [&chat, &public, &doomed] {
        let message = message_path(place, &ann.send(place, place).await);
        // A public channel is read without being in it.
        save(&bob, &message).await.expect(200);
        let answer = save(&cid, &message).await;
        assert_eq!(answer.status, if *place == public { 200 } else { 404 }, "{answer:?}");
    }
    let outsider = site.sign_up("outsider").await;
    save(&outsider, &message_path(&public, &ann.send(&public, "x").await)).await.refuses(404, "not_found");
    assert_eq!(saved(&bob).await, [doomed.clone(), public.clone(), chat.clone()]);
    ann.delete(&format!("/api/chats/{doomed}")).await.expect(204);
    assert_eq!(saved(&bob).await, [public.clone(), chat.clone()]);
    let members = format!("/api/chats/{chat}/members");
    ann.delete(&format!("{members}/{}", bob.id)).await.expect(204);
    assert_eq!(saved(&bob).await, std::slice::from_ref(&public));
    ann.post(&members, json!({ "member_ids": [bob.id] })).await.expect(200);
    assert_eq!(saved(&bob).await, [public.clone(), chat.clone()]);
    ann.delete(&format!("/api/workspaces/{workspace}/members/{}", bob.id)).await.expect(204);
    assert_eq!(saved(&bob).await, [""; 0]);
    ann.welcome(&workspace, &bob).await;
    assert_eq!(saved(&bob).await, [public]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_stays_saved_without_its_content() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let path = format!("/api/chats/{chat}");
    let message = message_path(&chat, &ann.send(&chat, "hello").await);
    save(&bob, &message).await.expect(200);
    ann.delete(&message).await.expect(204);
    assert_eq!(saved(&bob).await, [Value::Null]);
    save(&bob, &message).await.expect(200);
    save(&ann, &message).await.refuses(409, "message_deleted");
    unsave(&bob, &message).await.expect(204);
    assert_eq!(saved(&bob).await, [""; 0]);

    // Saving writes nothing into the chat, so an archive is no hindrance.
    let message = message_path(&chat, &ann.send(&chat, "again").await);
    ann.act(&format!("{path}/archive")).await.expect(200);
    save(&bob, &message).await.expect(200);
    let nowhere = format!("{path}/messages/{}", uuid::Uuid::now_v7());
    save(&bob, &nowhere).await.refuses(404, "not_found");
    unsave(&bob, &nowhere).await.refuses(404, "not_found");

    // What one saved goes with one's account.
    let body = json!({ "password": "a long enough phrase" });
    bob.request(Method::DELETE, "/api/users/me", Some(body)).await.expect(204);
    let left: i64 =
        sqlx::query_scalar("select count(*) from saved_messages").fetch_one(&site.pool).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_are_enough() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let last = [ann.send(&chat, "one").await, ann.send(&chat, "two").await];
    let last = last.map(|message| message_path(&chat, &message));
    let id = |text: &str| text.parse::<uuid::Uuid>().expect("an id");
    let mut tx = site.pool.begin().await.expect("a transaction");
    sqlx::query(
        "insert into messages (id, chat_id, seq, sender_id, content)
         select gen_random_uuid(), $1, 100 + n, $2, n::text from generate_series(1, 9999) n",
    )
    .bind(id(&chat))
    .bind(id(&ann.id))
    .execute(&mut *tx)
    .await
    .expect("messages");
    sqlx::query(
        "insert into saved_messages (id, user_id, chat_id, message_id)
         select gen_random_uuid(), $2, $1, m.id from messages m where m.chat_id = $1 and m.seq > 100",
    )
    .bind(id(&chat))
    .bind(id(&bob.id))
    .execute(&mut *tx)
    .await
    .expect("saved ones");
    tx.commit().await.expect("a commit");
    let (one, two) = tokio::join!(save(&bob, &last[0]), save(&bob, &last[1]));
    let (saved, refused) = if one.status == 200 { (one, two) } else { (two, one) };
    saved.expect(200);
    refused.refuses(409, "too_many_saved");
    for message in &last {
        unsave(&bob, message).await.expect(204);
        save(&ann, message).await.expect(200);
    }
    save(&bob, &last[1]).await.expect(200);
    assert_eq!(bob.get("/api/saved?limit=100").await.expect(200)["has_more"], true);
}
