//! Accounts that are suspended, restored and deleted.

use std::time::Duration;

use fechatter_tests::{Actor, Site, program::Program};
use reqwest::Method;
use serde_json::{Value, json};

const PASSWORD: &str = "a long enough phrase";

/// Runs `fechatter user …` on the site's database; answers whether it went well, and what it said.
fn user(site: &Site, arguments: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [&["user"], arguments].concat();
    let variables = [("FECHATTER_DATABASE__URL", site.database_url.as_str())];
    let mut program = Program::start("fechatter", folder.path(), &arguments, &variables);
    let status = tokio::task::block_in_place(|| program.end());
    (status.success(), program.said.clone())
}

async fn sign_in(site: &Site, name: &str) -> fechatter_tests::Answer {
    let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
    site.anonymous().post("/api/auth/signin", body).await
}

async fn delete_me(person: &Actor, password: &str) -> fechatter_tests::Answer {
    person.request(Method::DELETE, "/api/users/me", Some(json!({ "password": password }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_person_is_out_everywhere_within_a_second() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let elsewhere = site.another_rest();
    let mut stream = bob.stream(None).await;
    bob.at(elsewhere.address, bob.notify).get("/api/users/me").await.expect(200);

    let (well, said) = user(&site, &["suspend", "bob@example.com"]);
    assert!(well, "{said}");
    let since = tokio::time::Instant::now();
    assert!(matches!(
        stream.until("bye").await.data["reason"].as_str(),
        Some("suspended" | "session_revoked")
    ));
    for rest in [bob.rest, elsewhere.address] {
        while bob.at(rest, bob.notify).get("/api/users/me").await.status != 401 {
            assert!(since.elapsed() < Duration::from_secs(2), "still let in");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    sign_in(&site, "bob").await.refuses(401, "sign_in_refused");
    bob.post("/api/auth/refresh", json!({ "refresh_token": bob.refresh_token })).await.expect(401);
    ann.get("/api/users/me").await.expect(200);

    let (_, list) = user(&site, &["list", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!((&list[0]["status"], &list[1]["status"]), (&json!("Active"), &json!("Suspended")));

    assert!(user(&site, &["suspend", "bob"]).0, "twice is once");
    assert!(user(&site, &["restore", &bob.id]).0);
    sign_in(&site, "bob").await.expect(200);
    bob.get("/api/users/me").await.expect(401);
    let (well, said) = user(&site, &["suspend", "nobody"]);
    assert!(!well && said.contains("nobody has an account"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_back_by_an_invite_of_somebody_suspended() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    let invites = format!("/api/workspaces/{workspace}/invites");
    ann.welcome(&workspace, &bob).await;
    let admin = json!({ "role": "Admin" });
    ann.patch(&format!("/api/workspaces/{workspace}/members/{}", bob.id), admin.clone()).await.expect(200);
    let invite = bob.post(&invites, json!({ "role": "Admin", "max_uses": 9 })).await.expect(201);
    let accept = json!({ "token": invite["token"] });

    assert!(user(&site, &["suspend", "bob"]).0);
    let cid = site.sign_up("cid").await;
    cid.post("/api/invites/accept", accept.clone()).await.expect(404);
    assert_eq!(ann.get(&invites).await.expect(200)["invites"], json!([]));

    assert!(user(&site, &["restore", "bob"]).0);
    cid.post("/api/invites/accept", accept).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_leaves_its_messages_and_nothing_else() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let single = ann.make_chat(&workspace, "Single", &[&bob]).await;
    let owned = bob.make_chat(&workspace, "PrivateChannel", &[&ann]).await;
    bob.send(&single, "from bob").await;
    bob.patch("/api/users/me", json!({ "avatar_url": "https://example.com/b.png" })).await.expect(200);
    let invites = format!("/api/workspaces/{workspace}/invites");
    for address in ["Bob@Example.com", "somebody@example.com"] {
        ann.post(&invites, json!({ "email": address })).await.expect(201);
    }
    let mut stream = bob.stream(None).await;

    delete_me(&bob, "not my password").await.expect(403);
    delete_me(&bob, PASSWORD).await.expect(204);
    stream.until("bye").await;
    bob.get("/api/users/me").await.expect(401);
    bob.post("/api/auth/refresh", json!({ "refresh_token": bob.refresh_token })).await.expect(401);
    sign_in(&site, "bob").await.refuses(401, "sign_in_refused");

    let page = ann.get(&format!("/api/chats/{single}/messages")).await.expect(200);
    let message = &page["messages"][0];
    assert_eq!(
        (&message["content"], &message["sender"]["name"]),
        (&json!("from bob"), &json!("Deleted user"))
    );
    assert_eq!(message["sender"]["id"], bob.id.as_str());
    assert_eq!(message["sender"]["avatar_url"], Value::Null);
    assert_eq!(ann.chat_in_list(&single).await["name"], "Deleted user");
    assert_eq!(ann.chat_in_list(&owned).await["role"], "Owner", "the chat was handed on");
    let members = ann.get(&format!("/api/workspaces/{workspace}/members")).await.expect(200);
    assert_eq!(members["members"].as_array().map(Vec::len), Some(1));
    ann.get(&format!("/api/users/{}", bob.id)).await.expect(404);

    // Nothing of who it was is left, and the address and the handle are free.
    let row: String = sqlx::query_scalar("select users::text from users where id = $1::uuid")
        .bind(&bob.id)
        .fetch_one(&site.pool)
        .await
        .expect("a row");
    assert!(!row.contains("bob") && !row.contains("argon2"), "{row}");
    let invites = ann.get(&invites).await.expect(200)["invites"].to_string();
    assert!(invites.contains("somebody@") && !invites.contains("Bob@"), "{invites}");
    let again = site.sign_up("bob").await;
    assert_ne!(again.id, bob.id);
    assert_eq!(again.get("/api/users/me").await.expect(200)["username"], "bob");
    assert_eq!(again.get("/api/chats").await.expect(200)["chats"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_hands_over_before_deleting_the_account() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let alone = ann.make_workspace("Alone").await;
    delete_me(&ann, PASSWORD).await.refuses(409, "last_owner");
    let (well, said) = user(&site, &["delete", "ann"]);
    assert!(!well && said.contains("last owner"), "{said}");
    ann.get(&format!("/api/workspaces/{alone}")).await.expect(200);
    let path = format!("/api/workspaces/{workspace}/members/{}", bob.id);
    ann.patch(&path, json!({ "role": "Owner" })).await.expect(200);
    assert!(user(&site, &["delete", "ann"]).0);
    bob.get(&format!("/api/workspaces/{workspace}")).await.expect(200);
    let (_, list) = user(&site, &["list", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&list).expect("JSON").as_array().map(Vec::len), Some(1));
}
