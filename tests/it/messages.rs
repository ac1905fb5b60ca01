//! Sending, history, reading.

use fechatter_tests::{Actor, Site};
use serde_json::{Value, json};

async fn pair() -> (Site, Actor, Actor, String) {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    (site, ann, bob, chat)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_whole_and_kept_byte_for_byte() {
    let (_site, ann, bob, chat) = pair().await;
    let content = "  e\u{301} 👩‍👩‍👧 \u{202e}rtl\u{202c} \\u0000 \u{7}\r\n\t日本  ";
    let sent = ann.send(&chat, content).await;
    assert_eq!(sent["content"], content);
    assert_eq!((&sent["seq"], &sent["kind"], &sent["version"]), (&json!(1), &json!("User"), &json!(1)));
    assert_eq!(sent["sender"]["name"], "ann");
    let id = sent["id"].as_str().expect("an id");
    assert_eq!(bob.get(&format!("/api/chats/{chat}/messages/{id}")).await.expect(200), sent);
    let page = bob.get(&format!("/api/chats/{chat}/messages")).await;
    assert!(!page.event_id().is_empty());
    assert_eq!(page.expect(200), json!({ "messages": [sent], "has_more": false }));

    let reply =
        bob.post(&format!("/api/chats/{chat}/messages"), json!({ "content": "yes", "reply_to": id })).await;
    assert_eq!(reply.expect(201)["reply_to"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_sends_once() {
    let (_site, ann, bob, chat) = pair().await;
    let path = format!("/api/chats/{chat}/messages");
    let body = json!({ "content": "once", "client_id": "key-1" });
    let first = ann.post(&path, body.clone()).await.expect(201);
    assert_eq!(ann.post(&path, body.clone()).await.expect(200), first);
    ann.post(&path, json!({ "content": "twice", "client_id": "key-1" }))
        .await
        .refuses(409, "client_id_reused");
    // Another sender's key is another key.
    bob.post(&path, body.clone()).await.expect(201);

    let many = (0..8).map(|_| ann.post(&path, json!({ "content": "race", "client_id": "key-2" })));
    let answers = futures::future::join_all(many).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| answer.body["id"] == answers[0].body["id"]));
    let page = ann.get(&path).await.expect(200);
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idempotency_key_header_stands_for_the_client_id() {
    let (site, ann, _bob, chat) = pair().await;
    let send = async |key: &str, body: Value| {
        let response = site
            .client
            .post(site.url(&format!("/api/chats/{chat}/messages")))
            .bearer_auth(&ann.token)
            .header("idempotency-key", key)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        fechatter_tests::Answer::read("POST a message".into(), response).await
    };
    let first = send("k", json!({ "content": "hello" })).await.expect(201);
    assert_eq!(first["client_id"], "k");
    assert_eq!(send("k", json!({ "content": "hello" })).await.expect(200), first);
    assert_eq!(send("k", json!({ "content": "hello", "client_id": "k" })).await.expect(200), first);
    send("k", json!({ "content": "hello", "client_id": "other" })).await.blames("client_id");
    send(&"k".repeat(65), json!({ "content": "hello" })).await.blames("Idempotency-Key");
}

#[tokio::test(flavor = "multi_thread")]
async fn seq_has_no_gaps_under_concurrent_senders() {
    let (_site, ann, bob, chat) = pair().await;
    let path = format!("/api/chats/{chat}/messages");
    let sends = (0..60).map(|i| {
        let sender = if i % 2 == 0 { &ann } else { &bob };
        sender.post(&path, json!({ "content": format!("{i}") }))
    });
    for answer in futures::future::join_all(sends).await {
        answer.expect(201);
    }
    let page = ann.get(&format!("{path}?limit=100")).await.expect(200);
    let seqs: Vec<_> =
        page["messages"].as_array().into_iter().flatten().filter_map(|m| m["seq"].as_i64()).collect();
    assert_eq!(seqs, (1..=60).rev().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_walked_in_both_directions() {
    let (_site, ann, _bob, chat) = pair().await;
    let mut ids = Vec::new();
    for i in 1..=7 {
        ids.push(ann.send(&chat, &format!("{i}")).await["id"].as_str().expect("an id").to_owned());
    }
    let list = async |query: String| {
        let page = ann.get(&format!("/api/chats/{chat}/messages?{query}")).await.expect(200);
        let seqs: Vec<_> =
            page["messages"].as_array().into_iter().flatten().filter_map(|m| m["seq"].as_i64()).collect();
        (seqs, page["has_more"].as_bool().expect("has_more"), page["has_newer"].as_bool())
    };
    assert_eq!(list("limit=3".into()).await, (vec![7, 6, 5], true, None));
    assert_eq!(list(format!("limit=3&before={}", ids[4])).await, (vec![4, 3, 2], true, None));
    assert_eq!(list(format!("limit=4&before={}", ids[4])).await, (vec![4, 3, 2, 1], false, None));
    assert_eq!(list(format!("limit=3&after={}", ids[1])).await, (vec![3, 4, 5], true, None));
    assert_eq!(list(format!("limit=5&after={}", ids[1])).await, (vec![3, 4, 5, 6, 7], false, None));
    assert_eq!(list(format!("after={}", ids[6])).await, (vec![], false, None));
    assert_eq!(list(format!("limit=3&around={}", ids[3])).await, (vec![5, 4, 3], true, Some(true)));
    assert_eq!(list(format!("around={}", ids[3])).await, (vec![7, 6, 5, 4, 3, 2, 1], false, Some(false)));
    assert_eq!(list(format!("limit=1&around={}", ids[6])).await, (vec![7], true, Some(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_what_others_wrote_after_the_cursor() {
    let (_site, ann, bob, chat) = pair().await;
    let unread =
        async |person: &Actor| person.chat_in_list(&chat).await["unread_count"].as_i64().expect("a count");
    let first = ann.send(&chat, "1").await;
    ann.send(&chat, "2").await;
    assert_eq!((unread(&ann).await, unread(&bob).await), (0, 2));
    let path = format!("/api/chats/{chat}/read");
    let read = bob.put(&path, json!({ "message_id": first["id"] })).await.expect(200);
    assert_eq!(read, json!({ "chat_id": chat, "last_read_seq": 1, "unread_count": 1, "mention_count": 0 }));
    assert_eq!(unread(&bob).await, 1);
    // It never moves back, and not past the end.
    bob.put(&path, json!({ "seq": 1000 })).await.expect(200);
    assert_eq!(bob.put(&path, json!({ "seq": 0 })).await.expect(200)["last_read_seq"], 2);
    assert_eq!(unread(&bob).await, 0);
    // Sending moves the sender's own cursor.
    ann.send(&chat, "3").await;
    bob.send(&chat, "4").await;
    assert_eq!((unread(&ann).await, unread(&bob).await), (1, 0));
    assert_eq!(bob.chat_in_list(&chat).await["last_read_seq"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_is_exact_to_999() {
    let (site, ann, bob, chat) = pair().await;
    let fill = async |from: i64, to: i64| {
        // Written past the servers: the count is derived, so it is right all the same.
        sqlx::query(
            "with c as (update chats set last_seq = $4 where id = $1::uuid)
             insert into messages (id, chat_id, seq, sender_id, content)
             select gen_random_uuid(), $1::uuid, n, $2::uuid, 'x' from generate_series($3, $4) n",
        )
        .bind(&chat)
        .bind(&ann.id)
        .bind(from)
        .bind(to)
        .execute(&site.pool)
        .await
        .expect("messages");
    };
    fill(1, 999).await;
    assert_eq!(bob.chat_in_list(&chat).await["unread_count"], 999);
    fill(1000, 1200).await;
    assert_eq!(bob.chat_in_list(&chat).await["unread_count"], 1000, "which stands for more");
}
