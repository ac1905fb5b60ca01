//! Things that happen at once end as if one had come after the other.

use std::time::{Duration, Instant};

use chat_core::{database::Pool, ids::UserId};
use fechatter_server::accounts;
use fechatter_tests::{Actor, Answer, Site, actor::id_of};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

const ROUNDS: usize = 50;
const PASSWORD: &str = "a long enough phrase";

/// The statuses, lowest first.
fn statuses<const N: usize>(answers: [&Answer; N]) -> [u16; N] {
    let mut statuses = answers.map(|answer| answer.status);
    statuses.sort_unstable();
    statuses
}

async fn people<const N: usize>(site: &Site, names: [&str; N]) -> [Actor; N] {
    let people = join_all(names.map(|name| site.sign_up(name))).await;
    people.try_into().expect("as many")
}

/// A workspace of the first person's with the others in these roles.
async fn workspace(owner: &Actor, others: &[(&Actor, &str)]) -> String {
    let workspace = owner.make_workspace("Acme").await;
    for (person, role) in others {
        let body = json!({ "user_id": person.id, "role": role });
        owner.post(&format!("/api/workspaces/{workspace}/members"), body).await.expect(201);
    }
    workspace
}

async fn members(person: &Actor, path: &str) -> Vec<Value> {
    let page = person.get(&format!("{path}/members")).await.expect(200);
    page["members"].as_array().expect("members").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_who_leave_at_once_one_stays() {
    let site = Site::start().await;
    let [ann, bob, cid] = people(&site, ["ann", "bob", "cid"]).await;
    for round in 0..ROUNDS {
        let workspace = workspace(&ann, &[(&bob, "Owner"), (&cid, "Member")]).await;
        let chat = ann.make_chat(&workspace, "Group", &[&bob, &cid]).await;
        let promote = format!("/api/chats/{chat}/members/{}", bob.id);
        ann.patch(&promote, json!({ "role": "Owner" })).await.expect(200);
        for path in [format!("/api/chats/{chat}"), format!("/api/workspaces/{workspace}")] {
            let leave = format!("{path}/members/me");
            let (anns, bobs) = tokio::join!(ann.delete(&leave), bob.delete(&leave));
            assert_eq!(statuses([&anns, &bobs]), [204, 409], "round {round}: {anns:?} {bobs:?}");
            let left = members(&cid, &path).await;
            assert_eq!(left.iter().filter(|member| member["role"] == "Owner").count(), 1);
            assert_eq!(left.len(), 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_accept_the_last_use_of_an_invite_one_gets_in() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let names: Vec<_> = (0..20).map(|i| format!("person{i}")).collect();
    let people = join_all(names.iter().map(|name| site.sign_up(name))).await;
    for round in 0..ROUNDS {
        let workspace = ann.make_workspace("Acme").await;
        let invite = ann.post(&format!("/api/workspaces/{workspace}/invites"), json!({})).await.expect(201);
        let body = json!({ "token": invite["token"] });
        let answers =
            join_all(people.iter().map(|person| person.post("/api/invites/accept", body.clone()))).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [vec![200], vec![404; 19]].concat(), "round {round}");
        assert_eq!(members(&ann, &format!("/api/workspaces/{workspace}")).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_make_the_same_single_chat_get_the_same() {
    let site = Site::start().await;
    let [ann, bob] = people(&site, ["ann", "bob"]).await;
    for round in 0..ROUNDS {
        let workspace = workspace(&ann, &[(&bob, "Member")]).await;
        let body = |other: &Actor| json!({ "workspace_id": workspace, "chat_type": "Single", "member_ids": [other.id] });
        let (anns, bobs) =
            tokio::join!(ann.post("/api/chats", body(&bob)), bob.post("/api/chats", body(&ann)));
        assert_eq!(statuses([&anns, &bobs]), [200, 201], "round {round}: {anns:?} {bobs:?}");
        assert_eq!(id_of(&anns.body), id_of(&bobs.body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_and_removed_at_once_is_in_or_out() {
    let site = Site::start().await;
    let [ann, bob, cid] = people(&site, ["ann", "bob", "cid"]).await;
    for round in 0..ROUNDS {
        let workspace = workspace(&ann, &[(&bob, "Member"), (&cid, "Member")]).await;
        let chat = format!("/api/chats/{}", ann.make_chat(&workspace, "Group", &[&bob, &cid]).await);
        let (everybody, cids) = (format!("{chat}/members"), format!("{chat}/members/{}", cid.id));
        let add = || bob.post(&everybody, json!({ "member_ids": [cid.id] }));
        let (added, removed) = tokio::join!(add(), ann.delete(&cids));
        assert_eq!((added.status, removed.status), (200, 204), "round {round}: {added:?} {removed:?}");
        let is_in = members(&ann, &chat).await.iter().any(|member| member["id"] == cid.id.as_str());
        cid.get(&chat).await.expect(if is_in { 200 } else { 404 });

        // Out of the workspace is out of the chat, whichever came first.
        let leave = format!("/api/workspaces/{workspace}/members/{}", cid.id);
        let (added, removed) = tokio::join!(add(), ann.delete(&leave));
        assert_eq!(removed.status, 204, "round {round}: {removed:?}");
        assert!(matches!(added.status, 200 | 400), "round {round}: {added:?}");
        assert_eq!(members(&ann, &chat).await.len(), 2);
        cid.get(&chat).await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_outlives_a_suspension() {
    let site = Site::start().await;
    let pool = Pool::new(site.pool.clone(), Duration::from_secs(30));
    let bob = site.sign_up("bob").await;
    let user: UserId = bob.id.parse().expect("an id");
    let body = json!({ "email": "bob@example.com", "password": PASSWORD });
    let anonymous = site.anonymous();
    for round in 0..ROUNDS {
        let now = site.clock.now();
        let (answer, suspended) = tokio::join!(
            anonymous.post("/api/auth/signin", body.clone()),
            accounts::store::suspend(&pool, user, now),
        );
        suspended.expect("a suspension");
        let in_force: i64 = sqlx::query_scalar("select count(*) from sessions where revoked_at is null")
            .fetch_one(&site.pool)
            .await
            .expect("a count");
        assert_eq!(in_force, 0, "round {round}");
        match answer.status {
            200 => {
                let session = Actor::from_session(&site, &answer.body);
                let since = Instant::now();
                while session.get("/api/users/me").await.status != 401 {
                    assert!(since.elapsed() < Duration::from_secs(2), "round {round}: still let in");
                }
            }
            _ => drop(answer.refuses(401, "sign_in_refused")),
        }
        accounts::store::restore(&pool, user, site.clock.now()).await.expect("a restoration");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_before_the_end_of_its_senders_account_or_not_at_all() {
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    for round in 0..ROUNDS {
        let bob = site.sign_up(&format!("bob{round}")).await;
        let workspace = workspace(&ann, &[(&bob, "Member")]).await;
        let messages = format!("/api/chats/{}/messages", ann.make_chat(&workspace, "Single", &[&bob]).await);
        let password = Some(json!({ "password": PASSWORD }));
        let (sent, deleted) = tokio::join!(
            bob.post(&messages, json!({ "content": "the last word" })),
            bob.request(Method::DELETE, "/api/users/me", password),
        );
        assert_eq!(deleted.status, 204, "round {round}: {deleted:?}");
        assert!(matches!(sent.status, 201 | 401 | 404), "round {round}: {sent:?}");
        let page = ann.get(&messages).await.expect(200);
        let names: Vec<_> = page["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|message| &message["sender"]["name"])
            .collect();
        assert_eq!(names, vec!["Deleted user"; usize::from(sent.status == 201)], "round {round}");
    }
}

/// What locks rows before the ordering lock would meet a server that does it the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn writes_by_hand_get_in_nobodys_way() {
    let site = Site::start().await;
    let [ann, bob] = people(&site, ["ann", "bob"]).await;
    let workspace = workspace(&ann, &[(&bob, "Member")]).await;
    let mut chats = Vec::new();
    for _ in 0..4 {
        chats.push(ann.make_chat(&workspace, "Group", &[&bob]).await);
    }
    let by_hand = async {
        for round in 0..ROUNDS {
            for statement in [
                "update chats set description = $1",
                "update chat_members set notify_level = case when $1 like '%1' then 'All' else 'None' end::notify_level",
                "update messages set content = $1, version = version + 1 where content is not null",
                "update users set full_name = $1",
            ] {
                let text = format!("by hand {round}");
                sqlx::query(statement).bind(text).execute(&site.pool).await.expect("no deadlock");
            }
        }
    };
    let by_servers = async {
        for round in 0..ROUNDS {
            let asked = chats.iter().map(async |chat| {
                let name = json!({ "name": format!("round {round}") });
                let read = json!({ "seq": round });
                let chat = format!("/api/chats/{chat}");
                let (messages, reading) = (format!("{chat}/messages"), format!("{chat}/read"));
                tokio::join!(
                    ann.put(&chat, name),
                    bob.post(&messages, json!({ "content": "hello" })),
                    bob.put(&reading, read),
                )
            });
            for (named, sent, read) in join_all(asked).await {
                assert_eq!((named.status, sent.status, read.status), (200, 201, 200), "round {round}");
            }
        }
    };
    tokio::join!(by_hand, by_servers);
}
