//! Messages of many senders share a commit; none of them notices the others.

use std::time::Duration;

use fechatter_tests::{Actor, Answer, Site};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

async fn chat(site: &Site) -> (Actor, String) {
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    (ann, format!("/api/chats/{chat}/messages"))
}

/// The contents of the history, oldest first.
async fn history(person: &Actor, messages: &str) -> Vec<String> {
    let page = person.get(&format!("{messages}?limit=100")).await.expect(200);
    let newest_first = page["messages"].as_array().expect("messages").iter();
    newest_first.rev().filter_map(|message| message["content"].as_str().map(str::to_owned)).collect()
}

/// Keeps every writer out until the transaction ends.
async fn hold_the_log(site: &Site) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut held = site.pool.begin().await.expect("a transaction");
    sqlx::query("select take_event_lock()").execute(&mut *held).await.expect("the lock");
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_written_does_not_fail_its_neighbours() {
    let site = Site::start().await;
    let (ann, messages) = chat(&site).await;
    for statement in [
        "create function refuse_poison() returns trigger language plpgsql as $$
         begin
             if new.content = 'poison' then raise exception 'poison'; end if;
             return new;
         end $$",
        "create trigger refuse_poison before insert on messages for each row execute function refuse_poison()",
    ] {
        sqlx::query(statement).execute(&site.pool).await.expect("a trigger");
    }
    for round in 0..5 {
        let held = hold_the_log(&site).await;
        let sends = (0..20).map(|n| {
            let content = if n == round * 3 { "poison".to_owned() } else { format!("{round}.{n}") };
            ann.post(&messages, json!({ "content": content }))
        });
        let release = async {
            sleep(Duration::from_millis(200)).await;
            held.commit().await.expect("a commit");
        };
        let (answers, ()) = tokio::join!(join_all(sends), release);
        for (n, answer) in answers.into_iter().enumerate() {
            if n == round * 3 {
                answer.refuses(500, "internal");
            } else {
                assert_eq!(answer.expect(201)["content"], format!("{round}.{n}"));
            }
        }
    }
    let written = history(&ann, &messages).await;
    assert_eq!(written.len(), 95);
    assert!(!written.contains(&"poison".to_owned()));
}

/// Members, outsiders, used keys and unknown replies in one batch: each gets its own answer.
#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_batch_has_a_result_of_its_own() {
    let site = Site::start().await;
    let (ann, messages) = chat(&site).await;
    let eve = site.sign_up("eve").await;
    let first = ann.post(&messages, json!({ "content": "first", "client_id": "key" })).await.expect(201);
    let nowhere = uuid::Uuid::now_v7();
    let bodies = [
        json!({ "content": "plain" }),
        json!({ "content": "first", "client_id": "key" }),
        json!({ "content": "other", "client_id": "key" }),
        json!({ "content": "reply", "reply_to": first["id"] }),
        json!({ "content": "lost", "reply_to": nowhere }),
        json!({ "content": "twice", "client_id": "twin" }),
        json!({ "content": "twice", "client_id": "twin" }),
    ];
    let held = hold_the_log(&site).await;
    let sends = join_all(bodies.map(|body| ann.post(&messages, body)));
    let outside = eve.post(&messages, json!({ "content": "from outside" }));
    let release = async {
        sleep(Duration::from_millis(200)).await;
        held.commit().await.expect("a commit");
    };
    let (answers, outside, ()) = tokio::join!(sends, outside, release);
    outside.refuses(404, "not_found");
    let [plain, again, reused, reply, lost, one, other]: [Answer; 7] = answers.try_into().expect("seven");
    plain.expect(201);
    assert_eq!(again.expect(200), first);
    reused.refuses(409, "client_id_reused");
    assert_eq!(reply.expect(201)["reply_to"], first["id"]);
    lost.blames("reply_to");
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    assert_eq!(one.body, other.body);
    let page = ann.get(&messages).await.expect(200);
    let seqs: Vec<_> =
        page["messages"].as_array().expect("messages").iter().map(|m| m["seq"].clone()).collect();
    assert_eq!(seqs, [4, 3, 2, 1].map(Value::from), "no seq is lost or given twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_has_sent_all_the_same() {
    let site = Site::start().await;
    let (ann, messages) = chat(&site).await;
    let held = hold_the_log(&site).await;
    for n in 0..10 {
        let body = json!({ "content": format!("bye {n}") }).to_string();
        let request = format!(
            "POST {messages} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            ann.token,
            body.len()
        );
        let mut socket = TcpStream::connect(site.rest.address).await.expect("a connection");
        socket.write_all(request.as_bytes()).await.expect("a request");
        // Long enough for the request to be read, not for it to be answered: the log is held.
        sleep(Duration::from_millis(50)).await;
    }
    held.commit().await.expect("a commit");
    let arrived = async {
        while history(&ann, &messages).await.len() < 10 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), arrived).await.expect("every message");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_queue_is_told_to_come_back() {
    let site = Site::start().await;
    let (ann, messages) = chat(&site).await;
    // 40,000 bytes each: 16 MiB hold 419 of them.
    let long = "\u{1F980}".repeat(10_000);
    // Connections that were answered once: newcomers are let in a few hundred at a time.
    join_all((0..450).map(|_| ann.get("/api/users/me"))).await;
    let held = hold_the_log(&site).await;
    let release = async {
        sleep(Duration::from_secs(1)).await;
        held.commit().await.expect("a commit");
    };
    let sends = join_all((0..450).map(|_| ann.post(&messages, json!({ "content": long }))));
    let (answers, ()) = tokio::join!(sends, release);
    let sent = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.into_iter().filter(|answer| answer.status != 201);
    let refused: Vec<_> = refused.map(|answer| answer.refuses(503, "unavailable")).collect();
    // Where everything takes long, a batch can be waited for in vain, and be written all the same.
    let (full, late): (Vec<_>, Vec<_>) = refused
        .iter()
        .partition(|problem| problem["detail"] == "Too many messages are being sent at the moment.");
    assert!(!full.is_empty(), "450 messages of 40,000 bytes waited");
    assert_eq!(sent + refused.len(), 450);
    let last = ann.get(&format!("{messages}?limit=1")).await.expect(200);
    let written = last["messages"][0]["seq"].as_u64().expect("a number");
    let most = u64::try_from(sent + late.len()).expect("a number");
    assert!((sent as u64..=most).contains(&written), "what was refused was not written: {written} of {most}");
    ann.post(&messages, json!({ "content": "there is room again" })).await.expect(201);
}
