//! Accounts, tokens and sessions.

use chat_core::token::{Claims, TOKEN_TYPE};
use chrono::TimeDelta;
use fechatter_tests::{Actor, Site};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const PASSWORD: &str = "a long enough phrase";

async fn sign_in(site: &Site, email: &str, password: &str) -> fechatter_tests::Answer {
    site.anonymous().post("/api/auth/signin", json!({ "email": email, "password": password })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_up_opens_an_account_and_a_session() {
    let site = Site::start().await;
    let body = json!({ "email": "Ann.Lee@Example.com", "password": PASSWORD, "full_name": "Ann Lee" });
    let session = site.anonymous().post("/api/auth/signup", body.clone()).await.expect(201);
    assert_eq!(session["email"], "Ann.Lee@Example.com");
    assert_eq!(session["full_name"], "Ann Lee");
    assert_eq!(session["username"], "ann.lee");

    let me = Actor::from_session(&site, &session).get("/api/users/me").await.expect(200);
    assert_eq!(me["email"], "Ann.Lee@Example.com");
    assert_eq!(me["id"], session["id"]);

    // The address is taken whatever its case; the handle derived from it moves on.
    let mut again = body.clone();
    again["email"] = json!("ann.lee@example.COM");
    site.anonymous().post("/api/auth/signup", again).await.refuses(409, "email_taken");
    let mut other = body;
    other["email"] = json!("ann.lee@elsewhere.example");
    let other = site.anonymous().post("/api/auth/signup", other).await.expect(201);
    assert_ne!(other["username"], "ann.lee");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_tells_nothing_about_which_part_was_wrong() {
    let site = Site::start().await;
    site.sign_up("ann").await;
    sign_in(&site, "ANN@example.com", PASSWORD).await.expect(200);
    let mut wrong = sign_in(&site, "ann@example.com", "another phrase").await.refuses(401, "sign_in_refused");
    let mut unknown = sign_in(&site, "bob@example.com", PASSWORD).await.refuses(401, "sign_in_refused");
    wrong["request_id"] = Value::Null;
    unknown["request_id"] = Value::Null;
    assert_eq!(wrong, unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_that_anybody_would_guess_are_refused() {
    let site = Site::start().await;
    let anonymous = site.anonymous();
    for password in ["short", "password", "Password1", "iloveyou", "some.body.long", &"x".repeat(129)] {
        let body =
            json!({ "email": "some.body.long@example.com", "password": password, "full_name": "Some Body" });
        anonymous.post("/api/auth/signup", body).await.blames("password");
    }
    // White space and any script count as they are.
    let body = json!({ "email": "b@example.com", "password": "  密码密码密码  ", "full_name": "B" });
    anonymous.post("/api/auth/signup", body).await.expect(201);
    sign_in(&site, "b@example.com", "  密码密码密码  ").await.expect(200);
    sign_in(&site, "b@example.com", "密码密码密码").await.expect(401);
}

async fn refresh(actor: &Actor, token: &str) -> fechatter_tests::Answer {
    actor.post("/api/auth/refresh", json!({ "refresh_token": token })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_rotates_and_its_reuse_ends_the_session() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let first = ann.refresh_token.clone();
    let second = refresh(&ann, &first).await.expect(200);
    // A client that lost the answer gets the same token again.
    let repeated = refresh(&ann, &first).await.expect(200);
    assert_eq!(second["refresh_token"], repeated["refresh_token"]);
    assert_ne!(second["refresh_token"], first);

    let second_token = second["refresh_token"].as_str().expect("a token");
    let third = refresh(&ann, second_token).await.expect(200);
    let ann = ann.with_token(third["token"].as_str().expect("a token"));
    ann.get("/api/users/me").await.expect(200);

    site.clock.advance(TimeDelta::seconds(11));
    refresh(&ann, second_token).await.expect(401);
    // Whoever holds the newest token is out as well: one of the two is a thief.
    refresh(&ann, third["refresh_token"].as_str().expect("a token")).await.expect(401);
    eventually_refused(&ann).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_when_unused_and_in_any_case() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    site.clock.advance(TimeDelta::days(13));
    let fresh = refresh(&ann, &ann.refresh_token).await.expect(200);
    site.clock.advance(TimeDelta::days(13));
    let token = fresh["refresh_token"].as_str().expect("a token").to_owned();
    let fresh = refresh(&ann, &token).await.expect(200);
    let token = fresh["refresh_token"].as_str().expect("a token").to_owned();
    site.clock.advance(TimeDelta::days(5));
    refresh(&ann, &token).await.expect(401);

    let bob = site.sign_up("bob").await;
    site.clock.advance(TimeDelta::days(15));
    refresh(&bob, &bob.refresh_token).await.expect(401);
}

async fn eventually_refused(actor: &Actor) {
    for _ in 0..200 {
        if actor.get("/api/users/me").await.status == 401 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{} is still let in", actor.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ends_this_session_another_or_all_others() {
    let site = Site::start().await;
    let phone = site.sign_up("ann").await;
    let sign_in = async || {
        let session = sign_in(&site, "ann@example.com", PASSWORD).await.expect(200);
        Actor::from_session(&site, &session)
    };
    let (laptop, tablet) = (sign_in().await, sign_in().await);
    let list = phone.get("/api/auth/sessions").await.expect(200);
    let sessions = list["sessions"].as_array().expect("a list");
    assert_eq!(sessions.len(), 3);
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);

    laptop.act("/api/auth/signout").await.expect(204);
    eventually_refused(&laptop).await;
    refresh(&laptop, &laptop.refresh_token).await.expect(401);

    let tablets = tablet.get("/api/auth/sessions").await.expect(200);
    let current =
        tablets["sessions"].as_array().into_iter().flatten().find(|session| session["current"] == true);
    let id = current.expect("this session")["id"].as_str().expect("an id").to_owned();
    let bob = site.sign_up("bob").await;
    bob.delete(&format!("/api/auth/sessions/{id}")).await.expect(404);
    phone.delete(&format!("/api/auth/sessions/{id}")).await.expect(204);
    eventually_refused(&tablet).await;

    let again = sign_in().await;
    phone.delete("/api/auth/sessions").await.expect(204);
    eventually_refused(&again).await;
    phone.get("/api/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_change_ends_all_other_sessions() {
    let site = Site::start().await;
    let phone = site.sign_up("ann").await;
    let laptop = Actor::from_session(&site, &sign_in(&site, "ann@example.com", PASSWORD).await.expect(200));
    let change = |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    phone.post("/api/users/me/password", change("wrong phrase", "brand new phrase")).await.expect(403);
    laptop.get("/api/users/me").await.expect(200);
    phone.post("/api/users/me/password", change(PASSWORD, "password")).await.blames("new_password");
    phone.post("/api/users/me/password", change(PASSWORD, "brand new phrase")).await.expect(204);
    eventually_refused(&laptop).await;
    phone.get("/api/users/me").await.expect(200);
    sign_in(&site, "ann@example.com", PASSWORD).await.expect(401);
    sign_in(&site, "ann@example.com", "brand new phrase").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_changes_and_is_seen_by_those_one_works_with() {
    let site = Site::start().await;
    let (ann, bob, eve) = (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("eve").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;

    let change =
        json!({ "full_name": "Ann Lee", "avatar_url": "https://example.com/ann.png", "username": "ann-lee" });
    let me = ann.patch("/api/users/me", change).await.expect(200);
    assert_eq!((&me["full_name"], &me["username"]), (&json!("Ann Lee"), &json!("ann-lee")));
    let me = ann.patch("/api/users/me", json!({ "avatar_url": null })).await.expect(200);
    assert_eq!(me["avatar_url"], Value::Null);
    assert_eq!(me["full_name"], "Ann Lee", "what is absent stays");
    bob.patch("/api/users/me", json!({ "username": "ann-lee" })).await.refuses(409, "username_taken");
    bob.patch("/api/users/me", json!({ "username": "No Spaces" })).await.blames("username");
    bob.patch("/api/users/me", json!({ "avatar_url": "javascript:alert(1)" })).await.blames("avatar_url");

    let path = format!("/api/users/{}", ann.id);
    let seen = bob.get(&path).await.expect(200);
    assert_eq!(seen["username"], "ann-lee");
    assert!(seen.get("email").is_none(), "the address is one's own: {seen}");
    let mut strange = eve.get(&path).await.expect(404);
    let mut nobody = eve.get(&format!("/api/users/{}", uuid::Uuid::now_v7())).await.expect(404);
    strange["request_id"] = Value::Null;
    nobody["request_id"] = Value::Null;
    assert_eq!(strange, nobody);
}

/// A token for `actor`'s person and session, with one thing changed by `change`.
fn forge(actor: &Actor, key: &EncodingKey, change: impl FnOnce(&mut Header, &mut Claims)) -> String {
    let mut header = jsonwebtoken::decode_header(&actor.token).expect("a header");
    let mut claims: Claims = jsonwebtoken::dangerous::insecure_decode(&actor.token).expect("claims").claims;
    change(&mut header, &mut claims);
    jsonwebtoken::encode(&header, &claims, key).expect("a token")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_tokens_in_force_are_accepted() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let pem = std::fs::read(site.private_key_file()).expect("the key");
    let ours = EncodingKey::from_ed_pem(&pem).expect("a key");
    let accepted = forge(&ann, &ours, |_, _| {});
    ann.with_token(&accepted).get("/api/users/me").await.expect(200);

    let public = std::fs::read(site.public_key_file()).expect("the key");
    let confused = EncodingKey::from_secret(&public);
    let forged = [
        ("another audience", forge(&ann, &ours, |_, claims| claims.aud = "another".into())),
        ("another issuer", forge(&ann, &ours, |_, claims| claims.iss = "another".into())),
        ("expired", forge(&ann, &ours, |_, claims| claims.exp -= 3600)),
        ("another type", forge(&ann, &ours, |header, _| header.typ = Some("JWT".into()))),
        ("an unknown key", forge(&ann, &ours, |header, _| header.kid = Some("unknown".into()))),
        ("no key", forge(&ann, &ours, |header, _| header.kid = None)),
        ("another session", forge(&ann, &ours, |_, claims| claims.sid = chat_core::ids::SessionId::new())),
        ("another algorithm", forge(&ann, &confused, |header, _| header.alg = Algorithm::HS256)),
        ("a broken signature", accepted[..accepted.len() - 8].to_owned() + "AAAAAAAA"),
        ("no algorithm", unsigned(&accepted)),
        ("nonsense", "nonsense".to_owned()),
    ];
    for (what, token) in forged {
        let answer = ann.with_token(&token).get("/api/users/me").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        answer.refuses(401, "unauthorized");
        let answer = ann.with_token(&token).act("/api/notifications/ticket").await;
        assert_eq!(answer.status, 401, "{what} at the stream: {}", answer.body);
    }
    assert_eq!(jsonwebtoken::decode_header(&ann.token).expect("a header").typ.as_deref(), Some(TOKEN_TYPE));

    site.clock.advance(TimeDelta::minutes(15));
    ann.get("/api/users/me").await.expect(200); // within the leeway of 30 s
    site.clock.advance(TimeDelta::seconds(31));
    ann.get("/api/users/me").await.expect(401);
}

/// The token with `alg: none` and no signature.
fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).expect("claims");
    // {"alg":"none","typ":"at+jwt"}
    format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{claims}.")
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_the_least_used_session_ends() {
    let site = Site::start_with(|settings, _| settings.auth.sessions_per_person = 3).await;
    let first = site.sign_up("ann").await;
    for _ in 0..3 {
        site.clock.advance(TimeDelta::seconds(1));
        sign_in(&site, "ann@example.com", PASSWORD).await.expect(200);
    }
    eventually_refused(&first).await;
    let newest = Actor::from_session(&site, &sign_in(&site, "ann@example.com", PASSWORD).await.expect(200));
    let list = newest.get("/api/auth/sessions").await.expect(200);
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(3));
}
