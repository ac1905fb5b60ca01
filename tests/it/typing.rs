//! Who is writing: told to the other members, at most once, and to nobody else.

use fechatter_tests::Room;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_others_are_told_once_and_nobody_else_is() {
    let room = Room::of_two("PrivateChannel").await;
    let (ann, bob, cid, chat) = (&room.ann, &room.bob, &room.cid, &room.chat);
    let (mut anns, mut bobs, mut cids) =
        (ann.stream(None).await, bob.stream(None).await, cid.stream(None).await);
    let typing = format!("/api/chats/{chat}/typing");
    for _ in 0..2 {
        ann.act(&typing).await.expect(204);
    }
    ann.send(chat, "so").await;
    let told = bobs.expect("typing").await;
    assert_eq!(told.data, json!({ "chat_id": chat, "user_id": ann.id }));
    // The second one came too soon, one is not told of oneself, and who is not in the chat hears of none of it.
    bobs.expect_message("so").await;
    anns.expect_message("so").await;
    ann.make_chat(&room.workspace, "Single", &[cid]).await;
    cids.expect("chat_update").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_not_moved_by_what_cannot_be_resumed() {
    let room = Room::of_two("Group").await;
    let (ann, bob, chat) = (&room.ann, &room.bob, &room.chat);
    let mut bobs = bob.stream(None).await;
    ann.send(chat, "one").await;
    let one = bobs.expect_message("one").await;
    ann.act(&format!("/api/chats/{chat}/typing")).await.expect(204);
    assert_eq!(bobs.expect("typing").await.id, one.id, "there is no id line");
    ann.send(chat, "two").await;
    drop(bobs);
    bob.stream(Some(&one.id)).await.expect_message("two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_is_not_told_and_who_may_not_send_cannot_tell() {
    let room = Room::of_three("PrivateChannel").await;
    let (ann, bob, cid, chat) = (&room.ann, &room.bob, &room.cid, &room.chat);
    let typing = format!("/api/chats/{chat}/typing");
    let mut bobs = bob.stream(None).await;
    ann.delete(&format!("/api/chats/{chat}/members/{}", bob.id)).await.expect(204);
    bob.act(&typing).await.expect(404);
    cid.act(&typing).await.expect(204);
    bobs.expect("chat_update").await;
    ann.make_chat(&room.workspace, "Single", &[bob]).await;
    bobs.expect("chat_update").await;
    ann.act(&format!("/api/chats/{chat}/archive")).await.expect(200);
    let refused = ann.act(&typing).await;
    assert_eq!(refused.expect(409)["code"], "archived");
}
