//! Chats of the four types and their people.

use fechatter_tests::{Actor, Site, actor::id_of};
use serde_json::{Value, json};

struct Team {
    site: Site,
    ann: Actor,
    bob: Actor,
    cid: Actor,
    workspace: String,
}

async fn team() -> Team {
    let site = Site::start().await;
    let (ann, bob, cid) = (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("cid").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    ann.welcome(&workspace, &cid).await;
    Team { site, ann, bob, cid, workspace }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_chat_is_one_per_pair() {
    let Team { ann, bob, workspace, .. } = team().await;
    let body = |person: &Actor| json!({ "workspace_id": workspace, "chat_type": "Single", "member_ids": [person.id] });
    let made = ann.post("/api/chats", body(&bob)).await.expect(201);
    assert_eq!((&made["name"], &made["peer"]["id"]), (&json!("bob"), &json!(bob.id)));
    let found = bob.post("/api/chats", body(&ann)).await.expect(200);
    assert_eq!(found["id"], made["id"]);
    assert_eq!(found["name"], "ann");
    // Notes to oneself.
    let own = ann.post("/api/chats", body(&ann)).await.expect(201);
    assert_ne!(own["id"], made["id"]);
    assert_eq!(own["name"], "ann");
    assert_eq!(ann.post("/api/chats", body(&ann)).await.expect(200)["id"], own["id"]);

    let path = format!("/api/chats/{}", id_of(&made));
    ann.put(&path, json!({ "name": "x" })).await.expect(403);
    ann.delete(&path).await.expect(403);
    ann.delete(&format!("{path}/members/me")).await.expect(403);
    ann.post(&format!("{path}/members"), json!({ "member_ids": [bob.id] })).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_race_for_a_single_chat_get_the_same() {
    let Team { ann, bob, workspace, .. } = team().await;
    let body = |person: &Actor| json!({ "workspace_id": workspace, "chat_type": "Single", "member_ids": [person.id] });
    let (first, second) =
        tokio::join!(ann.post("/api/chats", body(&bob)), bob.post("/api/chats", body(&ann)));
    assert_eq!(first.body["id"], second.body["id"]);
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_has_its_rules() {
    let Team { site, ann, bob, cid, workspace } = team().await;
    let eve = site.sign_up("eve").await;
    let make = |body: Value| {
        let mut all = json!({ "workspace_id": workspace });
        all.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
        let ann = ann.clone();
        async move { ann.post("/api/chats", all).await }
    };
    make(json!({ "chat_type": "PublicChannel" })).await.blames("name");
    make(json!({ "chat_type": "PrivateChannel", "name": " \t " })).await.blames("name");
    make(json!({ "chat_type": "PrivateChannel", "name": "x".repeat(101) })).await.blames("name");
    make(json!({ "chat_type": "Single", "name": "us", "member_ids": [bob.id] })).await.blames("name");
    make(json!({ "chat_type": "Single" })).await.blames("member_ids");
    make(json!({ "chat_type": "Single", "member_ids": [bob.id, cid.id] })).await.blames("member_ids");
    make(json!({ "chat_type": "Group", "member_ids": [eve.id] })).await.blames("member_ids");
    make(json!({ "chat_type": "Group", "member_ids": [uuid::Uuid::now_v7()] })).await.blames("member_ids");
    make(json!({ "chat_type": "Group", "member_ids": vec![&bob.id; 101] })).await.blames("member_ids");
    make(json!({ "chat_type": "Party", "name": "x" })).await.blames("chat_type");
    // Nothing of what was refused is left.
    assert_eq!(ann.get("/api/chats").await.expect(200)["chats"], json!([]));

    let group =
        make(json!({ "chat_type": "Group", "member_ids": [bob.id, cid.id, bob.id] })).await.expect(201);
    assert_eq!(group["name"], "bob, cid", "named after its people");
    assert_eq!(group["role"], "Owner");
    let body = json!({ "workspace_id": workspace, "chat_type": "Group" });
    eve.post("/api/chats", body).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_chats_are_invisible_and_public_channels_open() {
    let Team { site, ann, bob, cid, workspace } = team().await;
    let eve = site.sign_up("eve").await;
    let private = ann.make_chat(&workspace, "PrivateChannel", &[&bob]).await;
    let public = ann.make_chat(&workspace, "PublicChannel", &[]).await;
    let channels = cid.get(&format!("/api/workspaces/{workspace}/channels")).await.expect(200);
    assert_eq!(channels["channels"].as_array().map(Vec::len), Some(1), "{channels}");
    assert_eq!(
        (&channels["channels"][0]["id"], &channels["channels"][0]["joined"]),
        (&json!(public), &json!(false))
    );

    cid.get(&format!("/api/chats/{private}")).await.expect(404);
    cid.act(&format!("/api/chats/{private}/join")).await.expect(404);
    bob.act(&format!("/api/chats/{private}/join")).await.expect(403);
    ann.send(&public, "before").await;
    cid.get(&format!("/api/chats/{public}/messages")).await.expect(200);
    cid.post(&format!("/api/chats/{public}/messages"), json!({ "content": "x" })).await.expect(403);
    eve.get(&format!("/api/chats/{public}/messages")).await.expect(404);
    eve.act(&format!("/api/chats/{public}/join")).await.expect(404);

    let joined = cid.act(&format!("/api/chats/{public}/join")).await.expect(200);
    assert_eq!((&joined["role"], &joined["unread_count"]), (&json!("Member"), &json!(0)));
    cid.act(&format!("/api/chats/{public}/join")).await.expect(200);
    cid.send(&public, "hello").await;
    cid.delete(&format!("/api/chats/{public}/members/me")).await.expect(204);
    cid.post(&format!("/api/chats/{public}/messages"), json!({ "content": "x" })).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_and_go_by_the_rules() {
    let Team { site, ann, bob, cid, workspace } = team().await;
    let dan = site.sign_up("dan").await;
    ann.welcome(&workspace, &dan).await;
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[&bob, &cid]).await;
    let members = format!("/api/chats/{chat}/members");
    let of = |person: &Actor| format!("{members}/{}", person.id);
    bob.post(&members, json!({ "member_ids": [dan.id] })).await.expect(403);
    let added = ann.post(&members, json!({ "member_ids": [dan.id, bob.id] })).await.expect(200);
    assert_eq!(added["members"].as_array().map(Vec::len), Some(2));
    ann.post(&members, json!({ "member_ids": [] })).await.blames("member_ids");
    ann.post(&members, json!({ "member_ids": [uuid::Uuid::now_v7()] })).await.blames("member_ids");

    ann.patch(&of(&bob), json!({ "role": "Admin" })).await.expect(200);
    bob.patch(&of(&cid), json!({ "role": "Owner" })).await.expect(403);
    bob.delete(&of(&ann)).await.expect(403);
    bob.delete(&of(&cid)).await.expect(204);
    bob.delete(&of(&cid)).await.expect(404);
    cid.get(&format!("/api/chats/{chat}")).await.expect(404);
    ann.delete(&format!("{members}/me")).await.refuses(409, "last_owner");
    ann.patch(&of(&ann), json!({ "role": "Member" })).await.refuses(409, "last_owner");
    ann.patch(&of(&bob), json!({ "role": "Owner" })).await.expect(200);
    ann.delete(&format!("{members}/me")).await.expect(204);
    let list = bob.get(&members).await.expect(200);
    assert_eq!(list["members"].as_array().map(Vec::len), Some(2), "{list}");
    // The last one out takes the chat along.
    bob.delete(&of(&dan)).await.expect(204);
    bob.delete(&format!("{members}/me")).await.expect(204);
    bob.get(&format!("/api/chats/{chat}")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_renamed_archived_and_deleted() {
    let Team { ann, bob, workspace, .. } = team().await;
    let chat = ann.make_chat(&workspace, "PublicChannel", &[&bob]).await;
    let path = format!("/api/chats/{chat}");
    bob.put(&path, json!({ "name": "x" })).await.expect(403);
    let renamed = ann.put(&path, json!({ "name": "general", "description": "All of us" })).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["description"]), (&json!("general"), &json!("All of us")));
    let same = ann.put(&path, json!({ "name": "general" })).await.expect(200);
    assert_eq!(same, renamed, "what changes nothing writes nothing");
    let cleared = ann.put(&path, json!({ "description": null })).await.expect(200);
    assert_eq!(cleared["description"], Value::Null);

    ann.act(&format!("{path}/archive")).await.expect(200);
    bob.post(&format!("{path}/messages"), json!({ "content": "x" })).await.refuses(409, "archived");
    bob.get(&format!("{path}/messages")).await.expect(200);
    ann.act(&format!("{path}/unarchive")).await.expect(200);
    bob.send(&chat, "back").await;

    bob.delete(&path).await.expect(403);
    ann.delete(&path).await.expect(204);
    for person in [&ann, &bob] {
        person.get(&path).await.expect(404);
        person.get(&format!("{path}/messages")).await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_shows_the_latest_activity_first() {
    let Team { ann, bob, workspace, .. } = team().await;
    let first = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let second = ann.make_chat(&workspace, "PublicChannel", &[&bob]).await;
    let order = async |person: &Actor| -> Vec<String> {
        let list = person.get(&format!("/api/chats?workspace_id={workspace}")).await;
        assert!(!list.event_id().is_empty());
        list.expect(200)["chats"].as_array().into_iter().flatten().map(id_of).collect()
    };
    assert_eq!(order(&bob).await, [second.clone(), first.clone()]);
    ann.send(&first, "hello").await;
    assert_eq!(order(&bob).await, [first.clone(), second]);
    let entry = bob.chat_in_list(&first).await;
    assert_eq!(entry["last_message"]["content"], "hello");
    assert_eq!(entry["last_message"]["sender_name"], "ann");
    assert_eq!(entry["unread_count"], 1);
    assert_eq!(ann.chat_in_list(&first).await["unread_count"], 0);
    bob.get(&format!("/api/chats?workspace_id={}", uuid::Uuid::now_v7())).await.expect(404);
}
