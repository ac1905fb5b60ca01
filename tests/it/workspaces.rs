//! Workspaces, their people and invites.

use fechatter_tests::{Actor, Site, actor::id_of};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_made_changed_and_deleted() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let path = format!("/api/workspaces/{workspace}");
    assert_eq!(bob.get(&path).await.expect(200)["name"], "Acme");
    bob.put(&path, json!({ "name": "Bobs" })).await.expect(403);
    let changed =
        ann.put(&path, json!({ "name": "Acme Ltd", "description": "We make it" })).await.expect(200);
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Acme Ltd"), &json!("We make it")));
    let list = bob.get("/api/workspaces").await;
    assert!(!list.event_id().is_empty());
    assert_eq!(list.expect(200)["workspaces"][0]["role"], "Member");

    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    bob.delete(&path).await.expect(403);
    ann.delete(&path).await.expect(204);
    ann.get(&path).await.expect(404);
    bob.get(&format!("/api/chats/{chat}")).await.expect(404);
    assert_eq!(bob.get("/api/chats").await.expect(200)["chats"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_deleted_with_more_chats_than_go_into_one_transaction() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let (workspace, other) = (ann.make_workspace("Acme").await, ann.make_workspace("Other").await);
    ann.welcome(&workspace, &bob).await;
    let kept = ann.make_chat(&other, "PublicChannel", &[]).await;
    sqlx::query(
        "insert into chats (id, workspace_id, chat_type, name, created_by)
         select gen_random_uuid(), $1::uuid, 'PublicChannel', 'Channel ' || n, $2::uuid
         from generate_series(1, 2500) n",
    )
    .bind(&workspace)
    .bind(&ann.id)
    .execute(&site.pool)
    .await
    .expect("an insert");
    let mut stream = bob.stream(None).await;
    ann.delete(&format!("/api/workspaces/{workspace}")).await.expect(204);
    for _ in 0..2500 {
        stream.expect_update("deleted").await;
    }
    assert_eq!(stream.expect("workspace_update").await.data["type"], "deleted", "after its chats");
    ann.get(&format!("/api/chats/{kept}")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_has_limited_uses_and_an_end() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let invites = format!("/api/workspaces/{workspace}/invites");
    let invite = ann.post(&invites, json!({ "max_uses": 2, "role": "Admin" })).await.expect(201);
    let accept = json!({ "token": invite["token"] });

    let bob = site.sign_up("bob").await;
    bob.post("/api/invites/accept", accept.clone()).await.expect(200);
    // A second time it costs no use.
    bob.post("/api/invites/accept", accept.clone()).await.expect(200);
    let members = ann.get(&format!("/api/workspaces/{workspace}/members")).await.expect(200);
    let bobs =
        members["members"].as_array().into_iter().flatten().find(|member| member["id"] == bob.id.as_str());
    assert_eq!(bobs.expect("bob")["role"], "Admin");
    site.sign_up("cid").await.post("/api/invites/accept", accept.clone()).await.expect(200);
    let dan = site.sign_up("dan").await;
    dan.post("/api/invites/accept", accept).await.expect(404);
    dan.post("/api/invites/accept", json!({ "token": "no such token" })).await.expect(404);

    let invite = ann.post(&invites, json!({ "expires_in_hours": 1 })).await.expect(201);
    let list = ann.get(&invites).await.expect(200);
    assert!(list["invites"][0].get("token").is_none(), "the token is shown once: {list}");
    site.clock.advance(chrono::TimeDelta::minutes(61));
    let dan = again(&site, "dan").await;
    dan.post("/api/invites/accept", json!({ "token": invite["token"] })).await.expect(404);

    let ann = again(&site, "ann").await;
    let invite = ann.post(&invites, json!({})).await.expect(201);
    ann.delete(&format!("{invites}/{}", id_of(&invite))).await.expect(204);
    dan.post("/api/invites/accept", json!({ "token": invite["token"] })).await.expect(404);

    let invite = ann.post(&invites, json!({ "email": "EVE@example.com" })).await.expect(201);
    dan.post("/api/invites/accept", json!({ "token": invite["token"] })).await.expect(403);
    site.sign_up("eve")
        .await
        .post("/api/invites/accept", json!({ "token": invite["token"] }))
        .await
        .expect(200);
}

async fn again(site: &Site, name: &str) -> Actor {
    let body = json!({ "email": format!("{name}@example.com"), "password": "a long enough phrase" });
    Actor::from_session(site, &site.anonymous().post("/api/auth/signin", body).await.expect(200))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_an_invite_is_somebodys_alone() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let invite = ann.post(&format!("/api/workspaces/{workspace}/invites"), json!({})).await.expect(201);
    let mut people = Vec::new();
    for i in 0..10 {
        people.push(site.sign_up(&format!("person{i}")).await);
    }
    let token = &invite["token"];
    let accepting = people.iter().map(|person| person.post("/api/invites/accept", json!({ "token": token })));
    let mut statuses: Vec<_> =
        futures::future::join_all(accepting).await.into_iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![404; 9]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_can_sign_up_with_an_invite() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let invite = ann.post(&format!("/api/workspaces/{workspace}/invites"), json!({})).await.expect(201);
    let sign_up = |email: &str| {
        json!({
            "email": email, "password": "a long enough phrase", "full_name": "Bob",
            "invite_token": invite["token"],
        })
    };
    let bob = site.anonymous().post("/api/auth/signup", sign_up("bob@example.com")).await.expect(201);
    let bob = Actor::from_session(&site, &bob);
    bob.get(&format!("/api/workspaces/{workspace}")).await.expect(200);
    // Used up: neither a membership nor an account.
    site.anonymous().post("/api/auth/signup", sign_up("cid@example.com")).await.expect(404);
    let body = json!({ "email": "cid@example.com", "password": "a long enough phrase" });
    site.anonymous().post("/api/auth/signin", body).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_act_on_lower_roles_and_grant_at_most_their_own() {
    let site = Site::start().await;
    let (owner, admin, other, member) = (
        site.sign_up("owner").await,
        site.sign_up("admin").await,
        site.sign_up("other").await,
        site.sign_up("member").await,
    );
    let workspace = owner.make_workspace("Acme").await;
    for person in [&admin, &other, &member] {
        owner.welcome(&workspace, person).await;
    }
    let path = |person: &Actor| format!("/api/workspaces/{workspace}/members/{}", person.id);
    let role = |role: &str| json!({ "role": role });
    member.patch(&path(&other), role("Admin")).await.expect(403);
    owner.patch(&path(&admin), role("Admin")).await.expect(200);
    owner.patch(&path(&other), role("Admin")).await.expect(200);
    admin.patch(&path(&other), role("Member")).await.expect(403);
    admin.delete(&path(&other)).await.expect(403);
    admin.patch(&path(&member), role("Owner")).await.expect(403);
    admin.patch(&path(&owner), role("Member")).await.expect(403);
    admin.patch(&path(&member), role("Admin")).await.expect(200);
    admin.patch(&path(&admin), role("Member")).await.expect(200);
    owner.patch(&path(&owner), role("Admin")).await.refuses(409, "last_owner");
    owner.delete(&format!("/api/workspaces/{workspace}/members/me")).await.refuses(409, "last_owner");
    owner.patch(&path(&other), role("Owner")).await.expect(200);
    owner.delete(&format!("/api/workspaces/{workspace}/members/me")).await.expect(204);
    owner.get(&format!("/api/workspaces/{workspace}")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_owners_cannot_both_leave() {
    for _ in 0..5 {
        let site = Site::start().await;
        let (ann, bob, cid) =
            (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("cid").await);
        let workspace = ann.make_workspace("Acme").await;
        ann.welcome(&workspace, &bob).await;
        ann.welcome(&workspace, &cid).await;
        let bobs = format!("/api/workspaces/{workspace}/members/{}", bob.id);
        ann.patch(&bobs, json!({ "role": "Owner" })).await.expect(200);
        let leave = format!("/api/workspaces/{workspace}/members/me");
        let (first, second) = tokio::join!(ann.delete(&leave), bob.delete(&leave));
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_workspace_is_leaving_its_chats() {
    let site = Site::start().await;
    let (ann, bob, cid) = (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("cid").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    ann.welcome(&workspace, &cid).await;
    let group = bob.make_chat(&workspace, "Group", &[&ann, &cid]).await;
    let dm = bob.make_chat(&workspace, "Single", &[&ann]).await;
    ann.delete(&format!("/api/workspaces/{workspace}/members/{}", bob.id)).await.expect(204);
    assert_eq!(bob.get("/api/chats").await.expect(200)["chats"], json!([]));
    bob.get(&format!("/api/chats/{group}")).await.expect(404);
    bob.get(&format!("/api/chats/{dm}")).await.expect(404);
    // The group has an owner again: who was in it the longest.
    let members = cid.get(&format!("/api/chats/{group}/members")).await.expect(200);
    let roles: Vec<_> =
        members["members"].as_array().into_iter().flatten().map(|member| &member["role"]).collect();
    assert_eq!(roles.iter().filter(|role| ***role == json!("Owner")).count(), 1, "{members}");
    // Back in the workspace, the pair finds its chat again.
    ann.welcome(&workspace, &bob).await;
    assert_eq!(bob.make_chat(&workspace, "Single", &[&ann]).await, dm);
    bob.get(&format!("/api/chats/{dm}")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_and_paged() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    for name in ["bob", "bonnie", "cid%"] {
        let body = json!({
            "email": format!("{}@example.com", name.trim_end_matches('%')), "password": "a long enough phrase",
            "full_name": name,
        });
        let person = site.anonymous().post("/api/auth/signup", body).await.expect(201);
        ann.welcome(&workspace, &Actor::from_session(&site, &person)).await;
    }
    let path = format!("/api/workspaces/{workspace}/members");
    let names = |page: &Value| -> Vec<String> {
        let members = page["members"].as_array().into_iter().flatten();
        members.filter_map(|member| member["name"].as_str().map(str::to_owned)).collect()
    };
    let mut found = names(&ann.get(&format!("{path}?q=BO")).await.expect(200));
    found.sort_unstable();
    assert_eq!(found, ["bob", "bonnie"]);
    assert_eq!(names(&ann.get(&format!("{path}?q=cid%25")).await.expect(200)), ["cid%"]);
    assert_eq!(names(&ann.get(&format!("{path}?q=%25")).await.expect(200)).len(), 0, "% is no wildcard");

    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = ann.get(&format!("{path}?limit=1{after}")).await.expect(200);
        all.extend(names(&page));
        let last = page["members"].as_array().and_then(|members| members.last()).expect("somebody");
        after = format!("&after={}", last["id"].as_str().expect("an id"));
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(all.len(), 4);
}
