//! What streams tell of threads, and whom.

use super::*;

const SILENCE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_hears_of_replies_and_each_of_how_they_keep_the_thread() {
    let Room { ann, bob, cid, chat, .. } = Room::of_three("Group").await;
    let root = ann.send(&chat, "root").await;
    let position = ann.get("/api/chats").await.event_id();
    let (mut anns, mut bobs, mut cids) = (
        ann.stream(Some(&position)).await,
        bob.stream(Some(&position)).await,
        cid.stream(Some(&position)).await,
    );
    let first = reply(&bob, &root, "first").await;
    for stream in [&mut anns, &mut bobs, &mut cids] {
        let message = stream.expect_message("first").await.data;
        assert_eq!((&message["thread_root"], &message["in_chat"]), (&root["id"], &json!(false)));
        let replied = json!({
            "chat_id": chat, "type": "replied", "message_id": root["id"], "reply_count": 1,
            "last_reply_at": first["created_at"], "participants": [first["sender"]],
        });
        assert_eq!(stream.expect("thread_update").await.data, replied);
    }
    let own = |kind: &str, read: &Value, unread: i64| json!({ "chat_id": chat, "type": kind, "message_id": root["id"], "last_read_seq": read, "unread_count": unread });
    assert_eq!(anns.expect("thread_update").await.data, own("followed", &root["seq"], 1));
    assert_eq!(bobs.expect("thread_update").await.data, own("followed", &first["seq"], 0));

    ann.put(&format!("{}/read", thread(&root)), json!({ "message_id": first["id"] })).await.expect(200);
    assert_eq!(anns.expect("thread_update").await.data, own("read", &first["seq"], 0));
    bob.delete(&format!("{}/follow", thread(&root))).await.expect(200);
    assert_eq!(bobs.expect("thread_update").await.data["type"], "unfollowed");
    // The same again tells nothing.
    bob.delete(&format!("{}/follow", thread(&root))).await.expect(200);
    ann.put(&format!("{}/read", thread(&root)), json!({ "message_id": first["id"] })).await.expect(200);

    bob.delete(&message(&first)).await.expect(204);
    for stream in [&mut anns, &mut bobs, &mut cids] {
        stream.expect("message_delete").await;
        let deleted = json!({
            "chat_id": chat, "type": "reply_deleted", "message_id": root["id"], "reply_count": 0,
            "last_reply_at": null, "participants": [],
        });
        assert_eq!(stream.expect("thread_update").await.data, deleted);
    }
    // Who follows is told so once there is something to be followed, again.
    let second = reply(&cid, &root, "second").await;
    for (stream, read, unread) in [(&mut anns, &first["seq"], 1), (&mut cids, &second["seq"], 0)] {
        stream.expect_message("second").await;
        assert_eq!(stream.expect("thread_update").await.data["type"], "replied");
        assert_eq!(stream.expect("thread_update").await.data, own("followed", read, unread));
    }
    bobs.expect_message("second").await;
    assert_eq!(bobs.expect("thread_update").await.data["type"], "replied");
    for mut stream in [anns, bobs, cids] {
        assert_eq!(stream.during(SILENCE).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_hears_anything_also_not_later() {
    let Room { ann, bob, cid, chat, workspace, .. } = Room::of_two("PrivateChannel").await;
    let root = ann.send(&chat, "root").await;
    let position = cid.get("/api/chats").await.event_id();
    let mut cids = cid.stream(None).await;
    reply(&bob, &root, "secret").await;
    ann.put(&format!("{}/read", thread(&root)), json!({ "seq": 100 })).await.expect(200);
    assert_eq!(cids.during(SILENCE).await, []);
    ann.delete(&format!("/api/chats/{chat}/members/{}", bob.id)).await.expect(204);
    reply(&ann, &root, "another secret").await;
    // What bob saw of it is withheld once they are out; that they followed is theirs.
    let mut bobs = bob.stream(Some(&position)).await;
    let mut events = bobs.during(SILENCE).await;
    events.retain(|event| event.data["type"] != "followed");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].data["type"], "member_removed");
    for person in [&bob, &cid] {
        let mut stream = person.stream(Some(&position)).await;
        let said = format!("{:?}", stream.during(SILENCE).await);
        assert!(!said.contains("secret") && !said.contains("reply_count"), "{said}");
        assert_eq!(ids(&person.get("/api/threads").await.expect(200)["threads"]), Vec::<String>::new());
    }
    let _ = workspace;
}
