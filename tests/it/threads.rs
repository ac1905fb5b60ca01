//! Threads: replies, who follows, what is unread, and what the chat shows of it.

use std::time::Duration;

use fechatter_tests::{Actor, Answer, Room, Site, actor::id_of};
use serde_json::{Value, json};

mod races;
mod refusals;
mod streams;

/// Replies in the thread alone; answers the reply.
async fn reply(person: &Actor, root: &Value, content: &str) -> Value {
    try_reply(person, root, content).await.expect(201)
}

async fn try_reply(person: &Actor, root: &Value, content: &str) -> Answer {
    person.post(&messages(root), json!({ "content": content, "thread_root": root["id"] })).await
}

/// Replies in the thread and the chat.
async fn reply_in_chat(person: &Actor, root: &Value, content: &str) -> Value {
    let body = json!({ "content": content, "thread_root": root["id"], "also_in_chat": true });
    person.post(&messages(root), body).await.expect(201)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn messages(message: &Value) -> String {
    format!("/api/chats/{}/messages", text(message, "chat_id"))
}

fn message(message: &Value) -> String {
    format!("{}/{}", messages(message), text(message, "id"))
}

fn thread(root: &Value) -> String {
    format!("{}/thread", message(root))
}

/// What the root tells this person of the thread.
async fn seen(person: &Actor, root: &Value) -> Value {
    let one = person.get(&message(root)).await.expect(200)["thread"].clone();
    let page = person.get(&thread(root)).await.expect(200);
    assert_eq!(page["root"]["thread"], one);
    let newest = person.get(&messages(root)).await.expect(200);
    let around = person.get(&format!("{}?around={}", messages(root), text(root, "id"))).await.expect(200);
    for page in [newest, around] {
        let mut shown = page["messages"].as_array().expect("messages").iter();
        let shown = shown.find(|message| message["id"] == root["id"]).expect("the root");
        assert_eq!(shown["thread"], one);
    }
    one
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(id_of).collect()
}

async fn unread(person: &Actor, root: &Value) -> (Value, Value) {
    let seen = seen(person, root).await;
    (seen["following"].clone(), seen["unread_count"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_shows_its_replies_and_who_took_part() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let root = ann.send(&chat, "root").await;
    assert_eq!(
        (&root["thread"], &root["thread_root"], &root["in_chat"]),
        (&Value::Null, &Value::Null, &json!(true))
    );
    let first = reply(&bob, &root, "first").await;
    assert_eq!((&first["thread_root"], &first["in_chat"]), (&root["id"], &json!(false)));
    let second = reply_in_chat(&cid, &root, "second").await;
    assert_eq!(second["in_chat"], true);
    let third = reply(&bob, &root, "third").await;

    let seen_by = async |person: &Actor| seen(person, &root).await;
    let anns = seen_by(&ann).await;
    let expected = json!({
        "reply_count": 3, "last_reply_at": third["created_at"],
        "participants": [third["sender"], second["sender"]],
        "following": true, "last_read_seq": root["seq"], "unread_count": 3,
    });
    assert_eq!(anns, expected);
    assert_eq!(seen_by(&bob).await["unread_count"], 0, "one's own reply moves the cursor");
    assert_eq!(seen_by(&cid).await["unread_count"], 1);

    // Any of its messages leads to the thread.
    for one in [&root, &second] {
        let page = ann.get(&thread(one)).await;
        assert!(!page.event_id().is_empty());
        let page = page.expect(200);
        assert_eq!(page["root"]["id"], root["id"]);
        assert_eq!(page["messages"], json!([third, second, first]));
        assert_eq!((&page["has_more"], page.get("has_newer")), (&json!(false), None));
    }
    let page = async |query: &str| {
        let page = ann.get(&format!("{}?{query}", thread(&root))).await.expect(200);
        (ids(&page["messages"]), page["has_more"] == true, page["has_newer"] == true)
    };
    let [root_id, first, second, third] = [&root, &first, &second, &third].map(id_of);
    let expected =
        |ids: &[&String], more, newer| (ids.iter().map(ToString::to_string).collect(), more, newer);
    assert_eq!(page("limit=2").await, expected(&[&third, &second], true, false));
    assert_eq!(page(&format!("before={second}")).await, expected(&[&first], false, false));
    assert_eq!(page(&format!("limit=2&after={root_id}")).await, expected(&[&first, &second], true, false));
    assert_eq!(page(&format!("limit=2&around={second}")).await, expected(&[&second, &first], false, true));
    let elsewhere = id_of(&ann.send(&chat, "elsewhere").await);
    for cursor in ["before", "after", "around"] {
        ann.get(&format!("{}?{cursor}={elsewhere}", thread(&root))).await.blames(cursor);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_goes_on_as_if_what_is_in_a_thread_alone_were_not_there() {
    let Room { ann, bob, chat, workspace, .. } = Room::of_two("Group").await;
    let root = ann.send(&chat, "root").await;
    bob.put(&format!("/api/chats/{chat}/read"), json!({ "message_id": root["id"] })).await.expect(200);
    let other = ann.make_chat(&workspace, "Group", &[&bob]).await;
    ann.send(&other, "later").await;
    let order = async |person: &Actor| ids(&person.get("/api/chats").await.expect(200)["chats"]);
    let before = (order(&ann).await, order(&bob).await);

    let alone = reply(&ann, &root, "alone").await;
    let bobs = reply(&bob, &root, "by bob").await;
    for (person, read) in [(&ann, &root["seq"]), (&bob, &root["seq"])] {
        for entry in
            [person.chat_in_list(&chat).await, person.get(&format!("/api/chats/{chat}")).await.expect(200)]
        {
            assert_eq!(entry["unread_count"], 0);
            assert_eq!(entry["last_message"]["content"], "root");
            assert_eq!(
                entry["last_read_seq"], *read,
                "a reply in a thread alone moves no cursor of the chat"
            );
        }
    }
    assert_eq!((order(&ann).await, order(&bob).await), before);
    let page = bob.get(&format!("/api/chats/{chat}/messages")).await.expect(200);
    assert_eq!(ids(&page["messages"]), [id_of(&root)]);

    // Such a reply is a place in the history, and stands in none of its pages.
    let last = ann.send(&chat, "last").await;
    let query = |query: &str| format!("/api/chats/{chat}/messages?{query}={}", id_of(&alone));
    assert_eq!(ids(&bob.get(&query("before")).await.expect(200)["messages"]), [id_of(&root)]);
    assert_eq!(ids(&bob.get(&query("after")).await.expect(200)["messages"]), [id_of(&last)]);
    bob.get(&query("around")).await.blames("around");
    assert_eq!(bob.get(&message(&alone)).await.expect(200)["content"], "alone");
    let mark = json!({ "message_id": bobs["id"] });
    let read = bob.put(&format!("/api/chats/{chat}/read"), mark.clone()).await.expect(200);
    assert_eq!((&read["last_read_seq"], &read["unread_count"]), (&bobs["seq"], &json!(1)));
    let read =
        bob.put(&format!("/api/chats/{chat}/unread"), json!({ "message_id": alone["id"] })).await.expect(200);
    assert_eq!((&read["last_read_seq"], &read["unread_count"]), (&root["seq"], &json!(1)));

    // What is shown in the chat too counts there as well.
    let both = reply_in_chat(&ann, &root, "both").await;
    let entry = bob.chat_in_list(&chat).await;
    assert_eq!((&entry["unread_count"], &entry["last_message"]["content"]), (&json!(2), &json!("both")));
    assert_eq!(ann.chat_in_list(&chat).await["last_read_seq"], both["seq"]);
    assert_eq!(order(&bob).await[0], chat);
    assert_eq!(unread(&bob, &root).await.1, 1, "the thread has a cursor of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_chat_stays_hidden_while_only_a_thread_goes_on() {
    let Room { ann, bob, workspace, .. } = Room::of_two("Group").await;
    let chat = ann.make_chat(&workspace, "Single", &[&bob]).await;
    let root = ann.send(&chat, "root").await;
    let hide = format!("/api/chats/{chat}/hide");
    assert_eq!(bob.act(&hide).await.expect(200)["hidden"], true);
    reply(&ann, &root, "in the thread").await;
    assert!(!ids(&bob.get("/api/chats").await.expect(200)["chats"]).contains(&chat));
    assert_eq!(bob.get(&format!("/api/chats/{chat}")).await.expect(200)["hidden"], true);
    assert_eq!(bob.act(&hide).await.expect(200)["hidden"], true);
    reply_in_chat(&ann, &root, "in the chat").await;
    assert_eq!(bob.chat_in_list(&chat).await["hidden"], false);
    assert_eq!(bob.act(&hide).await.expect(200)["hidden"], true);
    reply(&ann, &root, "in the thread").await;
    // Asking for the chat again shows it.
    ann.make_chat(&workspace, "Single", &[&bob]).await;
    assert_eq!(bob.get(&format!("/api/chats/{chat}")).await.expect(200)["hidden"], true);
    bob.make_chat(&workspace, "Single", &[&ann]).await;
    assert_eq!(bob.chat_in_list(&chat).await["hidden"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_to_do_with_a_thread_follows_it_until_they_will_not() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let root = ann.send(&chat, "root").await;
    reply(&bob, &root, "one").await;
    assert_eq!(unread(&ann, &root).await, (json!(true), json!(1)), "who wrote the root");
    assert_eq!(unread(&bob, &root).await, (json!(true), json!(0)), "who replied");
    assert_eq!(unread(&cid, &root).await, (json!(false), json!(0)), "nobody else");

    // By one's own will, from now on, and twice is once.
    let follow = format!("{}/follow", thread(&root));
    for _ in 0..2 {
        let state = cid.request(reqwest::Method::PUT, &follow, None).await.expect(200);
        assert_eq!((&state["following"], &state["unread_count"]), (&json!(true), &json!(0)));
        assert_eq!(state["message_id"], root["id"]);
    }
    let two = reply(&bob, &root, "two").await;
    assert_eq!(unread(&cid, &root).await, (json!(true), json!(1)));

    for _ in 0..2 {
        let state = ann.delete(&follow).await.expect(200);
        assert_eq!(
            (&state["following"], &state["unread_count"], &state["last_read_seq"]),
            (&json!(false), &json!(0), &json!(0))
        );
    }
    reply(&bob, &root, &format!("three @{}", ann.name)).await;
    assert_eq!(unread(&ann, &root).await, (json!(false), json!(0)), "neither as author nor by a mention");
    reply(&ann, &root, "four").await;
    reply(&bob, &root, "five").await;
    assert_eq!(unread(&ann, &root).await, (json!(true), json!(1)), "but by a reply of one's own");

    // The cursor moves forward, to what is there.
    let read = format!("{}/read", thread(&two));
    let state = cid.put(&read, json!({ "message_id": two["id"] })).await.expect(200);
    assert_eq!((&state["unread_count"], &state["last_read_seq"]), (&json!(3), &two["seq"]));
    let state = cid.put(&read, json!({ "message_id": root["id"] })).await.expect(200);
    assert_eq!(state["last_read_seq"], two["seq"], "never back");
    let state = cid.put(&read, json!({ "seq": 1_000_000 })).await.expect(200);
    assert_eq!(
        (&state["unread_count"], &state["last_read_seq"]),
        (&json!(0), &json!(two["seq"].as_i64().map(|seq| seq + 3)))
    );
    let elsewhere = ann.send(&chat, "elsewhere").await;
    cid.put(&read, json!({ "message_id": elsewhere["id"] })).await.blames("message_id");
    // Who does not follow has no cursor.
    cid.delete(&follow).await.expect(200);
    assert_eq!(cid.put(&read, json!({ "seq": 3 })).await.expect(200)["following"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_mentioned_follows() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let root = ann.send(&chat, &format!("what do you say, @{}?", cid.name)).await;
    assert_eq!(root["mentions"], json!([cid.id]));
    reply(&bob, &root, "one").await;
    assert_eq!(unread(&cid, &root).await, (json!(true), json!(1)), "in the root");

    let other = ann.send(&chat, "other").await;
    reply(&ann, &other, "one").await;
    reply(&ann, &other, &format!("@{} two", bob.name)).await;
    reply(&ann, &other, "three").await;
    assert_eq!(unread(&bob, &other).await, (json!(true), json!(2)), "from the reply on that mentions");
    assert_eq!(unread(&cid, &other).await, (json!(false), json!(0)));
    // Also by an edit.
    let four = reply(&ann, &other, "four").await;
    let mut stream = cid.stream(None).await;
    for content in ["four", "four!"] {
        let content = format!("{content}, @{}", cid.name);
        ann.patch(&message(&four), json!({ "content": content })).await.expect(200);
    }
    stream.expect("message_update").await;
    stream.expect("mention").await;
    assert_eq!(stream.expect("thread_update").await.data["type"], "followed");
    stream.expect("message_update").await;
    assert_eq!(unread(&cid, &other).await, (json!(true), json!(1)));
    assert_eq!(stream.during(Duration::from_millis(500)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_reply_is_counted_no_more_and_a_deleted_root_keeps_its_thread() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let root = ann.send(&chat, "root").await;
    let first = reply(&bob, &root, "first").await;
    let second = reply(&cid, &root, "second").await;
    ann.delete(&message(&second)).await.expect(204);
    ann.delete(&message(&second)).await.expect(204);
    let seen_by = async |person: &Actor| seen(person, &root).await;
    let anns = seen_by(&ann).await;
    assert_eq!((&anns["reply_count"], &anns["unread_count"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&anns["last_reply_at"], &anns["participants"]),
        (&first["created_at"], &json!([first["sender"]]))
    );
    let page = ann.get(&thread(&root)).await.expect(200);
    assert_eq!(page["messages"][0]["content"], Value::Null, "its place stays");

    ann.delete(&message(&root)).await.expect(204);
    let page = bob.get(&thread(&root)).await.expect(200);
    assert_eq!((&page["root"]["content"], &page["messages"][1]["content"]), (&Value::Null, &json!("first")));
    assert_eq!(page["root"]["thread"]["reply_count"], 1);
    assert_eq!(ids(&bob.get("/api/threads").await.expect(200)["threads"]), [id_of(&root)]);
    try_reply(&cid, &root, "too late").await.refuses(409, "message_deleted");

    bob.delete(&message(&first)).await.expect(204);
    assert_eq!(seen_by(&ann).await, Value::Null, "nothing is left");
    assert_eq!(ids(&bob.get("/api/threads").await.expect(200)["threads"]), Vec::<String>::new());
    assert_eq!(bob.get(&thread(&root)).await.expect(200)["messages"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_follows_nothing_any_more() {
    let Room { site, ann, bob, cid, chat, .. } = Room::of_three("PublicChannel").await;
    let root = bob.send(&chat, "root").await;
    reply(&cid, &root, "one").await;
    assert_eq!(ids(&bob.get("/api/threads").await.expect(200)["threads"]), [id_of(&root)]);
    bob.delete(&format!("/api/chats/{chat}/members/me")).await.expect(204);
    assert_eq!(ids(&bob.get("/api/threads").await.expect(200)["threads"]), Vec::<String>::new());
    // A public channel can be read by who is not in it.
    assert_eq!(unread(&bob, &root).await, (json!(false), json!(0)));
    for (method, door) in [("PUT", "follow"), ("DELETE", "follow"), ("PUT", "read")] {
        let body = (door == "read").then(|| json!({ "seq": 1 }));
        let path = format!("{}/{door}", thread(&root));
        bob.request(method.parse().expect("a method"), &path, body).await.expect(403);
    }
    reply(&cid, &root, "two").await;
    bob.act(&format!("/api/chats/{chat}/join")).await.expect(200);
    assert_eq!(unread(&bob, &root).await, (json!(false), json!(0)));
    reply(&cid, &root, "three").await;
    assert_eq!(
        unread(&bob, &root).await,
        (json!(true), json!(1)),
        "it is under a message of bob's all the same"
    );

    // An account that is deleted leaves its replies, and follows nothing.
    cid.request(
        reqwest::Method::DELETE,
        "/api/users/me",
        Some(json!({ "password": "a long enough phrase" })),
    )
    .await
    .expect(204);
    let followers: i64 = sqlx::query_scalar("select count(*) from thread_followers where user_id = $1::uuid")
        .bind(&cid.id)
        .fetch_one(&site.pool)
        .await
        .expect("a count");
    assert_eq!(followers, 0);
    let seen = seen(&ann, &root).await;
    assert_eq!((&seen["reply_count"], &seen["participants"][0]["name"]), (&json!(3), &json!("Deleted user")));

    // Archived, it can be read and kept, and not replied to.
    ann.act(&format!("/api/chats/{chat}/archive")).await.expect(200);
    try_reply(&bob, &root, "four").await.refuses(409, "archived");
    bob.put(&format!("{}/read", thread(&root)), json!({ "seq": 100 })).await.expect(200);
    ann.delete(&format!("/api/chats/{chat}")).await.expect(204);
    assert_eq!(ids(&bob.get("/api/threads").await.expect(200)["threads"]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_threads_that_one_follows_are_listed_by_their_last_reply() {
    let Room { site: _site, ann, bob, chat, workspace, .. } = Room::of_two("Group").await;
    let elsewhere = ann.make_workspace("Elsewhere").await;
    ann.welcome(&elsewhere, &bob).await;
    let other = ann.make_chat(&elsewhere, "Group", &[&bob]).await;
    let mut roots = Vec::new();
    for number in 0..7 {
        let root = ann.send(if number == 3 { &other } else { &chat }, &format!("root {number}")).await;
        reply(&bob, &root, "reply").await;
        roots.push(root);
    }
    // Followed, and without a reply.
    let silent = bob.send(&chat, "silent").await;
    ann.request(reqwest::Method::PUT, &format!("{}/follow", thread(&silent)), None).await.expect(200);
    reply(&bob, &roots[2], "again").await;
    let expected: Vec<_> =
        [2, 6, 5, 4, 3, 1, 0].into_iter().map(|number: usize| id_of(&roots[number])).collect();
    let list = ann.get("/api/threads").await;
    assert!(!list.event_id().is_empty());
    let list = list.expect(200);
    assert_eq!(ids(&list["threads"]), expected);
    assert_eq!((&list["has_more"], &list["next"]), (&json!(false), &Value::Null));
    assert_eq!(list["threads"][0], ann.get(&message(&roots[2])).await.expect(200));
    assert_eq!(list["threads"][0]["thread"]["unread_count"], 2);

    for limit in [1, 2, 3, 7] {
        let (mut walked, mut query) = (Vec::new(), String::new());
        loop {
            let page = ann.get(&format!("/api/threads?limit={limit}{query}")).await.expect(200);
            walked.extend(ids(&page["threads"]));
            assert_eq!(page["has_more"] == true, page["next"].is_string());
            let Some(next) = page["next"].as_str() else { break };
            query = format!("&cursor={next}");
        }
        assert_eq!(walked, expected, "by {limit}");
    }
    let of_workspace = |workspace: &str| format!("/api/threads?workspace_id={workspace}");
    assert_eq!(ids(&ann.get(&of_workspace(&elsewhere)).await.expect(200)["threads"]), [id_of(&roots[3])]);
    assert_eq!(ids(&ann.get(&of_workspace(&workspace)).await.expect(200)["threads"]).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_chat_takes_its_threads_along_in_silence() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    for _ in 0..3 {
        let root = ann.send(&chat, "root").await;
        reply(&bob, &root, "reply").await;
        reply_in_chat(&ann, &root, "reply").await;
    }
    ann.delete(&format!("/api/chats/{chat}")).await.expect(204);
    let count = async |query: &'static str| -> i64 {
        sqlx::query_scalar(query).fetch_one(&site.pool).await.expect("a count")
    };
    let events = count("select max(id) from events").await;
    assert_eq!(count("select count(*) from thread_followers").await, 6);
    site.clock.advance(chrono::TimeDelta::days(31));
    site.clean_up().await;
    for left in [
        "select count(*) from messages",
        "select count(*) from thread_followers",
        "select count(*) from chats",
    ] {
        assert_eq!(count(left).await, 0, "{left}");
    }
    assert_eq!(count("select max(id) from events").await, events, "nobody is told");
}
