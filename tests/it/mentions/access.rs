//! What mentions show, and to whom: nothing of a chat to who cannot read it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn mentioning_somebody_outside_tells_neither_side_anything() {
    let Room { site, ann, bob, cid, chat, .. } = Room::of_two("PrivateChannel").await;
    let eve = site.sign_up("eve").await;
    let (mut cids, mut eves) = (cid.stream(None).await, eve.stream(None).await);
    // In the workspace, in the installation, nowhere: the same to the sender.
    let mut answers = Vec::new();
    for name in ["cid", "eve", "nix"] {
        let mut sent = ann.send(&chat, &format!("@{name}")).await;
        let edited = edit(&ann, &chat, &sent, &format!("@{name} @{name}!")).await;
        assert_eq!(edited["mentions"], json!([]));
        for field in ["id", "seq", "content", "created_at"] {
            sent[field] = Value::Null;
        }
        answers.push(sent);
    }
    assert_eq!((&answers[0], &answers[0]), (&answers[1], &answers[2]));
    for (person, stream) in [(&cid, &mut cids), (&eve, &mut eves)] {
        assert_eq!(stream.during(QUIET).await, []);
        assert_eq!(mentions(person).await.len(), 0);
    }
    // To call everybody tells nobody either, whoever asks.
    ann.send(&chat, "@all").await;
    assert_eq!(cids.during(QUIET).await, []);
    for person in [&cid, &eve] {
        try_send(person, &chat, "@all @bob").await.expect(404);
        assert_eq!(mentions(person).await.len(), 0);
    }
    assert_eq!(counts(&bob, &chat).await.1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_read_no_more_has_no_mentions_there() {
    let Room { ann, bob, chat, workspace, .. } = Room::of_two("PrivateChannel").await;
    let public = ann.make_chat(&workspace, "PublicChannel", &[&bob]).await;
    let kept = ann.make_chat(&workspace, "Group", &[&bob]).await;
    for chat in [&chat, &public, &kept] {
        ann.send(chat, "@bob").await;
        ann.send(chat, "@all").await;
    }
    let places = async || {
        let page = bob.get("/api/mentions").await.expect(200);
        let messages = page["messages"].as_array().expect("messages").clone();
        let places = messages.iter().map(|message| {
            (message["chat_id"].as_str().expect("an id").to_owned(), message["mentions_all"] == true)
        });
        (places.collect::<Vec<_>>(), page["chats"].as_array().expect("chats").len())
    };
    let both = |chat: &String| [(chat.clone(), true), (chat.clone(), false)];
    assert_eq!(places().await, ([both(&kept), both(&public), both(&chat)].concat(), 3));

    let bobs = |chat: &str| format!("/api/chats/{chat}/members/{}", bob.id);
    ann.delete(&bobs(&chat)).await.expect(204);
    assert_eq!(places().await, ([both(&kept), both(&public)].concat(), 2));
    // What everybody in the workspace can read stays, where it named the person.
    bob.delete(&format!("/api/chats/{public}/members/me")).await.expect(204);
    assert_eq!(places().await, ([&both(&kept)[..], &[(public.clone(), false)]].concat(), 2));
    // Who is let in again sees again what named them; everybody was others.
    ann.post(&format!("/api/chats/{chat}/members"), json!({ "member_ids": [bob.id] })).await.expect(200);
    assert_eq!(places().await.0[3..], [(chat.clone(), false)]);
    assert_eq!(counts(&bob, &chat).await, (0, 0));
    ann.delete(&format!("/api/chats/{kept}")).await.expect(204);
    assert_eq!(places().await.0, [(public.clone(), false), (chat.clone(), false)]);
    ann.delete(&format!("/api/workspaces/{workspace}/members/{}", bob.id)).await.expect(204);
    assert_eq!(places().await, (vec![], 0));
}

/// A mention and a removal at the same time end as if one had come after the other.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_while_being_mentioned_was_mentioned_before_or_not_at_all() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let cids = format!("/api/chats/{chat}/members/{}", cid.id);
    let mut mentioned = 0;
    for round in 0..20 {
        let edited = bob.send(&chat, "before").await;
        let content = format!("@cid {round}");
        let (sent, edited, removed) = tokio::join!(
            bob.send(&chat, &content),
            edit(&bob, &chat, &edited, "@cid, now"),
            ann.delete(&cids)
        );
        removed.expect(204);
        let page = ann.get(&format!("{}?limit=5", messages(&chat))).await.expect(200);
        let notes = page["messages"].as_array().expect("messages");
        let note = notes.iter().find(|note| note["system"]["type"] == "member_removed").expect("a note");
        let before = sent["seq"].as_i64() < note["seq"].as_i64();
        assert_eq!(sent["mentions"], if before { json!([cid.id]) } else { json!([]) }, "round {round}");
        mentioned += [&sent, &edited].iter().filter(|message| message["mentions"] != json!([])).count();
        assert_eq!(mentions(&cid).await.len(), 0);
        ann.post(&format!("/api/chats/{chat}/members"), json!({ "member_ids": [cid.id] })).await.expect(200);
        assert_eq!(mentions(&cid).await.len(), mentioned, "round {round}");
        assert_eq!(counts(&cid, &chat).await, (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_and_a_purged_chat_leave_no_mentions() {
    let Room { site, ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let left = async || {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from mentions").fetch_one(&site.pool).await;
        count.expect("a count")
    };
    let sent = ann.send(&chat, "@bob @cid @ann").await;
    ann.send(&chat, "@all @bob").await;
    assert_eq!(left().await, 4);
    let password = json!({ "password": "a long enough phrase" });
    bob.request(reqwest::Method::DELETE, "/api/users/me", Some(password)).await.expect(204);
    assert_eq!(left().await, 2);
    assert_eq!(counts(&cid, &chat).await.1, 2);
    assert_eq!(
        ann.get(&path(&chat, &sent)).await.expect(200)["mentions"][0],
        json!(bob.id),
        "somebody was named"
    );
    // Gone with its messages, as the purge deletes them.
    let mut purge = site.pool.begin().await.expect("a transaction");
    for statement in ["set local fechatter.purging = 'on'", "delete from messages"] {
        sqlx::query(statement).execute(&mut *purge).await.expect("a statement");
    }
    purge.commit().await.expect("a commit");
    assert_eq!(left().await, 0);
}
