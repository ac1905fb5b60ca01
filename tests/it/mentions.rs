//! Mentions: whom a message names, how it counts, who is told, and who is not.

mod access;
mod edits;

use std::time::Duration;

use fechatter_tests::{Actor, Answer, Room, actor::id_of};
use futures::future::join_all;
use serde_json::{Value, json};

const QUIET: Duration = Duration::from_millis(300);

fn messages(chat: &str) -> String {
    format!("/api/chats/{chat}/messages")
}

fn path(chat: &str, message: &Value) -> String {
    format!("{}/{}", messages(chat), id_of(message))
}

async fn try_send(person: &Actor, chat: &str, content: &str) -> Answer {
    person.post(&messages(chat), json!({ "content": content })).await
}

async fn edit(author: &Actor, chat: &str, message: &Value, content: &str) -> Value {
    author.patch(&path(chat, message), json!({ "content": content })).await.expect(200)
}

/// How many are unread, and how many of them mention the person: the same in the list and in the chat's own view.
async fn counts(person: &Actor, chat: &str) -> (i64, i64) {
    let (listed, view) =
        (person.chat_in_list(chat).await, person.get(&format!("/api/chats/{chat}")).await.expect(200));
    assert_eq!(listed, view);
    let count = |field: &str| view[field].as_i64().expect("a count");
    (count("unread_count"), count("mention_count"))
}

/// The contents of a person's mentions, newest first.
async fn mentions(person: &Actor) -> Vec<String> {
    let page = person.get("/api/mentions").await.expect(200);
    contents(&page)
}

fn contents(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().expect("messages").iter();
    messages.map(|message| message["content"].as_str().expect("a content").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_mentions_members_and_means_them_for_good() {
    let Room { ann, bob, cid, chat, .. } = Room::of_two("Group").await;
    let mut stream = bob.stream(None).await;
    let sent = ann.send(&chat, "@cid @Bob, @nobody and @bob. `@bob` me@ann.de @ann").await;
    assert_eq!(sent["mentions"], json!([bob.id, ann.id]), "in the order of the text, and members only");
    assert_eq!(sent["mentions_all"], false);
    let mut told = stream.expect("message").await.data;
    told.as_object_mut().expect("an object").remove("message_id");
    assert_eq!(told, sent);
    assert_eq!(ann.get(&path(&chat, &sent)).await.expect(200), sent);
    assert_eq!(counts(&bob, &chat).await, (1, 1));
    assert_eq!(counts(&ann, &chat).await, (0, 0), "nobody mentions themselves");
    assert_eq!((mentions(&ann).await.len(), mentions(&bob).await.len()), (0, 1));

    // Another name: what was said stays said, and means who was meant.
    bob.patch("/api/users/me", json!({ "username": "robert" })).await.expect(200);
    cid.patch("/api/users/me", json!({ "username": "bob" })).await.expect(200);
    ann.post(&format!("/api/chats/{chat}/members"), json!({ "member_ids": [cid.id] })).await.expect(200);
    assert_eq!(ann.get(&path(&chat, &sent)).await.expect(200)["mentions"], json!([bob.id, ann.id]));
    let corrected = edit(&ann, &chat, &sent, "@cid @Bob, @nobody and @bob. @ann!").await;
    assert_eq!(corrected["mentions"], json!([bob.id, ann.id]), "no other handle, nobody else");
    assert_eq!(ann.send(&chat, "@bob").await["mentions"], json!([cid.id]));
    assert_eq!(ann.send(&chat, "@robert @cid").await["mentions"], json!([bob.id]));
    assert_eq!(counts(&bob, &chat).await.1, 2);
    assert_eq!(counts(&cid, &chat).await.1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn punctuation_belongs_to_a_handle_that_has_it() {
    let Room { site, ann, bob, cid, workspace, .. } = Room::of_two("Group").await;
    let dee = site.sign_up("dee").await;
    ann.welcome(&workspace, &dee).await;
    cid.patch("/api/users/me", json!({ "username": "bob." })).await.expect(200);
    dee.patch("/api/users/me", json!({ "username": "bob.-" })).await.expect(200);
    let chat = ann.make_chat(&workspace, "Group", &[&bob, &cid, &dee]).await;
    for (content, meant) in [
        ("@bob", vec![&bob]),
        ("@bob!", vec![&bob]),
        ("@bob.", vec![&cid]),
        ("@bob..", vec![&cid]),
        ("@bob.-", vec![&dee]),
        ("@bob.-.", vec![&dee]),
        ("@bob-", vec![&bob]),
        ("_@bob_", vec![&bob]),
        ("@bob. @bob @bob.- @bob", vec![&cid, &bob, &dee]),
        ("@bobb. @bo", vec![]),
    ] {
        let ids: Vec<_> = meant.iter().map(|person| &person.id).collect();
        assert_eq!(ann.send(&chat, content).await["mentions"], json!(ids), "{content}");
    }
    // Where nobody has that name, it ends a sentence.
    let elsewhere = ann.make_chat(&workspace, "Group", &[&bob]).await;
    assert_eq!(ann.send(&elsewhere, "thanks, @bob.-").await["mentions"], json!([bob.id]));
    for name in ["all", "ALL"] {
        bob.patch("/api/users/me", json!({ "username": name })).await.blames("username");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mentions_are_counted_like_what_is_unread() {
    let Room { ann, bob, cid, chat, workspace, .. } = Room::of_three("Group").await;
    let first = ann.send(&chat, "@bob one").await;
    ann.send(&chat, "two").await;
    let third = cid.send(&chat, "@all three, and @bob").await;
    assert_eq!(counts(&bob, &chat).await, (3, 2), "who is meant twice is mentioned once");
    assert_eq!(counts(&ann, &chat).await, (1, 1));
    assert_eq!(counts(&cid, &chat).await, (0, 0), "one's own");
    let mut stream = bob.stream(None).await;
    let read = format!("/api/chats/{chat}/read");
    let state = bob.put(&read, json!({ "message_id": first["id"] })).await.expect(200);
    assert_eq!(state, json!({ "chat_id": chat, "last_read_seq": 1, "unread_count": 2, "mention_count": 1 }));
    assert_eq!(stream.expect("read").await.data, state);
    assert_eq!(counts(&bob, &chat).await, (2, 1));
    let unread = json!({ "message_id": first["id"] });
    let state = bob.put(&format!("/api/chats/{chat}/unread"), unread).await.expect(200);
    assert_eq!((&state["unread_count"], &state["mention_count"]), (&json!(3), &json!(2)));

    // A deletion takes them out of everything.
    for message in [&first, &third] {
        ann.delete(&path(&chat, message)).await.expect(204);
    }
    assert_eq!(counts(&bob, &chat).await, (1, 0));
    assert_eq!(counts(&ann, &chat).await, (0, 0));
    assert_eq!((mentions(&bob).await.len(), mentions(&ann).await.len()), (0, 0));
    let gone = ann.get(&path(&chat, &third)).await.expect(200);
    assert_eq!((&gone["mentions"], &gone["mentions_all"]), (&json!([]), &json!(false)));

    // A reply in a thread alone is listed, and counts for nothing.
    let root = ann.send(&chat, "root").await;
    let reply = json!({ "content": "@bob, between us", "thread_root": root["id"] });
    let before = counts(&bob, &chat).await;
    ann.post(&messages(&chat), reply).await.expect(201);
    assert_eq!(counts(&bob, &chat).await, before);
    let reply = json!({ "content": "@bob, openly", "thread_root": root["id"], "also_in_chat": true });
    ann.post(&messages(&chat), reply).await.expect(201);
    assert_eq!(counts(&bob, &chat).await, (before.0 + 1, before.1 + 1));
    assert_eq!(mentions(&bob).await, ["@bob, openly", "@bob, between us"]);

    // Of a single chat as well, where everybody is one person.
    let single = ann.make_chat(&workspace, "Single", &[&bob]).await;
    ann.send(&single, "@all").await;
    assert_eq!(counts(&bob, &single).await, (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_called_by_anybody_in_small_chats_and_by_admins_in_others() {
    let Room { site, ann, bob, cid, chat, workspace } = Room::of_three("PublicChannel").await;
    let names: Vec<_> = (0..12).map(|number| format!("person{number:02}")).collect();
    let others = join_all(names.iter().map(|name| site.sign_up(name))).await;
    for person in &others {
        ann.welcome(&workspace, person).await;
        person.act(&format!("/api/chats/{chat}/join")).await.expect(200);
    }
    let sent = try_send(&bob, &chat, "fifteen: @all").await.expect(201);
    assert_eq!((&sent["mentions"], &sent["mentions_all"]), (&json!([]), &json!(true)));
    assert_eq!(counts(&others[11], &chat).await.1, 1);
    let plain = bob.send(&chat, "plain").await;

    let last = site.sign_up("last").await;
    ann.welcome(&workspace, &last).await;
    last.act(&format!("/api/chats/{chat}/join")).await.expect(200);
    let before = counts(&last, &chat).await;
    try_send(&bob, &chat, "sixteen: @all").await.refuses(403, "mention_all_forbidden");
    let to_all = json!({ "content": "now @all" });
    bob.patch(&path(&chat, &plain), to_all.clone()).await.refuses(403, "mention_all_forbidden");
    assert_eq!(edit(&bob, &chat, &sent, "fifteen then: @all").await["mentions_all"], true, "it did before");
    assert_eq!(
        counts(&last, &chat).await,
        before,
        "nothing was sent, and earlier calls are not for who came later"
    );
    for content in ["`@all`", "@all-hands", r"\@all", "x@all"] {
        try_send(&bob, &chat, content).await.expect(201);
    }
    // The chat's owner, an admin of it, and in a public channel an admin of the workspace.
    try_send(&ann, &chat, "@all").await.expect(201);
    let bobs = format!("/api/chats/{chat}/members/{}", bob.id);
    ann.patch(&bobs, json!({ "role": "Admin" })).await.expect(200);
    bob.patch(&path(&chat, &plain), to_all).await.expect(200);
    let cids = format!("/api/workspaces/{workspace}/members/{}", cid.id);
    ann.patch(&cids, json!({ "role": "Admin" })).await.expect(200);
    try_send(&cid, &chat, "@all").await.expect(201);
    let everyone: Vec<_> = others.iter().chain([&bob, &cid, &last]).collect();
    let group = ann.make_chat(&workspace, "Group", &everyone).await;
    try_send(&cid, &group, "@all").await.refuses(403, "mention_all_forbidden");

    // One that is refused stands in nobody's way.
    let sends = (0..40).map(|number| {
        let (person, group) = (if number % 2 == 0 { &cid } else { &others[0] }, &group);
        let content = if number % 4 < 2 { format!("@all {number}") } else { format!("@bob {number}") };
        async move { (content.clone(), try_send(person, group, &content).await) }
    });
    for (content, answer) in join_all(sends).await {
        answer.expect(if content.starts_with("@all") { 403 } else { 201 });
    }
    assert_eq!(counts(&bob, &group).await, (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn mentions_are_exact_to_999() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let fill = async |from: i64, to: i64| {
        // Written past the servers, some to everybody, some by name, and some both ways.
        sqlx::query(
            "with c as (update chats set last_seq = $5 where id = $1::uuid)
             insert into messages (id, chat_id, seq, sender_id, content, mentions, mentions_all)
             select gen_random_uuid(), $1::uuid, n, $2::uuid, 'x', case when n % 3 > 0 then array[$3::uuid] end, n % 3 < 2
             from generate_series($4, $5) n",
        )
        .bind(&chat)
        .bind(&ann.id)
        .bind(&bob.id)
        .bind(from)
        .bind(to)
        .execute(&site.pool)
        .await
        .expect("messages");
    };
    fill(1, 999).await;
    assert_eq!(counts(&bob, &chat).await, (999, 999));
    fill(1000, 1200).await;
    assert_eq!(counts(&bob, &chat).await, (1000, 1000), "which stands for more");
    let state = bob.put(&format!("/api/chats/{chat}/read"), json!({ "seq": 1190 })).await.expect(200);
    assert_eq!((&state["unread_count"], &state["mention_count"]), (&json!(10), &json!(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_handles_are_answered() {
    let Room { ann, bob, chat, .. } = Room::of_two("Group").await;
    let many: Vec<_> = (0..1_400).map(|number| format!("@n{number:04}")).collect();
    let many = many.join(" ");
    for (content, meant) in [
        ("@".repeat(10_000), json!([])),
        ("@bob ".repeat(2_000), json!([bob.id])),
        (format!("@bob {many}"), json!([bob.id])),
        (format!("{many} @bob"), json!([])),
        ("@.".repeat(5_000), json!([])),
        ("`".repeat(10_000), json!([])),
        (format!("@bob{}", "-".repeat(9_996)), json!([bob.id])),
    ] {
        assert_eq!(ann.send(&chat, &content).await["mentions"], meant);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_mentions_has_pages_and_a_position() {
    let Room { ann, bob, chat, workspace, .. } = Room::of_two("Group").await;
    let single = ann.make_chat(&workspace, "Single", &[&bob]).await;
    assert_eq!(
        bob.get("/api/mentions").await.expect(200),
        json!({ "messages": [], "chats": [], "has_more": false })
    );
    let mut sent = Vec::new();
    for number in 0..11 {
        let chat = if number % 3 == 0 { &single } else { &chat };
        ann.send(chat, "not this one").await;
        let name = if number % 2 == 0 { "@all" } else { "@bob" };
        sent.push(ann.send(chat, &format!("{name} {number}")).await);
    }
    let answer = bob.get("/api/mentions").await;
    let position = answer.event_id();
    let whole = answer.expect(200);
    sent.reverse();
    assert_eq!(whole["messages"], json!(sent), "as REST shows them");
    let mut chats: Vec<_> = whole["chats"].as_array().expect("chats").clone();
    let mut views = vec![bob.chat_in_list(&chat).await, bob.chat_in_list(&single).await];
    chats.sort_by_key(id_of);
    views.sort_by_key(id_of);
    assert_eq!(chats, views);
    let mut stream = bob.stream(Some(&position)).await;
    ann.send(&chat, "after").await;
    stream.expect_message("after").await;

    for limit in [1, 2, 3, 5, 10, 11, 12] {
        let (mut walked, mut before) = (Vec::new(), String::new());
        loop {
            let page = bob.get(&format!("/api/mentions?limit={limit}{before}")).await.expect(200);
            let messages = page["messages"].as_array().expect("messages");
            walked.extend(messages.iter().cloned());
            if page["has_more"] == false {
                break;
            }
            assert_eq!(messages.len(), limit);
            before = format!("&before={}", id_of(&messages[limit - 1]));
        }
        assert_eq!(walked, sent, "limit {limit}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("before=x", "before"),
        ("after=x", "after"),
        ("limit=1&limit=1", "limit"),
    ] {
        bob.get(&format!("/api/mentions?{query}")).await.blames(field);
    }
}
