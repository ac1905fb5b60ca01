//! What cannot be read, is too large, or is no such thing.

use fechatter_tests::{Answer, Site, actor::id_of};
use reqwest::Method;
use serde_json::{Value, json};

async fn raw(site: &Site, token: &str, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Answer {
    let client = fechatter_tests::actor::client();
    let mut request = client.post(site.url(path)).bearer_auth(token).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    Answer::read(format!("POST {path}"), request.send().await.expect("an answer")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_read_strictly() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let path = format!("/api/chats/{chat}/messages");
    let json_type = Some("application/json");
    for (body, code) in [("{", "malformed"), ("", "malformed"), ("nonsense", "malformed"), ("[]", "invalid")]
    {
        raw(&site, &ann.token, &path, json_type, body.into()).await.refuses(400, code);
    }
    raw(&site, &ann.token, &path, json_type, vec![0xff, 0xfe, b'{']).await.expect(400);
    raw(&site, &ann.token, &path, json_type, br#"{"content": "a"}{"content": "b"}"#.to_vec())
        .await
        .expect(400);
    raw(&site, &ann.token, &path, None, br#"{"content": "a"}"#.to_vec()).await.expect(415);
    raw(&site, &ann.token, &path, Some("text/plain"), br#"{"content": "a"}"#.to_vec()).await.expect(415);
    let deep = format!("{{\"content\": {}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    raw(&site, &ann.token, &path, json_type, deep.into_bytes()).await.expect(400);

    let send = async |body: Value| ann.post(&path, body).await;
    send(json!({})).await.blames("content");
    send(json!({ "content": null })).await.blames("content");
    send(json!({ "content": 1 })).await.blames("content");
    send(json!({ "content": "" })).await.blames("content");
    send(json!({ "content": " \n\t\u{3000}" })).await.blames("content");
    send(json!({ "content": "x".repeat(10_001) })).await.blames("content");
    send(json!({ "content": "a\u{0}b" })).await.blames("content");
    send(json!({ "content": "a", "colour": "red" })).await.blames("colour");
    send(json!({ "content": "a", "client_id": "" })).await.blames("client_id");
    send(json!({ "content": "a", "client_id": "x".repeat(65) })).await.blames("client_id");
    send(json!({ "content": "a", "reply_to": "nonsense" })).await.blames("reply_to");
    send(json!({ "content": "a", "reply_to": uuid::Uuid::now_v7() })).await.blames("reply_to");
    // Code points are counted, not bytes.
    send(json!({ "content": "界".repeat(10_000) })).await.expect(201);
    send(json!({ "content": "x".repeat(70_000) })).await.refuses(413, "too_large");
    let body = json!({ "email": "x".repeat(9_000), "password": "p", "full_name": "n" });
    site.anonymous().post("/api/auth/signup", body).await.refuses(413, "too_large");
    assert_eq!(ann.get(&path).await.expect(200)["messages"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_wrong_fields_are_all_named() {
    let site = Site::start().await;
    let body = json!({ "email": "nonsense", "password": "short", "full_name": "  ", "username": "A" });
    let problem = site.anonymous().post("/api/auth/signup", body).await.expect(400);
    let mut fields: Vec<_> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|error| error["field"].as_str())
        .collect();
    fields.sort_unstable();
    fields.dedup();
    assert_eq!(fields, ["email", "full_name", "password", "username"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_is_refused_in_every_string() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let sign_up = |field: &str| {
        let mut body = json!({
            "email": "n@example.com", "password": "a long enough phrase", "full_name": "N", "username": "nnn",
            "invite_token": "t",
        });
        body[field] = json!("a\u{0}b@example.com");
        body
    };
    for field in ["email", "password", "full_name", "username", "invite_token"] {
        site.anonymous().post("/api/auth/signup", sign_up(field)).await.blames(field);
    }
    ann.patch("/api/users/me", json!({ "full_name": "a\u{0}" })).await.blames("full_name");
    ann.post("/api/workspaces", json!({ "name": "a\u{0}" })).await.blames("name");
    ann.put(&format!("/api/workspaces/{workspace}"), json!({ "name": "a", "description": "\u{0}" }))
        .await
        .blames("description");
    let chat = json!({ "workspace_id": workspace, "chat_type": "Group", "name": "a\u{0}" });
    ann.post("/api/chats", chat).await.blames("name");
    ann.get(&format!("/api/workspaces/{workspace}/members?q=a%00")).await.blames("q");
    ann.post("/api/invites/accept", json!({ "token": "\u{0}" })).await.blames("token");
    ann.post("/api/auth/refresh", json!({ "refresh_token": "\u{0}" })).await.blames("refresh_token");
    ann.get("/api/notifications/events?ticket=a%00").await.blames("ticket");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_cursors_are_checked() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "PublicChannel", &[]).await;
    let other = ann.make_chat(&workspace, "Group", &[]).await;
    let foreign = id_of(&ann.send(&other, "elsewhere").await);
    for list in [
        format!("/api/chats/{chat}/messages"),
        format!("/api/chats/{chat}/members"),
        format!("/api/workspaces/{workspace}/members"),
        format!("/api/workspaces/{workspace}/channels"),
    ] {
        for limit in ["0", "-1", "101", "1.5", "x", "", "99999999999999999999"] {
            ann.get(&format!("{list}?limit={limit}")).await.blames("limit");
        }
        ann.get(&format!("{list}?limit=1&limit=2")).await.blames("limit");
        ann.get(&format!("{list}?colour=red")).await.blames("colour");
        ann.get(&format!("{list}?after=nonsense")).await.blames("after");
        ann.get(&format!("{list}?limit=100")).await.expect(200);
    }
    let list = format!("/api/chats/{chat}/messages");
    for cursor in ["before", "after", "around"] {
        ann.get(&format!("{list}?{cursor}={foreign}")).await.blames(cursor);
        ann.get(&format!("{list}?{cursor}={}", uuid::Uuid::now_v7())).await.blames(cursor);
    }
    let known = id_of(&ann.send(&chat, "here").await);
    ann.get(&format!("{list}?before={known}&after={known}")).await.blames("before");
    let read = format!("/api/chats/{chat}/read");
    ann.put(&read, json!({})).await.blames("message_id");
    ann.put(&read, json!({ "seq": -1 })).await.blames("seq");
    ann.put(&read, json!({ "seq": 1, "message_id": known })).await.blames("message_id");
    ann.put(&read, json!({ "message_id": foreign })).await.blames("message_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_routes_and_methods_that_are_none() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    ann.get("/api/chats/nonsense").await.blames("id");
    ann.get("/api/users/nonsense").await.blames("id");
    ann.get("/api/chats/%00").await.blames("id");
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    ann.get(&format!("/api/chats/{chat}/messages/nonsense")).await.blames("message_id");
    ann.delete(&format!("/api/chats/{chat}/members/nonsense")).await.blames("user_id");
    ann.get(&format!("/api/chats/{chat}/messages/{}", uuid::Uuid::now_v7())).await.refuses(404, "not_found");
    for path in ["/", "/api", "/api/nonsense", "/api/chats/", "/api/notifications/nonsense"] {
        ann.get(path).await.refuses(404, "not_found");
    }
    let answer = ann.request(Method::PUT, "/api/users/me", None).await;
    let allow = answer.headers.get("allow").and_then(|value| value.to_str().ok()).map(str::to_owned);
    answer.refuses(405, "method_not_allowed");
    assert!(allow.is_some_and(|allow| allow.contains("PATCH")));
    ann.request(Method::PUT, "/api/notifications/events", None).await.refuses(405, "method_not_allowed");
}
