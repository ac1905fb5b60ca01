//! Long replays: given piece by piece, whole, and of nothing that its reader may not see any more.

use std::time::Duration;

use fechatter_tests::{Actor, Site};
use serde_json::json;

/// Long enough for anything wrong to arrive.
const QUIET: Duration = Duration::from_millis(300);

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
