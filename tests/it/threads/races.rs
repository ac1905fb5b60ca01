//! Threads while other things happen.

use super::*;

const ROUNDS: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_comes_before_the_roots_deletion_or_not_at_all() {
    let Room { ann, bob, chat, .. } = Room::of_two("Group").await;
    for round in 0..ROUNDS {
        let root = ann.send(&chat, "root").await;
        let root_path = message(&root);
        let (replied, deleted) = tokio::join!(try_reply(&bob, &root, "reply"), ann.delete(&root_path));
        deleted.expect(204);
        let count = if replied.status == 201 {
            json!(1)
        } else {
            replied.refuses(409, "message_deleted");
            Value::Null
        };
        assert_eq!(seen(&ann, &root).await["reply_count"], count, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_at_once_are_all_counted() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    for round in 0..ROUNDS {
        let root = ann.send(&chat, "root").await;
        let (bobs, cids) = tokio::join!(reply(&bob, &root, "x"), reply(&cid, &root, "y"));
        let latest = if bobs["seq"].as_i64() > cids["seq"].as_i64() { &bobs } else { &cids };
        let seen = seen(&ann, &root).await;
        assert_eq!((&seen["reply_count"], &seen["unread_count"]), (&json!(2), &json!(2)), "round {round}");
        assert_eq!(
            (&seen["last_reply_at"], &seen["participants"][0]),
            (&latest["created_at"], &latest["sender"])
        );
    }
    let root = ann.send(&chat, "root").await;
    let replies = (0..60).map(|number| reply([&ann, &bob, &cid][number % 3], &root, "x"));
    let replies = futures::future::join_all(replies).await;
    let doomed: Vec<_> = replies.iter().skip(20).map(message).collect();
    futures::future::join_all(doomed.iter().map(|path| ann.delete(path))).await;
    let seen = seen(&bob, &root).await;
    assert_eq!(seen["reply_count"], 20);
    let mut left: Vec<_> = replies[..20].iter().collect();
    left.sort_by_key(|reply| std::cmp::Reverse(reply["seq"].as_i64()));
    assert_eq!(seen["last_reply_at"], left[0]["created_at"]);
    let people = left.iter().fold(Vec::new(), |mut people, reply| {
        if !people.contains(&&reply["sender"]) {
            people.push(&reply["sender"]);
        }
        people
    });
    assert_eq!(seen["participants"], json!(people));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_follows_what_they_were_removed_from() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let root = ann.send(&chat, "root").await;
    let (follow, place) = (format!("{}/follow", thread(&root)), format!("/api/chats/{chat}/members"));
    for round in 0..ROUNDS {
        let bobs_place = format!("{place}/{}", bob.id);
        let (followed, replied, removed) = tokio::join!(
            bob.request(reqwest::Method::PUT, &follow, None),
            try_reply(&bob, &root, "reply"),
            ann.delete(&bobs_place),
        );
        removed.expect(204);
        assert!(matches!(followed.status, 200 | 404), "round {round}: {followed:?}");
        assert!(matches!(replied.status, 201 | 404), "round {round}: {replied:?}");
        assert_eq!(followers(&site, &bob).await, 0, "round {round}");
        ann.post(&place, json!({ "member_ids": [bob.id] })).await.expect(200);
    }
}

async fn followers(site: &Site, person: &Actor) -> i64 {
    sqlx::query_scalar("select count(*) from thread_followers where user_id = $1::uuid")
        .bind(&person.id)
        .fetch_one(&site.pool)
        .await
        .expect("a count")
}
