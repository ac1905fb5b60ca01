//! Walking the history yields every message once, whatever the page sizes.

use std::collections::BTreeSet;

use fechatter_tests::{Site, actor::id_of};
use proptest::{
    collection::vec,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn any_walk_in_either_direction_sees_every_message_once_while_others_send_and_delete() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let path = format!("/api/chats/{chat}/messages");
    let mut seqs = 0_i64;
    let mut ids = Vec::new();
    for _ in 0..25 {
        ids.push(id_of(&ann.send(&chat, "x").await));
        seqs += 1;
    }
    let first = ids[0].clone();
    let mut gone = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..12 {
        let steps = vec((1_i64..8, 0_usize..4, 0_usize..1000), 40);
        let sizes = steps.new_tree(&mut runner).expect("a case").current();
        for forward in [false, true] {
            let (mut seen, mut cursor, start) = (Vec::new(), None::<String>, seqs);
            for (limit, meanwhile, which) in &sizes {
                let query = match (&cursor, forward) {
                    (None, false) => String::new(),
                    (None, true) => format!("&after={first}"),
                    (Some(id), false) => format!("&before={id}"),
                    (Some(id), true) => format!("&after={id}"),
                };
                let page = ann.get(&format!("{path}?limit={limit}{query}")).await.expect(200);
                let messages = page["messages"].as_array().expect("messages");
                seen.extend(messages.iter().filter_map(|message| message["seq"].as_i64()));
                for message in messages {
                    let deleted = gone.contains(&id_of(message));
                    assert_eq!(message["content"] == Value::Null, deleted, "{message}");
                }
                cursor = messages.last().map(id_of).or(cursor);
                if page["has_more"] == false {
                    break;
                }
                assert!(!messages.is_empty(), "there were to be more");
                if *meanwhile == 1 && seqs < start + 3 {
                    ids.push(id_of(&ann.send(&chat, "meanwhile").await));
                    seqs += 1;
                }
                // Once in a while the one that the walk stands on.
                if *meanwhile == 2 && gone.len() < ids.len() / 2 {
                    let on_it = cursor.clone().filter(|_| which.is_multiple_of(3));
                    let id = on_it.unwrap_or_else(|| ids[which % ids.len()].clone());
                    ann.delete(&format!("{path}/{id}")).await.expect(204);
                    gone.insert(id);
                }
            }
            let last = *seen.last().expect("messages");
            let expected: Vec<_> =
                if forward { (2..=last).collect() } else { (last..=seen[0]).rev().collect() };
            assert_eq!(seen, expected, "forward: {forward}");
        }
    }
}
