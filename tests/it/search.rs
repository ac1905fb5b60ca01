//! Searching over HTTP: the language of queries, and who finds what.

use std::fmt::Write as _;

use chat_core::{clock::Clock, limits::Allowance};
use fechatter_tests::{Actor, Answer, Room, Site, actor::id_of};
use futures::future::join_all;
use serde_json::{Value, json};

/// A path with a query, whose values are encoded byte by byte.
pub(crate) fn path(parameters: &[(&str, &str)]) -> String {
    let encoded = |value: &str| {
        value.bytes().fold(String::new(), |mut encoded, byte| {
            write!(encoded, "%{byte:02X}").expect("text");
            encoded
        })
    };
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("/api/search?{}", parameters.join("&"))
}

async fn search(person: &Actor, query: &str) -> Answer {
    person.get(&path(&[("q", query)])).await
}

/// The texts that somebody finds.
async fn found(person: &Actor, query: &str) -> Vec<String> {
    texts(&search(person, query).await.expect(200))
}

fn texts(page: &Value) -> Vec<String> {
    let results = page["results"].as_array().expect("results");
    results.iter().map(|result| result["message"]["content"].as_str().expect("content").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn words_phrases_beginnings_and_what_is_left_out() {
    let Room { ann, bob, chat, .. } = Room::of_two("Group").await;
    for text in [
        "The deploy has failed again",
        "deploy: again failed? see error.rs",
        "DEPLOYMENT is fine",
        "Größe und Straße",
        "Ёлка в лесу",
        "PostgreSQL教程很好",
        "今天 全文検索 テスト",
        "ﾊﾞｽで行く",
        "한국어 검색",
        "ภาษาไทย",
        "السَّلامُ عليكم",
        "done 👍🏽 🇩🇪🇺🇸",
        "<script>alert('x')</script>",
    ] {
        ann.send(&chat, text).await;
    }
    for (query, expected) in [
        ("deploy", vec!["deploy: again failed? see error.rs", "The deploy has failed again"]),
        ("FAILED Deploy", vec!["deploy: again failed? see error.rs", "The deploy has failed again"]),
        ("\"failed again\"", vec!["The deploy has failed again"]),
        ("\u{201C}failed again\u{201D}", vec!["The deploy has failed again"]),
        ("\"failed again", vec!["The deploy has failed again"]),
        ("deploy -\"failed again\"", vec!["deploy: again failed? see error.rs"]),
        ("deploy* -failed", vec!["DEPLOYMENT is fine"]),
        ("error.rs", vec!["deploy: again failed? see error.rs"]),
        ("--error", vec!["deploy: again failed? see error.rs"]),
        ("strasse", vec!["Größe und Straße"]),
        ("GROSSE", vec!["Größe und Straße"]),
        ("елка", vec!["Ёлка в лесу"]),
        ("教", vec!["PostgreSQL教程很好"]),
        ("程很", vec!["PostgreSQL教程很好"]),
        ("postgresql教程", vec!["PostgreSQL教程很好"]),
        ("教很", vec![]),
        ("検索", vec!["今天 全文検索 テスト"]),
        ("文検索テ", vec![]),
        ("バス", vec!["ﾊﾞｽで行く"]),
        ("국어", vec!["한국어 검색"]),
        ("ไทย", vec!["ภาษาไทย"]),
        ("السلام", vec!["السَّلامُ عليكم"]),
        ("👍", vec!["done 👍🏽 🇩🇪🇺🇸"]),
        ("👍🏽", vec!["done 👍🏽 🇩🇪🇺🇸"]),
        ("👍🏿", vec![]),
        ("🇺🇸", vec!["done 👍🏽 🇩🇪🇺🇸"]),
        ("🇪🇺", vec![]),
        ("ＡＬＥＲＴ", vec!["<script>alert('x')</script>"]),
        ("deploy nowhere", vec![]),
        ("or and not & | ! <-> :*", vec![]),
        ("' \\ deploy'; drop table messages", vec![]),
    ] {
        assert_eq!(found(&bob, query).await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn highlights_count_code_points() {
    let Room { ann, chat, .. } = Room::of_two("Group").await;
    for (text, query, expected) in [
        ("😀 one two one", "one", json!([{ "start": 2, "end": 5 }, { "start": 10, "end": 13 }])),
        ("a\u{301}b ÁB", "áb", json!([{ "start": 0, "end": 3 }, { "start": 4, "end": 6 }])),
        ("x 全文検索 y", "検索 全文", json!([{ "start": 2, "end": 6 }])),
        ("Die Straße", "strass*", json!([{ "start": 4, "end": 10 }])),
        ("\u{1F469}\u{200D}\u{1F467}!", "\u{1F467}", json!([{ "start": 2, "end": 3 }])),
        ("error.rs", "\"ERROR rs\"", json!([{ "start": 0, "end": 8 }])),
    ] {
        let sent = ann.send(&chat, text).await;
        let page = search(&ann, query).await.expect(200);
        assert_eq!(page["results"][0]["highlights"], expected, "{query} in {text}");
        assert_eq!(page["results"][0]["message"], sent, "the message as REST shows it");
        assert_eq!(page["results"][0]["chat"], json!({ "id": chat, "name": "a chat", "chat_type": "Group" }));
        ann.delete(&format!("/api/chats/{chat}/messages/{}", id_of(&sent))).await.expect(204);
    }
    let everywhere = "no ".repeat(3_000);
    ann.send(&chat, &everywhere).await;
    let page = search(&ann, "no").await.expect(200);
    assert_eq!(page["results"][0]["highlights"].as_array().map(Vec::len), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_a_query_or_has_a_flaw_with_its_place() {
    let Room { ann, chat, .. } = Room::of_two("Group").await;
    ann.send(&chat, "the and or not").await;
    let words = |count: usize| vec!["word"; count].join(" ");
    for (query, says) in [
        (String::new(), "length is lower than 1"),
        (" ".into(), "at character 0: there is nothing to look for"),
        ("\"\"".into(), "at character 0: there is nothing to look for"),
        ("\"".into(), "at character 0: there is nothing to look for"),
        ("*".into(), "at character 0: there is nothing to look for"),
        ("- * & | ! ( ) \" :".into(), "at character 0: there is nothing to look for"),
        ("\u{200D}\u{FE0F}\u{301}".into(), "at character 0: there is nothing to look for"),
        ("-word".into(), "at character 0: say what to find"),
        ("-word -\"a phrase\"".into(), "at character 0: say what to find"),
        ("word -from:ann".into(), "at character 5: a filter cannot be left out"),
        ("word from:".into(), "at character 5: a filter needs a value"),
        ("слово in: x".into(), "at character 6: a filter needs a value"),
        ("in:\"\"".into(), "at character 0: a filter needs a value"),
        ("before:yesterday".into(), "at character 0: a date is written as"),
        ("x after:2026-02-30".into(), "at character 2: a date is written as"),
        ("after:+262142-12-31".into(), "at character 0: a date is written as"),
        ("after:２０２６-01-01".into(), "at character 0: a date is written as"),
        ("has:beer".into(), "at character 0: only has:file"),
        ("mentions:bob".into(), "at character 0: only mentions:me"),
        (words(33), "at character 160: a query has at most 32"),
        (words(200), "at character 160: a query has at most 32"),
        (words(2_000), "length is greater than 1000"),
        ("x".repeat(10_000), "length is greater than 1000"),
        ("nul \0".into(), "must not contain a NUL character"),
    ] {
        let problem = search(&ann, &query).await.blames("q");
        let message = problem["errors"][0]["message"].as_str().expect("a message");
        assert!(message.contains(says), "{query}: {message}");
    }
    for query in [
        "the".into(),
        "the and or not".into(),
        "THE -word".into(),
        "\u{202E}the\u{202C}".into(),
        words(31) + " the",
        "the ".to_owned() + &"?!".repeat(400),
        "before:9999-12-31 the".into(),
        "after:0001-01-01 the".into(),
        "from:me the".into(),
    ] {
        let page = search(&ann, &query).await.expect(200);
        let all = !query.contains("word ");
        assert_eq!(page["results"].as_array().map(Vec::len), Some(usize::from(all)), "{query}");
    }
    let nothing: [(&str, &str); 7] = [
        ("limit", "0"),
        ("limit", "101"),
        ("sort", "worst"),
        ("cursor", "x"),
        ("cursor", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("workspace_id", "x"),
        ("page", "2"),
    ];
    for (name, value) in nothing {
        ann.get(&path(&[("q", "the"), (name, value)])).await.blames(name);
    }
    ann.get("/api/search").await.blames("q");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_the_search() {
    let Room { site, ann, bob, workspace, chat, .. } = Room::of_two("Group").await;
    let dm = ann.make_chat(&workspace, "Single", &[&bob]).await;
    ann.send(&chat, "plan by ann").await;
    bob.send(&chat, "plan by bob for @ann").await;
    bob.send(&dm, "plan in private").await;
    bob.send(&dm, "unrelated").await;
    // The id goes with the time: both are the server's.
    let old: uuid::Uuid = sqlx::query_scalar(
        "update messages set created_at = now() - interval '10 days',
            id = (lpad(to_hex((extract(epoch from now() - interval '10 days') * 1000)::bigint), 12, '0')
                || '70008000000000000001')::uuid
         where id = $1::uuid returning id",
    )
    .bind(id_of(&bob.send(&chat, "an old plan").await))
    .fetch_one(&site.pool)
    .await
    .expect("a superuser");
    let day =
        |days: i64| (Clock::system().now() - chrono::TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    let handle = ann.get("/api/users/me").await.expect(200)["username"].as_str().expect("one").to_owned();
    for (query, expected) in [
        (format!("plan from:{handle}"), vec!["plan by ann"]),
        (format!("plan from:@{handle} from:nobody"), vec!["plan by ann"]),
        ("plan from:nobody".into(), vec![]),
        ("plan from:me".into(), vec!["plan by ann"]),
        ("from:me".into(), vec!["plan by ann"]),
        ("plan in:\"A Chat\"".into(), vec!["plan by bob for @ann", "plan by ann", "an old plan"]),
        (format!("plan in:{chat} from:me"), vec!["plan by ann"]),
        ("plan in:@bob".into(), vec!["plan in private"]),
        ("in:bob".into(), vec!["unrelated", "plan in private"]),
        (format!("plan before:{}", day(5)), vec!["an old plan"]),
        (format!("plan before:{}", day(11)), vec![]),
        (format!("plan after:{} in:@bob", day(5)), vec!["plan in private"]),
        (format!("plan after:{}", day(-1)), vec![]),
        ("plan mentions:me".into(), vec!["plan by bob for @ann"]),
        ("mentions:me in:@bob".into(), vec![]),
        ("plan has:file".into(), vec![]),
        ("has:file".into(), vec![]),
    ] {
        assert_eq!(found(&ann, &query).await, expected, "{query}");
    }
    sqlx::query("update messages set files = '[]' where id = $1")
        .bind(old)
        .execute(&site.pool)
        .await
        .expect("a superuser");
    assert_eq!(found(&ann, "plan has:file").await, ["an old plan"]);
    assert_eq!(found(&ann, "has:FILE").await, ["an old plan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_show_at_once_and_leave_nothing() {
    let Room { site, ann, bob, chat, .. } = Room::of_two("Group").await;
    let path = format!("/api/chats/{chat}/messages/{}", id_of(&ann.send(&chat, "zanzibar 今日").await));
    assert_eq!(found(&bob, "zanzibar").await.len(), 1);
    ann.patch(&path, json!({ "content": "kilimanjaro" })).await.expect(200);
    assert_eq!(found(&bob, "zanzibar").await.len(), 0);
    assert_eq!(found(&bob, "今").await.len(), 0);
    assert_eq!(found(&bob, "kilimanjaro").await.len(), 1);
    ann.delete(&path).await.expect(204);
    assert_eq!(found(&bob, "kilimanjaro").await.len(), 0);
    assert_eq!(found(&bob, "from:ann").await.len(), 0);
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from messages where content is not null)
            + (select count(*) from message_edits)
            + (select count(*) from ts_stat('select message_terms(content) from messages'))",
    )
    .fetch_one(&site.pool)
    .await
    .expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_each_result_once_in_a_stable_order() {
    let Room { ann, bob, chat, .. } = Room::of_two("Group").await;
    for n in 0..25 {
        ann.send(&chat, &format!("{}{n}", "fox ".repeat(n % 5 + 1))).await;
    }
    for sort in ["newest", "best"] {
        let all = bob.get(&path(&[("q", "fox"), ("sort", sort), ("limit", "100")])).await.expect(200);
        assert_eq!(all["has_more"], false);
        assert_eq!(all["next_cursor"], Value::Null);
        let all = texts(&all);
        assert_eq!(all.len(), 25, "{sort}");
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut parameters = vec![("q", "fox"), ("sort", sort), ("limit", "4")];
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let answer = bob.get(&path(&parameters)).await;
            assert!(answer.headers.contains_key("x-event-id"));
            let page = answer.expect(200);
            seen.extend(texts(&page));
            // What comes meanwhile is on no later page.
            ann.send(&chat, "owl").await;
            let late = ann.send(&chat, "fox fox fox fox fox fox").await;
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            assert_eq!(page["has_more"], cursor.is_some());
            if cursor.is_none() {
                ann.delete(&format!("/api/chats/{chat}/messages/{}", id_of(&late))).await.expect(204);
                break;
            }
            ann.delete(&format!("/api/chats/{chat}/messages/{}", id_of(&late))).await.expect(204);
        }
        assert_eq!(seen, all, "{sort}");
    }
    let best = bob.get(&path(&[("q", "fox"), ("sort", "best")])).await.expect(200);
    assert!(texts(&best)[0].starts_with("fox fox fox fox fox"), "{best}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_finds_nothing() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let (bob, carol, outsider) =
        (site.sign_up("bob").await, site.sign_up("carol").await, site.sign_up("outsider").await);
    for person in [&bob, &carol] {
        ann.welcome(&workspace, person).await;
    }
    let elsewhere = outsider.make_workspace("Elsewhere").await;
    let private = ann.make_chat(&workspace, "PrivateChannel", &[&bob]).await;
    let public = ann.make_chat(&workspace, "PublicChannel", &[]).await;
    ann.send(&private, "secret in the private one").await;
    ann.send(&public, "secret in the public one").await;
    let both = ["secret in the public one", "secret in the private one"];
    assert_eq!(found(&ann, "secret").await, both);
    assert_eq!(found(&bob, "secret").await, both);
    assert_eq!(found(&carol, "secret").await, both[..1]);
    assert_eq!(found(&outsider, "secret").await, [""; 0]);
    // A chat that is not theirs is like none.
    let nowhere = uuid::Uuid::now_v7().to_string();
    for query in [format!("secret in:{private}"), format!("secret in:{nowhere}"), format!("in:{private}")] {
        let page = search(&carol, &query).await.expect(200);
        assert_eq!(page, json!({ "results": [], "has_more": false, "next_cursor": null }), "{query}");
    }
    // As is a message behind which a page would begin.
    let cursor = |id: &str| {
        let id = uuid::Uuid::parse_str(id).expect("an id");
        fechatter_server::search::types::Cursor::Newest(chat_core::ids::MessageId(id)).shown()
    };
    let beyond = cursor("ffffffff-ffff-7fff-bfff-ffffffffffff");
    let page = carol.get(&path(&[("q", "secret"), ("cursor", &beyond)])).await.expect(200);
    assert_eq!(texts(&page), both[..1]);
    let of = |workspace: &str| path(&[("q", "secret"), ("workspace_id", workspace)]);
    assert_eq!(texts(&bob.get(&of(&workspace)).await.expect(200)), both);
    bob.get(&of(&elsewhere)).await.refuses(404, "not_found");
    bob.get(&of(&nowhere)).await.refuses(404, "not_found");
    assert_eq!(texts(&outsider.get(&of(&elsewhere)).await.expect(200)), [""; 0]);

    // Removed from the chat, later from the workspace.
    ann.delete(&format!("/api/chats/{private}/members/{}", bob.id)).await.expect(204);
    assert_eq!(found(&bob, "secret").await, both[..1]);
    ann.delete(&format!("/api/workspaces/{workspace}/members/{}", bob.id)).await.expect(204);
    assert_eq!(found(&bob, "secret").await, [""; 0]);
    // Who joins later reads what was said before.
    let members = json!({ "member_ids": [carol.id] });
    ann.post(&format!("/api/chats/{private}/members"), members).await.expect(200);
    assert_eq!(found(&carol, "secret").await, both);
    ann.delete(&format!("/api/chats/{private}")).await.expect(204);
    assert_eq!(found(&carol, "secret").await, both[..1]);
    ann.delete(&format!("/api/workspaces/{workspace}")).await.expect(204);
    assert_eq!(found(&ann, "secret").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_with_thousands_of_marks_is_sent_like_any_other() {
    let Room { ann, chat, .. } = Room::of_two("Group").await;
    // They are brought into their order, which must not take longer than a statement may.
    let texts = [["\u{344}", "\u{316}"], ["\u{E48}", "\u{E38}"]];
    let texts = texts.map(|marks| format!("x{}", marks.map(|mark| mark.repeat(4_999)).concat()));
    join_all((0..20).flat_map(|_| texts.iter().map(|text| ann.send(&chat, text)))).await;
    assert_eq!(found(&ann, "x").await.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_have_an_allowance_of_their_own() {
    let site = Site::start_with(|rest, _| {
        rest.limits.enabled = true;
        rest.limits.searches = Allowance::new(0.001, 2).expect("in range");
    })
    .await;
    let ann = site.sign_up("ann").await;
    for _ in 0..2 {
        search(&ann, "x").await.expect(200);
    }
    search(&ann, "x").await.refuses(429, "rate_limited");
    ann.get("/api/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_takes_too_long_is_told_to_come_back() {
    let Room { site, ann, chat, .. } = Room::of_two("Group").await;
    ann.send(&chat, "hello").await;
    // Whoever holds the table makes every statement about it wait, like one that reads too much.
    let mut tx = site.pool.begin().await.expect("a transaction");
    sqlx::query("lock table messages in access exclusive mode").execute(&mut *tx).await.expect("the lock");
    let answer = search(&ann, "hello").await;
    assert!(answer.headers.contains_key("retry-after"));
    answer.refuses(503, "unavailable");
    tx.rollback().await.expect("the end");
    search(&ann, "hello").await.expect(200);
}
