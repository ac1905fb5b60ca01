//! Edits: what they add is told once, what they take out counts no more.

use super::*;

/// What a stream told until it was quiet, by name and by the seq of the message.
async fn told(stream: &mut fechatter_tests::Stream) -> Vec<(String, i64)> {
    let events = stream.during(QUIET).await.into_iter();
    events.map(|event| (event.event, event.data["seq"].as_i64().expect("a seq"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_tells_whom_it_mentions_for_the_first_time() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let (mut bobs, mut cids, mut anns) =
        (bob.stream(None).await, cid.stream(None).await, ann.stream(None).await);
    let sent = ann.send(&chat, "@bob").await;
    let update = || ("message_update".to_owned(), 1);
    let mention = || ("mention".to_owned(), 1);
    let message = vec![("message".to_owned(), 1)];
    for stream in [&mut bobs, &mut cids, &mut anns] {
        assert_eq!(told(stream).await, message, "the message is enough");
    }
    assert_eq!((counts(&bob, &chat).await, counts(&cid, &chat).await), ((1, 1), (1, 0)));

    let edited = edit(&ann, &chat, &sent, "@cid, @ann").await;
    assert_eq!(edited["mentions"], json!([cid.id, ann.id]));
    assert_eq!(told(&mut bobs).await, [update()]);
    assert_eq!(told(&mut cids).await, [update(), mention()]);
    assert_eq!(told(&mut anns).await, [update()]);
    assert_eq!((counts(&bob, &chat).await, counts(&cid, &chat).await), ((1, 0), (1, 1)));
    assert_eq!((mentions(&bob).await.len(), mentions(&cid).await), (0, vec!["@cid, @ann".to_owned()]));

    // Out and in again: counted, and not told again.
    edit(&ann, &chat, &sent, "nobody").await;
    assert_eq!((counts(&bob, &chat).await, counts(&cid, &chat).await), ((1, 0), (1, 0)));
    edit(&ann, &chat, &sent, "@bob @cid").await;
    for stream in [&mut bobs, &mut cids, &mut anns] {
        assert_eq!(told(stream).await, [update(), update()]);
    }
    assert_eq!((counts(&bob, &chat).await, counts(&cid, &chat).await), ((1, 1), (1, 1)));

    // What changes nothing says nothing.
    edit(&ann, &chat, &sent, "@bob @cid").await;
    assert_eq!(told(&mut cids).await, []);

    ann.delete(&path(&chat, &sent)).await.expect(204);
    assert_eq!(told(&mut cids).await, [("message_delete".to_owned(), 1)]);
    assert_eq!((counts(&bob, &chat).await, counts(&cid, &chat).await), ((0, 0), (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_calls_everybody_tells_everybody_once() {
    let Room { ann, bob, cid, chat, .. } = Room::of_two("PublicChannel").await;
    let sent = ann.send(&chat, "one").await;
    let mut bobs = bob.stream(None).await;
    let update = || ("message_update".to_owned(), 1);
    let mention = || ("mention".to_owned(), 1);
    edit(&ann, &chat, &sent, "@all, and @bob").await;
    assert_eq!(told(&mut bobs).await, [update(), mention()], "not once more for the name");
    assert_eq!(counts(&bob, &chat).await, (1, 1));
    edit(&ann, &chat, &sent, "one").await;
    edit(&ann, &chat, &sent, "@all").await;
    assert_eq!(told(&mut bobs).await, [update(), update()]);
    assert_eq!(counts(&bob, &chat).await, (1, 1));

    // Who comes later is not meant by what was said before, until somebody names them.
    cid.act(&format!("/api/chats/{chat}/join")).await.expect(200);
    let unread = json!({ "message_id": sent["id"] });
    cid.put(&format!("/api/chats/{chat}/unread"), unread).await.expect(200);
    assert_eq!((counts(&cid, &chat).await, mentions(&cid).await.len()), ((1, 0), 0));
    let (mut cids, _) = (cid.stream(None).await, bobs.during(QUIET).await);
    edit(&ann, &chat, &sent, "@all, and @cid and @bob").await;
    assert_eq!(told(&mut cids).await, [update(), mention()]);
    assert_eq!(told(&mut bobs).await, [update()], "bob heard of it with everybody");
    assert_eq!((counts(&cid, &chat).await, mentions(&cid).await.len()), ((1, 1), 1));
}

/// What a stream did not hear, it hears when it resumes; on every server.
#[tokio::test(flavor = "multi_thread")]
async fn a_mention_by_an_edit_is_replayed() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let sent = ann.send(&chat, "one").await;
    let position = bob.get("/api/chats").await.event_id();
    edit(&ann, &chat, &sent, "@bob").await;
    for _ in 0..2 {
        let mut stream = bob.stream(Some(&position)).await;
        assert_eq!(stream.expect("message_update").await.data["mentions"], json!([bob.id]));
        let mention = stream.expect("mention").await;
        assert_eq!(mention.data, json!({ "chat_id": chat, "message_id": sent["id"], "seq": 1 }));
        assert_eq!(ann.stream(Some(&position)).await.during(QUIET).await.len(), 1);
    }
    // By hand, past the servers: counts, lists and events follow all the same.
    sqlx::query("update messages set content = '@all', mentions = null, mentions_all = true")
        .execute(&site.pool)
        .await
        .expect("an update");
    let mut stream = bob.stream(Some(&position)).await;
    assert_eq!(stream.until("message_update").await.data["mentions_all"], true);
    assert_eq!(counts(&bob, &chat).await, (1, 1));
    assert_eq!(mentions(&bob).await, ["@all"]);
}
