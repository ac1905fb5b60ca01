//! How people keep their chats: hidden, and with how much noise.

use fechatter_tests::{Actor, Site, actor::id_of};
use serde_json::{Value, json};

async fn team() -> (Site, Actor, Actor, String) {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    (site, ann, bob, workspace)
}

async fn listed(person: &Actor) -> Vec<String> {
    let list = person.get("/api/chats").await.expect(200);
    list["chats"].as_array().into_iter().flatten().map(id_of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_chat_comes_back_with_its_next_message_or_when_it_is_sought() {
    let (_site, ann, bob, workspace) = team().await;
    let single = ann.make_chat(&workspace, "Single", &[&bob]).await;
    ann.send(&single, "hello").await;
    let hide = format!("/api/chats/{single}/hide");
    let (mut anns, mut bobs) = (ann.stream(None).await, bob.stream(None).await);

    assert_eq!(ann.act(&hide).await.expect(200)["hidden"], true);
    let change = anns.until("chat_update").await.data;
    assert_eq!((&change["type"], &change["hidden"]), (&json!("settings_changed"), &json!(true)));
    assert_eq!((listed(&ann).await, listed(&bob).await), (vec![], vec![single.clone()]));
    assert_eq!(ann.get(&format!("/api/chats/{single}")).await.expect(200)["hidden"], true);
    ann.act(&hide).await.expect(200);
    // Reading and choosing are no messages.
    ann.patch(&format!("/api/chats/{single}/members/me"), json!({ "notify_level": "None" }))
        .await
        .expect(200);
    assert_eq!(listed(&ann).await, Vec::<String>::new());

    bob.send(&single, "are you there?").await;
    assert_eq!(listed(&ann).await, std::slice::from_ref(&single));
    assert_eq!(ann.chat_in_list(&single).await["unread_count"], 1);
    // Nobody is told how others keep their chats: the message is the first that bob hears.
    bobs.expect_message("are you there?").await;

    ann.act(&hide).await.expect(200);
    let body = json!({ "workspace_id": workspace, "chat_type": "Single", "member_ids": [bob.id] });
    assert_eq!(ann.post("/api/chats", body).await.expect(200)["hidden"], false);
    assert_eq!(listed(&ann).await, [single]);
    for hidden in [true, true, false] {
        let change = anns.until("chat_update").await.data;
        assert_eq!((&change["hidden"], &change["notify_level"]), (&json!(hidden), &json!("None")));
    }

    let group = ann.make_chat(&workspace, "Group", &[&bob]).await;
    ann.act(&format!("/api/chats/{group}/hide")).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_ones_own() {
    let (_site, ann, bob, workspace) = team().await;
    let chat = ann.make_chat(&workspace, "PublicChannel", &[&bob]).await;
    let mine = format!("/api/chats/{chat}/members/me");
    assert_eq!(ann.chat_in_list(&chat).await["notify_level"], "All");
    let mut stream = ann.stream(None).await;
    let changed = ann.patch(&mine, json!({ "notify_level": "Mentions" })).await.expect(200);
    assert_eq!(changed["notify_level"], "Mentions");
    let change = stream.until("chat_update").await.data;
    assert_eq!(
        (&change["type"], &change["notify_level"], &change["chat_id"]),
        (&json!("settings_changed"), &json!("Mentions"), &json!(chat))
    );
    // Old state and event give the new state.
    let mut entry: Value = ann.chat_in_list(&chat).await;
    assert_eq!(entry["notify_level"].take(), change["notify_level"]);
    assert_eq!(bob.chat_in_list(&chat).await["notify_level"], "All");
    ann.patch(&mine, json!({ "notify_level": "Loud" })).await.blames("notify_level");
    ann.delete(&mine).await.refuses(409, "last_owner");
    bob.delete(&mine).await.expect(204);
    bob.patch(&mine, json!({ "notify_level": "None" })).await.expect(403);
}
