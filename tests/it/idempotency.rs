//! A creating request that is repeated creates once.

use std::time::Duration;

use chrono::TimeDelta;
use fechatter_tests::{Actor, Site, actor::id_of};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

struct Team {
    site: Site,
    ann: Actor,
    bob: Actor,
    workspace: String,
}

async fn team() -> Team {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    Team { site, ann, bob, workspace }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_creating_post_creates_once() {
    let Team { site, ann, workspace, .. } = team().await;
    let eve = site.sign_up("eve").await;
    let chat = json!({ "workspace_id": workspace, "chat_type": "Group", "name": "us" });
    let another_chat = json!({ "workspace_id": workspace, "chat_type": "Group", "name": "them" });
    let members = format!("/api/workspaces/{workspace}/members");
    let cases: [(&str, Value, Value); 3] = [
        ("/api/workspaces", json!({ "name": "Second" }), json!({ "name": "Third" })),
        ("/api/chats", chat, another_chat),
        (&members, json!({ "user_id": eve.id }), json!({ "user_id": eve.id, "role": "Admin" })),
    ];
    for (path, body, another) in cases {
        let first = ann.post_once("one", path, body.clone()).await.expect(201);
        assert_eq!(ann.post_once("one", path, body.clone()).await.expect(200), first, "{path}");
        ann.post_once("one", path, another).await.refuses(409, "idempotency_key_reused");
        ann.post_once(&"k".repeat(65), path, body).await.blames("Idempotency-Key");
    }
    let workspaces = ann.get("/api/workspaces").await.expect(200);
    assert_eq!(workspaces["workspaces"].as_array().map(Vec::len), Some(2));
    assert_eq!(ann.get("/api/chats").await.expect(200)["chats"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_is_made_once_and_its_token_is_shown_once() {
    let Team { ann, workspace, .. } = team().await;
    let path = format!("/api/workspaces/{workspace}/invites");
    let first = ann.post_once("one", &path, json!({ "max_uses": 5 })).await.expect(201);
    let again = ann.post_once("one", &path, json!({ "max_uses": 5 })).await.expect(200);
    assert!(first["token"].is_string());
    assert_eq!((&again["id"], again.get("token")), (&first["id"], None));
    // The body must be the same, white space and order aside; so must the workspace.
    ann.post_once("one", &path, json!({ "max_uses": 6 })).await.refuses(409, "idempotency_key_reused");
    let elsewhere = format!("/api/workspaces/{}/invites", ann.make_workspace("Elsewhere").await);
    ann.post_once("one", &elsewhere, json!({ "max_uses": 5 })).await.refuses(409, "idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_the_callers_and_the_operations_own() {
    let Team { ann, bob, workspace, .. } = team().await;
    let chat = json!({ "workspace_id": workspace, "chat_type": "Group", "name": "us" });
    ann.post_once("one", "/api/workspaces", json!({ "name": "Second" })).await.expect(201);
    let anns = ann.post_once("one", "/api/chats", chat.clone()).await.expect(201);
    let bobs = bob.post_once("one", "/api/chats", chat).await.expect(201);
    assert_ne!(anns["id"], bobs["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_creates() {
    let Team { ann, workspace, .. } = team().await;
    let chat = json!({ "workspace_id": workspace, "chat_type": "Group", "name": "us" });
    let answers = join_all((0..8).map(|_| ann.post_once("one", "/api/chats", chat.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| answer.body["id"] == answers[0].body["id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_can_be_tried_again_and_what_is_gone_is_gone() {
    let Team { ann, bob, workspace, .. } = team().await;
    let chat = |name: &str| json!({ "workspace_id": workspace, "chat_type": "PrivateChannel", "name": name });
    ann.post_once("one", "/api/chats", chat(" ")).await.expect(400);
    let made = ann.post_once("one", "/api/chats", chat("us")).await.expect(201);
    let id = id_of(&made);
    ann.post(&format!("/api/chats/{id}/members"), json!({ "member_ids": [bob.id] })).await.expect(200);
    ann.patch(&format!("/api/chats/{id}/members/{}", bob.id), json!({ "role": "Owner" })).await.expect(200);
    ann.delete(&format!("/api/chats/{id}/members/me")).await.expect(204);
    ann.post_once("one", "/api/chats", chat("us")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_forgotten_after_two_days_and_not_before() {
    let Team { site, ann, .. } = team().await;
    let body = json!({ "name": "Second" });
    ann.post_once("one", "/api/workspaces", body.clone()).await.expect(201);
    let keys = async || -> i64 {
        sqlx::query_scalar("select count(*) from idempotency_keys")
            .fetch_one(&site.pool)
            .await
            .expect("a count")
    };
    site.clock.advance(TimeDelta::hours(47));
    site.clean_up().await;
    assert_eq!(keys().await, 1);
    site.clock.advance(TimeDelta::hours(2));
    // A server cleans up by itself when it starts.
    let server = site.another_rest();
    let forgotten = async {
        while keys().await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), forgotten).await.expect("the key goes");
    server.stop().await;
}
