//! Walking the history yields every message once, whatever the page sizes.

use fechatter_tests::{Site, actor::id_of};
use proptest::{
    collection::vec,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

#[tokio::test(flavor = "multi_thread")]
async fn any_walk_in_either_direction_sees_every_message_once_while_others_send() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let path = format!("/api/chats/{chat}/messages");
    let mut seqs = 0_i64;
    for _ in 0..25 {
        ann.send(&chat, "x").await;
        seqs += 1;
    }
    let first = id_of(&ann.get(&format!("{path}?limit=100")).await.expect(200)["messages"][24]);
    let mut runner = TestRunner::deterministic();
    for _ in 0..12 {
        let steps = vec((1_i64..8, proptest::bool::ANY), 40);
        let sizes = steps.new_tree(&mut runner).expect("a case").current();
        for forward in [false, true] {
            let (mut seen, mut cursor, start) = (Vec::new(), None::<String>, seqs);
            for (limit, somebody_sends) in &sizes {
                let query = match (&cursor, forward) {
                    (None, false) => String::new(),
                    (None, true) => format!("&after={first}"),
                    (Some(id), false) => format!("&before={id}"),
                    (Some(id), true) => format!("&after={id}"),
                };
                let page = ann.get(&format!("{path}?limit={limit}{query}")).await.expect(200);
                let messages = page["messages"].as_array().expect("messages");
                seen.extend(messages.iter().filter_map(|message| message["seq"].as_i64()));
                cursor = messages.last().map(id_of).or(cursor);
                if page["has_more"] == false {
                    break;
                }
                assert!(!messages.is_empty(), "there were to be more");
                if *somebody_sends && seqs < start + 3 {
                    ann.send(&chat, "meanwhile").await;
                    seqs += 1;
                }
            }
            let last = *seen.last().expect("messages");
            let expected: Vec<_> =
                if forward { (2..=last).collect() } else { (last..=seen[0]).rev().collect() };
            assert_eq!(seen, expected, "forward: {forward}");
        }
    }
}
