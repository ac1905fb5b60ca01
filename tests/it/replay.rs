//! Long replays: given piece by piece, whole, and of nothing that its reader may not see any more.

use std::time::Duration;

use fechatter_tests::{Actor, Received, Site, Stream, site::Server};
use serde_json::{Value, json};

/// Long enough for anything wrong to arrive.
const QUIET: Duration = Duration::from_millis(300);
/// More long messages than the sockets' buffers hold, while nobody reads.
const MANY: i64 = 900;

struct Room {
    site: Site,
    ann: Actor,
    bob: Actor,
    chat: String,
}

/// A room of streams that have as little room for a replay as can be.
async fn room() -> Room {
    let site = Site::start_with(|_, notify| notify.stream.queue_bytes = 1024).await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[&bob]).await;
    Room { site, ann, bob, chat }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_in_many_pieces_leaves_nothing_out_from_the_ring_and_from_the_table() {
    let Room { site, ann, bob, chat } = room().await;
    let start = bob.get("/api/chats").await.event_id();
    let members = format!("/api/chats/{chat}/members");
    let long = |number: usize| format!("{number} {}", "x".repeat(3_000));
    for number in 0..10 {
        ann.send(&chat, &long(number)).await;
    }
    ann.delete(&format!("{members}/{}", bob.id)).await.expect(204);
    for number in 10..20 {
        ann.send(&chat, &long(number)).await;
    }
    ann.post(&members, json!({ "member_ids": [bob.id] })).await.expect(200);
    for number in 20..30 {
        ann.send(&chat, &long(number)).await;
    }
    let end = bob.get("/api/chats").await.event_id();
    let other = site.another_notify();
    for notify in [bob.notify, other.address] {
        let mut stream = bob.at(bob.rest, notify).stream(Some(&start)).await;
        for number in 0..10 {
            stream.expect_message(&long(number)).await;
        }
        stream.expect_update("member_removed").await;
        stream.expect_update("member_added").await;
        stream.expect_note("members_added").await;
        for number in 20..29 {
            stream.expect_message(&long(number)).await;
        }
        assert_eq!(stream.expect_message(&long(29)).await.id, end);
        assert_eq!(stream.during(QUIET).await, []);
    }
}

/// A replay that its reader has let begin and nothing else, on an instance of its own choice.
struct Begun {
    site: Site,
    ann: Actor,
    bob: Actor,
    chat: String,
    replay: Stream,
    /// Ann's, to see what the instance has seen.
    witness: Stream,
    /// Long messages, the last of [`MANY`] first.
    newest: Value,
    _other: Option<Server>,
}

/// Whence a replay is served.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The ring of an instance that has seen everything.
    Ring,
    /// The ring of one that has just started.
    WarmedRing,
    /// The table: the ring holds [`FEW`] events.
    Table,
}

const SOURCES: [Source; 3] = [Source::Ring, Source::WarmedRing, Source::Table];
const FEW: usize = 16;

async fn begun(source: Source) -> Begun {
    let site = Site::start_with(|_, notify| {
        if matches!(source, Source::Table) {
            notify.stream.ring_events = FEW;
        }
    })
    .await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[&bob]).await;
    let start = bob.get("/api/chats").await.event_id();
    sqlx::query(
        "with c as (update chats set last_seq = last_seq + $3 where id = $1::uuid returning last_seq)
         insert into messages (id, chat_id, seq, sender_id, content)
         select gen_random_uuid(), $1::uuid, last_seq - $3 + n, $2::uuid, n || repeat(' x', 4900)
         from c, generate_series(1, $3) n",
    )
    .bind(&chat)
    .bind(&ann.id)
    .bind(MANY)
    .execute(&site.pool)
    .await
    .expect("an insert");
    let page = ann.get(&format!("/api/chats/{chat}/messages?limit=1")).await.expect(200);
    let other = matches!(source, Source::WarmedRing).then(|| site.another_notify());
    let notify = other.as_ref().map_or(site.notify.address, |other| other.address);
    let replay = bob.at(bob.rest, notify).stream(Some(&start)).await;
    let witness = ann.at(ann.rest, notify).stream(None).await;
    let newest = page["messages"][0].clone();
    Begun { site, ann, bob, chat, replay, witness, newest, _other: other }
}

/// The number of a long message.
fn number(received: &Received) -> Option<i64> {
    let content = received.data["content"].as_str().filter(|_| received.event == "message")?;
    content.split_once(' ').and_then(|(number, _)| number.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_while_a_replay_goes_on_is_given_no_more_of_the_chat() {
    for source in SOURCES {
        let Begun { site, ann, bob, chat, mut replay, mut witness, newest, _other } = begun(source).await;
        ann.delete(&format!("/api/chats/{chat}/members/{}", bob.id)).await.expect(204);
        let path = format!("/api/chats/{chat}/messages/{}", newest["id"].as_str().expect("an id"));
        ann.patch(&path, json!({ "content": "later words" })).await.expect(200);
        witness.until("message_update").await;
        // As many as the smallest ring forgets all before for.
        for _ in 0..=FEW {
            ann.send(&chat, "said among us").await;
            witness.until("message").await;
        }
        let mut messages = 0;
        loop {
            let received = replay.any().await;
            assert!(!received.data.to_string().contains("later words"), "{received:?}");
            match number(&received) {
                Some(number) => {
                    messages += 1;
                    assert_eq!(number, messages);
                }
                None => break assert_eq!(received.data["reason"], "too_far", "{received:?}"),
            }
        }
        assert!(messages < MANY, "what was not on its way is withheld");
        replay.expect_update("member_removed").await;
        assert_eq!(replay.during(QUIET).await, []);
        drop(site);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_while_a_replay_goes_on_is_told_to_reload_what_is_left_of_it() {
    for source in SOURCES {
        let Begun { site, ann, bob, chat, mut replay, mut witness, _other, .. } = begun(source).await;
        let members = format!("/api/chats/{chat}/members");
        ann.delete(&format!("{members}/{}", bob.id)).await.expect(204);
        ann.post(&members, json!({ "member_ids": [bob.id] })).await.expect(200);
        while witness.until("chat_update").await.data["type"] != "member_added" {}
        let mut messages = 0;
        let reset = loop {
            let received = replay.any().await;
            let Some(number) = number(&received) else { break received };
            messages += 1;
            assert_eq!(number, messages);
        };
        assert_eq!(reset.data["reason"], "too_far", "{reset:?}");
        replay.expect_update("member_removed").await;
        replay.expect_update("member_added").await;
        replay.expect_note("members_added").await;
        assert_eq!(replay.during(QUIET).await, []);
        drop(site);
    }
}
