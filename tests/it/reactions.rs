//! Reactions: what they are, who sees them, and what they leave alone.

use std::time::Duration;

use fechatter_tests::{Actor, Answer, Room, actor::id_of};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

const QUIET: Duration = Duration::from_millis(300);
const ROUNDS: usize = 30;

/// Reactions to one message.
struct Target {
    path: String,
}

impl Target {
    fn of(chat: &str, message: &Value) -> Self {
        Self { path: format!("/api/chats/{chat}/messages/{}", id_of(message)) }
    }

    async fn put(&self, person: &Actor, emoji: &str) -> Answer {
        person.request(Method::PUT, &format!("{}/reactions/{emoji}", self.path), None).await
    }

    async fn delete(&self, person: &Actor, emoji: &str) -> Answer {
        person.delete(&format!("{}/reactions/{emoji}", self.path)).await
    }

    async fn list(&self, person: &Actor, query: &str) -> Answer {
        person.get(&format!("{}/reactions{query}", self.path)).await
    }

    async fn shown(&self, person: &Actor) -> Value {
        person.get(&self.path).await.expect(200)["reactions"].clone()
    }
}

fn kind(emoji: &str, count: u32, me: bool) -> Value {
    json!({ "emoji": emoji, "count": count, "me": me })
}

/// As many different emoji.
fn kinds(number: u32) -> Vec<String> {
    (0..number).filter_map(|at| char::from_u32(0x1f400 + at)).map(String::from).collect()
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_the_counts_and_whether_they_are_among_them() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let plain = ann.send(&chat, "plain").await;
    let message = ann.send(&chat, "hello").await;
    let target = Target::of(&chat, &message);
    assert_eq!(message["reactions"], json!([]));

    let answer = target.put(&bob, "👍").await.expect(200);
    assert_eq!(answer, json!({ "message_id": message["id"], "reactions": [kind("👍", 1, true)] }));
    assert_eq!(target.put(&bob, "👍").await.expect(200), answer, "doing it twice is doing it once");
    target.put(&cid, "❤").await.expect(200);
    let answer = target.put(&cid, "👍").await.expect(200);
    assert_eq!(answer["reactions"], json!([kind("👍", 2, true), kind("❤\u{fe0f}", 1, true)]));
    // Whichever way it is spelled, it is the same reaction.
    target.put(&cid, "❤\u{fe0f}").await.expect(200);
    let answer = target.put(&bob, "❤\u{fe0e}").await.expect(200);
    assert_eq!(answer["reactions"], json!([kind("👍", 2, true), kind("❤\u{fe0f}", 2, true)]));

    let others = json!([kind("👍", 2, false), kind("❤\u{fe0f}", 2, false)]);
    assert_eq!(target.shown(&ann).await, others);
    let path = format!("/api/chats/{chat}/messages");
    for query in [String::new(), format!("?around={}", id_of(&message))] {
        let page = ann.get(&format!("{path}{query}")).await.expect(200);
        assert_eq!(page["messages"][0]["reactions"], others);
        assert_eq!(page["messages"][1], plain);
    }
    let edited = ann.patch(&target.path, json!({ "content": "hello!" })).await.expect(200);
    assert_eq!(edited["reactions"], others);

    // What was sent before answers a repetition as it is now.
    let twice = json!({ "content": "once", "client_id": "one" });
    let once = ann.post(&path, twice.clone()).await.expect(201);
    Target::of(&chat, &once).put(&ann, "👍").await.expect(200);
    assert_eq!(ann.post(&path, twice).await.expect(200)["reactions"], json!([kind("👍", 1, true)]));

    // Who gives up a kind alone takes it away; chosen again, it stands last.
    target.delete(&bob, "👍").await.expect(200);
    let answer = target.delete(&cid, "👍").await.expect(200);
    assert_eq!(answer["reactions"], json!([kind("❤\u{fe0f}", 2, true)]));
    assert_eq!(target.delete(&cid, "👍").await.expect(200), answer);
    let answer = target.put(&ann, "👍").await.expect(200);
    assert_eq!(answer["reactions"], json!([kind("❤\u{fe0f}", 2, false), kind("👍", 1, true)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reacted_is_listed_page_by_page() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("PublicChannel").await;
    let target = Target::of(&chat, &ann.send(&chat, "hello").await);
    for (person, emoji) in [(&bob, "👍"), (&cid, "❤"), (&cid, "👍"), (&ann, "👍")] {
        target.put(person, emoji).await.expect(200);
    }
    let reacted = |page: &Value| -> Vec<(String, String)> {
        let shown = page["reactions"].as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        shown.map(|reacted| (text(&reacted["user"]["name"]), text(&reacted["emoji"]))).collect()
    };
    let pair = |name: &str, emoji: &str| (name.to_owned(), emoji.to_owned());
    let all = [pair("bob", "👍"), pair("cid", "❤\u{fe0f}"), pair("cid", "👍"), pair("ann", "👍")];
    let whole = target.list(&bob, "").await;
    assert!(!whole.event_id().is_empty());
    let whole = whole.expect(200);
    assert_eq!((reacted(&whole), &whole["has_more"]), (all.to_vec(), &json!(false)));
    let thumbs = target.list(&bob, "?emoji=👍").await.expect(200);
    assert_eq!(reacted(&thumbs), [all[0].clone(), all[2].clone(), all[3].clone()]);
    assert_eq!(reacted(&target.list(&bob, "?emoji=❤").await.expect(200)), all[1..2]);
    assert_eq!(reacted(&target.list(&bob, "?emoji=🚗").await.expect(200)), []);

    let (mut walked, mut after) = (Vec::new(), String::new());
    loop {
        let page = target.list(&bob, &format!("?limit=1{after}")).await.expect(200);
        walked.extend(reacted(&page));
        // The cursor need not be there any more.
        if page["reactions"][0]["emoji"] == "❤\u{fe0f}" {
            target.delete(&cid, "❤").await.expect(200);
        }
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", id_of(&page["reactions"][0]));
    }
    assert_eq!(walked, all);
    for limit in ["0", "101", "x"] {
        target.list(&bob, &format!("?limit={limit}")).await.blames("limit");
    }
    target.list(&bob, "?after=x").await.blames("after");
    target.list(&bob, "?emoji=x").await.blames("emoji");
    target.list(&bob, "?emoji=%00").await.blames("emoji");
    target.list(&bob, "?colour=red").await.blames("colour");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_emoji_of_any_sort_will_do_and_nothing_else() {
    let Room { ann, chat, .. } = Room::of_two("Group").await;
    let (mut target, mut used) = (Target::of(&chat, &ann.send(&chat, "hello").await), 0);
    let scotland = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}";
    // 30 code points: fourteen people, thirteen joiners, three skin tones.
    let crowd = [["👩🏽"; 3].join("\u{200d}"), ["👩"; 11].join("\u{200d}")].join("\u{200d}");
    assert_eq!(crowd.chars().count(), 30);
    for emoji in ["👍", "👍🏽", "🇩🇪", scotland, "👨‍👩‍👧‍👦", "🏳️‍🌈", "🧑🏻‍❤️‍💋‍🧑🏿", "1️⃣", "%23️⃣", "©️", "🕵🏿‍♂️", &crowd]
    {
        let answer = target.put(&ann, emoji).await.expect(200);
        used += 1;
        let kinds = answer["reactions"].as_array().expect("kinds");
        assert_eq!(kinds.len(), used, "{emoji}: {answer}");
        assert_eq!(kinds[used - 1]["emoji"], emoji.replace("%23", "#"));
    }
    target = Target::of(&chat, &ann.send(&chat, "nothing").await);
    let long = ["👩"; 17].join("\u{200d}");
    let endless = "👩\u{200d}".repeat(300);
    for none in [
        "a",
        "ab",
        "1",
        "%23",
        "%20",
        "👍%20",
        "👍👍",
        "👍a",
        "🇩",
        "🇩🇪🇫",
        "🏽",
        "\u{200d}",
        "\u{fe0f}",
        "❤\u{301}",
        "👩\u{200d}",
        "🚗🏽",
        "界",
        "%00",
        "👍%00",
        "%2F",
        "%0A",
        "%25",
        ":+1:",
        "thumbsup",
        "null",
        "%3Cscript%3E",
        &long,
        &endless,
    ] {
        target.put(&ann, none).await.blames("emoji");
        target.delete(&ann, none).await.blames("emoji");
    }
    // No text at all.
    for none in ["%FF", "%F0%9F%91"] {
        target.put(&ann, none).await.expect(400);
    }
    assert_eq!(target.shown(&ann).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_twenty_kinds_at_most() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let target = Target::of(&chat, &ann.send(&chat, "hello").await);
    let kinds = kinds(22);
    for kind in &kinds[..20] {
        target.put(&ann, kind).await.expect(200);
    }
    target.put(&bob, &kinds[20]).await.refuses(409, "too_many_reactions");
    target.put(&bob, &kinds[0]).await.expect(200);
    target.delete(&ann, &kinds[0]).await.expect(200);
    target.put(&cid, &kinds[20]).await.refuses(409, "too_many_reactions");
    target.delete(&bob, &kinds[0]).await.expect(200);

    // Of two who come at once with the twentieth kind, each with another one, one comes too late.
    for round in 0..ROUNDS {
        let answers = join_all([target.put(&bob, &kinds[20]), target.put(&cid, &kinds[21])]).await;
        assert_eq!(statuses(&answers), [200, 409], "round {round}: {answers:?}");
        assert_eq!(target.shown(&ann).await.as_array().map(Vec::len), Some(20));
        target.delete(&bob, &kinds[20]).await.expect(200);
        target.delete(&cid, &kinds[21]).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_at_once_is_counted_once() {
    let Room { site, ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    for round in 0..ROUNDS {
        let target = Target::of(&chat, &ann.send(&chat, "hello").await);
        let same = join_all((0..4).map(|_| target.put(&bob, "👍"))).await;
        assert_eq!(statuses(&same), [200; 4], "round {round}");
        assert_eq!(target.shown(&ann).await, json!([kind("👍", 1, false)]));
        let (added, removed) = tokio::join!(target.put(&cid, "👍"), target.delete(&bob, "👍"));
        assert_eq!(added.expect(200)["message_id"], removed.expect(200)["message_id"]);
        assert_eq!(target.shown(&cid).await, json!([kind("👍", 1, true)]));
        // Whichever came first, nothing is left on what was deleted.
        let (reacted, deleted) = tokio::join!(target.put(&bob, "❤"), ann.delete(&target.path));
        assert_eq!(deleted.status, 204);
        assert!(matches!(reacted.status, 200 | 409), "round {round}: {reacted:?}");
        assert_eq!(target.shown(&bob).await, json!([]));
    }
    let left: i64 = sqlx::query_scalar("select count(*) from reactions").fetch_one(&site.pool).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_changes_nothing_but_itself() {
    let Room { ann, bob, workspace, chat, .. } = Room::of_two("Group").await;
    let message = ann.send(&chat, "hello").await;
    let later = ann.make_chat(&workspace, "Group", &[&bob]).await;
    ann.send(&later, "newer").await;
    let target = Target::of(&chat, &message);
    let (lists, before) = (bob.get("/api/chats").await.body, ann.get(&target.path).await.body);
    target.put(&ann, "👍").await.expect(200);
    target.put(&bob, "👍").await.expect(200);
    target.delete(&ann, "👍").await.expect(200);
    assert_eq!(bob.get("/api/chats").await.body, lists, "neither unread nor in another order");
    let mut after = ann.get(&target.path).await.body;
    assert_eq!(after["reactions"], json!([kind("👍", 1, false)]));
    after["reactions"] = json!([]);
    assert_eq!(after, before);
    assert_eq!(ann.get(&format!("{}/edits", target.path)).await.body["edits"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_is_told_and_nobody_else() {
    let Room { site, ann, bob, cid, workspace, chat } = Room::of_two("PrivateChannel").await;
    let outsider = site.sign_up("outsider").await;
    let mut others = vec![cid.stream(None).await, outsider.stream(None).await];
    let mut bobs = bob.stream(None).await;
    let start = ann.get("/api/chats").await.event_id();
    let message = ann.send(&chat, "hello").await;
    let target = Target::of(&chat, &message);
    bobs.expect_message("hello").await;
    let event = |person: &Actor, kind: &str, count: u32| {
        json!({
            "chat_id": chat, "message_id": message["id"], "emoji": "❤\u{fe0f}", "user_id": person.id, "type": kind,
            "count": count,
        })
    };
    let told = [event(&bob, "added", 1), event(&ann, "added", 2), event(&bob, "removed", 1)];
    target.put(&bob, "❤").await.expect(200);
    target.put(&bob, "❤").await.expect(200);
    target.put(&ann, "❤").await.expect(200);
    target.delete(&bob, "❤").await.expect(200);
    target.delete(&bob, "❤").await.expect(200);
    for data in &told {
        assert_eq!(&bobs.expect("reaction").await.data, data);
    }
    // An edit shows them to all alike.
    ann.patch(&target.path, json!({ "content": "hello!" })).await.expect(200);
    let edited = bobs.expect("message_update").await;
    assert_eq!(edited.data["reactions"], json!([{ "emoji": "❤\u{fe0f}", "count": 1 }]));
    assert_eq!(bobs.during(QUIET).await, []);
    for stream in &mut others {
        assert_eq!(stream.during(QUIET).await, [], "{}", cid.name);
    }
    for person in [&cid, &outsider] {
        for answer in
            [target.put(person, "👍").await, target.delete(person, "👍").await, target.list(person, "").await]
        {
            answer.refuses(404, "not_found");
        }
    }

    // The same comes to who resumes, also in a server that has none of it in memory; and to who left, nothing.
    let elsewhere = site.another_notify();
    for person in [bob.clone(), bob.at(bob.rest, elsewhere.address)] {
        let mut resumed = person.stream(Some(&start)).await;
        assert_eq!(resumed.expect("message").await.data["content"], "hello!");
        for data in &told {
            assert_eq!(&resumed.expect("reaction").await.data, data);
        }
        resumed.expect("message_update").await;
    }
    ann.delete(&format!("/api/chats/{chat}/members/{}", bob.id)).await.expect(204);
    target.put(&ann, "👍").await.expect(200);
    bobs.until("chat_update").await;
    assert_eq!(bobs.during(QUIET).await, []);
    let mut resumed = bob.stream(Some(&start)).await;
    assert!(resumed.during(QUIET).await.iter().all(|event| event.event == "chat_update"));
    ann.delete(&format!("/api/workspaces/{workspace}/members/{}", bob.id)).await.expect(204);
    target.put(&bob, "👍").await.refuses(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_public_channel_is_not_reacting_in_it() {
    let Room { ann, cid, chat, .. } = Room::of_two("PublicChannel").await;
    let target = Target::of(&chat, &ann.send(&chat, "hello").await);
    target.put(&ann, "👍").await.expect(200);
    assert_eq!(target.shown(&cid).await, json!([kind("👍", 1, false)]));
    target.list(&cid, "").await.expect(200);
    target.put(&cid, "👍").await.refuses(403, "forbidden");
    target.delete(&cid, "👍").await.refuses(403, "forbidden");
    // What the server noted of the joining may be greeted.
    cid.act(&format!("/api/chats/{chat}/join")).await.expect(200);
    let page = cid.get(&format!("/api/chats/{chat}/messages?limit=1")).await.expect(200);
    assert_eq!(page["messages"][0]["kind"], "System");
    Target::of(&chat, &page["messages"][0]).put(&ann, "👋").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_archived_or_left_behind() {
    let Room { site, ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let path = format!("/api/chats/{chat}");
    let kept = Target::of(&chat, &ann.send(&chat, "kept").await);
    let gone = Target::of(&chat, &ann.send(&chat, "gone").await);
    for target in [&kept, &gone] {
        target.put(&bob, "👍").await.expect(200);
        target.put(&cid, "👍").await.expect(200);
    }
    let mut anns = ann.stream(None).await;
    ann.delete(&gone.path).await.expect(204);
    let deleted = anns.expect("message_delete").await;
    assert_eq!(deleted.data["reactions"], json!([]));
    assert_eq!(anns.during(QUIET).await, [], "what goes with a message is no news of its own");
    assert_eq!(gone.shown(&ann).await, json!([]));
    assert_eq!(gone.list(&ann, "").await.expect(200)["reactions"], json!([]));
    gone.put(&bob, "👍").await.refuses(409, "message_deleted");
    assert_eq!(gone.delete(&bob, "👍").await.expect(200)["reactions"], json!([]));

    ann.act(&format!("{path}/archive")).await.expect(200);
    kept.put(&ann, "👍").await.refuses(409, "archived");
    kept.delete(&bob, "👍").await.refuses(409, "archived");
    // There is nothing to be done.
    kept.put(&bob, "👍").await.expect(200);
    kept.delete(&ann, "👍").await.expect(200);
    ann.act(&format!("{path}/unarchive")).await.expect(200);

    // Who is gone has reacted all the same, as they have written.
    bob.delete(&format!("{path}/members/me")).await.expect(204);
    kept.delete(&bob, "👍").await.refuses(404, "not_found");
    let body = json!({ "password": "a long enough phrase" });
    cid.request(Method::DELETE, "/api/users/me", Some(body)).await.expect(204);
    assert_eq!(kept.shown(&ann).await, json!([kind("👍", 2, false)]));
    let reacted = kept.list(&ann, "").await.expect(200);
    assert_eq!(reacted["reactions"][1]["user"]["name"], "Deleted user");

    kept.put(&ann, "👍").await.expect(200);
    let nowhere = Target { path: format!("{path}/messages/{}", uuid::Uuid::now_v7()) };
    for answer in
        [nowhere.put(&ann, "👍").await, nowhere.delete(&ann, "👍").await, nowhere.list(&ann, "").await]
    {
        answer.refuses(404, "not_found");
    }
    ann.delete(&path).await.expect(204);
    kept.put(&ann, "👍").await.refuses(404, "not_found");
    kept.list(&ann, "").await.refuses(404, "not_found");
    let counted: i64 =
        sqlx::query_scalar("select count(*) from reactions").fetch_one(&site.pool).await.unwrap();
    assert_eq!(counted, 3, "until the chat is purged");
}
