//! Who is removed is not given what is written after that by an event from before, though all of it be read at once.

use std::time::Duration;

use fechatter_tests::Site;
use serde_json::json;
use uuid::Uuid;

/// Long enough for anything wrong to arrive.
const QUIET: Duration = Duration::from_millis(300);

/// Has messages written, bob removed and a message edited in one transaction, so that one look at the log finds it
/// all, or as much of it as fits into a batch. The edited message is the first of them, or else the one they quote.
async fn removed_between(messages: i32, quoting: bool) {
    let site = Site::start().await;
    let (ann, bob, cid) = (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("cid").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    ann.welcome(&workspace, &cid).await;
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[&bob, &cid]).await;
    let quoted = ann.send(&chat, "first words").await["id"].as_str().expect("an id").to_owned();
    let (mut bobs, mut cids) = (bob.stream(None).await, cid.stream(None).await);

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
    .bind(quoting.then_some(&quoted))
    .execute(&mut *transaction)
    .await
    .expect("an insert");
    sqlx::query("delete from chat_members where chat_id = $1::uuid and user_id = $2::uuid")
        .bind(&chat)
        .bind(&bob.id)
        .execute(&mut *transaction)
        .await
        .expect("a deletion");
    let edited = if quoting { quoted } else { first.to_string() };
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
    assert_eq!(bobs.expect_update("member_removed").await.data["user_id"], json!(bob.id));
    assert_eq!(bobs.during(QUIET).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_says_after_a_removal_stays_in_the_chat() {
    removed_between(1, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_quoted_message_says_after_a_removal_stays_in_the_chat() {
    removed_between(1, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_after_a_removal_that_the_next_batch_tells_stays_in_the_chat() {
    removed_between(1_200, false).await;
}
