//! What no thread is made of, and what is not asked of one.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_stands_under_what_a_person_wrote_and_has_one_level() {
    let Room { site, ann, bob, chat, workspace, .. } = Room::of_two("Group").await;
    let path = format!("/api/chats/{chat}");
    ann.put(&path, json!({ "name": "renamed" })).await.expect(200);
    let note = ann.get(&format!("{path}/messages?limit=1")).await.expect(200)["messages"][0].clone();
    let root = ann.send(&chat, "root").await;
    let inner = reply(&bob, &root, "inner").await;
    let shown = reply_in_chat(&bob, &root, "shown in the chat").await;
    let gone = ann.send(&chat, "gone").await;
    ann.delete(&message(&gone)).await.expect(204);
    let other = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let foreign = json!({ "id": ann.send(&other, "foreign").await["id"], "chat_id": chat });
    let nowhere = json!({ "id": uuid::Uuid::now_v7(), "chat_id": chat });
    for wrong in [&note, &inner, &shown, &foreign, &nowhere] {
        try_reply(&bob, wrong, "no").await.blames("thread_root");
    }
    try_reply(&bob, &gone, "no").await.refuses(409, "message_deleted");
    let body = json!({ "content": "x", "also_in_chat": true });
    bob.post(&format!("{path}/messages"), body).await.blames("also_in_chat");
    assert_eq!(seen(&ann, &root).await["reply_count"], 2, "nothing was written");

    // Nor from outside of the servers.
    for wrong in [&inner, &note] {
        let refused = sqlx::query(
            "insert into messages (id, chat_id, seq, sender_id, content, thread_root, in_chat)
             values (gen_random_uuid(), $1::uuid, 1000, $2::uuid, 'x', $3::uuid, false)",
        )
        .bind(&chat)
        .bind(&bob.id)
        .bind(text(wrong, "id"))
        .execute(&site.pool)
        .await;
        let refused = refused.expect_err("a refusal");
        assert_eq!(
            refused.as_database_error().and_then(|error| error.constraint()),
            Some("messages_thread_level")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_replies_once_and_in_one_place() {
    let Room { ann, bob, chat, .. } = Room::of_two("Group").await;
    let (root, other) = (ann.send(&chat, "root").await, ann.send(&chat, "other").await);
    let body = |root: &Value, also: bool| json!({ "content": "x", "client_id": "k", "thread_root": root["id"], "also_in_chat": also });
    let first = bob.post(&messages(&root), body(&root, false)).await.expect(201);
    assert_eq!(bob.post(&messages(&root), body(&root, false)).await.expect(200), first);
    bob.post(&messages(&root), body(&other, false)).await.refuses(409, "client_id_reused");
    bob.post(&messages(&root), body(&root, true)).await.refuses(409, "client_id_reused");
    assert_eq!(seen(&ann, &root).await["reply_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_ones_own_answers_alike() {
    let Room { ann, bob, cid, chat, .. } = Room::of_two("PrivateChannel").await;
    let root = ann.send(&chat, "root").await;
    reply(&bob, &root, "secret").await;
    let nowhere = json!({ "id": uuid::Uuid::now_v7(), "chat_id": chat });
    let doors = [("GET", ""), ("PUT", "/follow"), ("DELETE", "/follow"), ("PUT", "/read")];
    for (method, door) in doors {
        let ask = async |person: &Actor, root: &Value| {
            let body = (door == "/read").then(|| json!({ "seq": 1 }));
            person.request(method.parse().expect("a method"), &format!("{}{door}", thread(root)), body).await
        };
        ask(&ann, &nowhere).await.expect(404);
        let (hidden, absent) = (ask(&cid, &root).await.expect(404), ask(&cid, &nowhere).await.expect(404));
        assert_eq!((&hidden["code"], &hidden["detail"]), (&absent["code"], &absent["detail"]));
    }
    assert_eq!(
        cid.get("/api/threads").await.expect(200),
        json!({ "threads": [], "has_more": false, "next": null })
    );

    ann.put(&format!("/api/chats/{chat}"), json!({ "name": "renamed" })).await.expect(200);
    let note =
        ann.get(&format!("/api/chats/{chat}/messages?limit=1")).await.expect(200)["messages"][0].clone();
    assert_eq!(ann.get(&thread(&note)).await.expect(200)["messages"], json!([]));
    ann.request(reqwest::Method::PUT, &format!("{}/follow", thread(&note)), None).await.expect(403);

    for query in ["limit=0", "limit=101", "cursor=x", "cursor=%00", "cursor=", "colour=red", "workspace_id=x"]
    {
        ann.get(&format!("/api/threads?{query}")).await.expect(400);
    }
    ann.get(&format!("/api/threads?workspace_id={}", uuid::Uuid::now_v7())).await.expect(404);
    let read = format!("{}/read", thread(&root));
    for body in [
        json!({}),
        json!({ "seq": -1 }),
        json!({ "seq": 1, "message_id": root["id"] }),
        json!({ "seq": 1, "x": 1 }),
    ] {
        ann.put(&read, body).await.expect(400);
    }
}
