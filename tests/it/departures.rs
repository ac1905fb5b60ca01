//! Who is removed is not given what is written after that by an event from before, though all of it be read at once.

use std::time::Duration;

use fechatter_tests::{Site, Stream};
use serde_json::json;
use uuid::Uuid;

/// Long enough for anything wrong to arrive.
const QUIET: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edited {
    /// The first of the messages.
    First,
    /// What they quote.
    Quoted,
    /// One from long before.
    Unrelated,
}

/// Has messages written, bob removed and a message edited in one transaction, so that one look at the log finds it
/// all, or as much of it as fits into a batch. Answers bob's stream.
async fn removed_between(messages: i32, edited: Edited) -> (Site, Stream) {
    let site = Site::start().await;
    let (ann, bob, cid) = (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("cid").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    ann.welcome(&workspace, &cid).await;
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[&bob, &cid]).await;
    let old = ann.send(&chat, "first words").await["id"].as_str().expect("an id").to_owned();
    let quoting = edited == Edited::Quoted;
    let (bobs, mut cids) = (bob.stream(None).await, cid.stream(None).await);

    let first = Uuid::now_v7();
    let mut transaction = site.pool.begin().await.expect("a transaction");
    sqlx::query(
        "with c as (update chats set last_seq = last_seq + $3 where id = $1::uuid returning last_seq)
         insert into messages (id, chat_id, seq, sender_id, content, reply_to)
         select case n when 1 then $4 else gen_random_uuid() end, $1::uuid, last_seq - $3 + n, $2::uuid,
            'first words', $5::uuid
         from c, generate_series(1, $3) n order by n",
    )
    .bind(&chat)
    .bind(&ann.id)
    .bind(messages)
    .bind(first)
    .bind(quoting.then_some(&old))
    .execute(&mut *transaction)
    .await
    .expect("an insert");
    sqlx::query("delete from chat_members where chat_id = $1::uuid and user_id = $2::uuid")
        .bind(&chat)
        .bind(&bob.id)
        .execute(&mut *transaction)
        .await
        .expect("a deletion");
    let edited = if edited == Edited::First { first.to_string() } else { old };
    sqlx::query(
        "update messages set content = 'later words', version = version + 1, edited_at = now()
         where chat_id = $1::uuid and id = $2::uuid",
    )
    .bind(&chat)
    .bind(&edited)
    .execute(&mut *transaction)
    .await
    .expect("an update");
    transaction.commit().await.expect("a commit");

    // Who stays is given everything.
    for _ in 0..messages {
        assert_eq!(cids.expect("message").await.data["chat_id"], json!(chat));
    }
    cids.expect_update("member_removed").await;
    assert_eq!(cids.expect("message_update").await.data["content"], "later words");
    (site, bobs)
}

/// Instead of what was changed after bob left he is told to reload, and goes on from there.
async fn is_told_to_reload_and_of_the_removal(messages: i32, edited: Edited) {
    let (_site, mut bobs) = removed_between(messages, edited).await;
    assert_eq!(bobs.expect("reset").await.data["reason"], "too_far");
    bobs.expect_update("member_removed").await;
    assert_eq!(bobs.during(QUIET).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_says_after_a_removal_stays_in_the_chat() {
    is_told_to_reload_and_of_the_removal(1, Edited::First).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_quoted_message_says_after_a_removal_stays_in_the_chat() {
    is_told_to_reload_and_of_the_removal(1, Edited::Quoted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_after_a_removal_that_the_next_batch_tells_stays_in_the_chat() {
    is_told_to_reload_and_of_the_removal(1_200, Edited::First).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_given_all_that_was_not_changed_after_that() {
    let (_site, mut bobs) = removed_between(3, Edited::Unrelated).await;
    for _ in 0..3 {
        assert_eq!(bobs.expect("message").await.data["content"], "first words");
    }
    bobs.expect_update("member_removed").await;
    assert_eq!(bobs.during(QUIET).await, []);
}
