//! What every operation refuses before its own work begins: no token, ids that are none or name nothing, bodies and
//! queries that cannot be read. That the document knows each of these answers, the reader of answers checks; that it
//! promises no others, this does.

use std::collections::BTreeSet;

use fechatter_tests::{Actor, Answer, Site, actor::id_of};
use reqwest::{Body, Method};
use serde_json::{Value, json};

/// What operations find out by themselves, and the rate limits, which have tests of their own.
const BY_HANDLERS: [u16; 6] = [401, 403, 404, 409, 416, 429];
/// What only time tells; `edge` sees it.
const SLOW: u16 = 408;

struct Operation {
    method: Method,
    path: String,
    described: Value,
}

impl Operation {
    fn all() -> Vec<Self> {
        let document: Value =
            serde_json::from_str(&fechatter::openapi::document().expect("a document")).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let operations = paths.iter().flat_map(|(path, item)| {
            item.as_object().expect("operations").iter().map(|(method, described)| Self {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                described: described.clone(),
            })
        });
        operations.collect()
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn variables(&self) -> Vec<&str> {
        self.path.split(['{', '}']).skip(1).step_by(2).collect()
    }

    fn has_query(&self) -> bool {
        let parameters = self.described["parameters"].as_array();
        parameters.into_iter().flatten().any(|parameter| parameter["in"] == "query")
    }

    fn takes_json(&self) -> bool {
        self.described["requestBody"]["content"]["application/json"].is_object()
    }

    fn documented(&self) -> BTreeSet<u16> {
        let responses = self.described["responses"].as_object().expect("responses");
        let statuses = responses.keys().map(|status| status.parse().expect("a status"));
        statuses.filter(|status| (400..500).contains(status)).collect()
    }
}

/// Things of one person, who may do everything to them.
struct Scene {
    site: Site,
    owner: Actor,
    workspace: String,
    chat: String,
    message: String,
    invite: String,
    session: String,
    target: String,
}

impl Scene {
    async fn make() -> Self {
        let site = Site::start().await;
        let (owner, target) = (site.sign_up("owner").await, site.sign_up("target").await);
        let workspace = owner.make_workspace("Acme").await;
        owner.welcome(&workspace, &target).await;
        let chat = owner.make_chat(&workspace, "PublicChannel", &[&target]).await;
        let message = id_of(&owner.send(&chat, "hello").await);
        let invite = owner.post(&format!("/api/workspaces/{workspace}/invites"), json!({})).await.expect(201);
        let sessions = owner.get("/api/auth/sessions").await.expect(200);
        Self {
            workspace,
            chat,
            message,
            invite: id_of(&invite),
            session: id_of(&sessions["sessions"][0]),
            target: target.id,
            owner,
            site,
        }
    }

    /// The path of an operation on these things.
    fn path(&self, operation: &Operation) -> String {
        let id = match operation.path.split('/').nth(2) {
            Some("workspaces") => &self.workspace,
            Some("chats") => &self.chat,
            Some("auth") => &self.session,
            _ => &self.target,
        };
        operation
            .path
            .replace("{id}", id)
            .replace("{user_id}", &self.target)
            .replace("{message_id}", &self.message)
            .replace("{invite_id}", &self.invite)
    }

    async fn send_raw(&self, operation: &Operation, media_type: &str, body: String) -> Answer {
        let method = operation.method.clone();
        let url = self.site.url(&self.path(operation));
        let request = self.site.client.request(method, url).bearer_auth(&self.owner.token);
        let response = request.header("content-type", media_type).body(body).send().await.expect("an answer");
        Answer::read(operation.name(), response).await
    }

    /// A file that its head alone condemns.
    async fn send_file(&self, operation: &Operation, header: &str, value: &str) -> Answer {
        let url = self.site.url(&format!("{}?workspace_id={}&name=a", self.path(operation), self.workspace));
        let body = Body::wrap_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let request = self.site.client.request(operation.method.clone(), url).bearer_auth(&self.owner.token);
        Answer::read(
            operation.name(),
            request.header(header, value).body(body).send().await.expect("an answer"),
        )
        .await
    }
}

/// Sends an operation all that it must refuse; answers with the statuses.
async fn provoke(scene: &Scene, operation: &Operation) -> BTreeSet<u16> {
    let mut seen = BTreeSet::new();
    let (owner, anonymous) = (&scene.owner, scene.site.anonymous());
    let ask = async |person: &Actor, path: &str| person.request(operation.method.clone(), path, None).await;
    if operation.described["security"].is_array() {
        ask(&anonymous, &scene.path(operation)).await.refuses(401, "unauthorized");
        ask(&anonymous.with_token("nonsense"), &scene.path(operation)).await.refuses(401, "unauthorized");
        seen.insert(401);
    }
    for variable in operation.variables() {
        let broken = Operation {
            method: operation.method.clone(),
            path: operation.path.replace(&format!("{{{variable}}}"), "nonsense"),
            described: Value::Null,
        };
        ask(owner, &scene.path(&broken)).await.blames(variable);
        seen.insert(400);
    }
    if !operation.variables().is_empty() {
        let nobody = uuid::Uuid::now_v7().to_string();
        let path = operation
            .variables()
            .iter()
            .fold(operation.path.clone(), |path, variable| path.replace(&format!("{{{variable}}}"), &nobody));
        // Who may send is asked with the write, after the body was read.
        let sends = operation.method == Method::POST && path.ends_with("/messages");
        let body = sends.then(|| json!({ "content": "hello" }));
        owner.request(operation.method.clone(), &path, body).await.refuses(404, "not_found");
        seen.insert(404);
    }
    if operation.has_query() {
        ask(owner, &format!("{}?colour=red", scene.path(operation))).await.blames("colour");
        seen.insert(400);
    }
    if operation.takes_json() {
        let large = format!("{{\"colour\": \"{}\"}}", "x".repeat(300_000));
        for (media_type, body, status) in [
            ("text/plain", "{}".to_owned(), 415),
            ("application/json", "{".to_owned(), 400),
            ("application/json", "[null, null]".to_owned(), 400),
            ("application/json", json!({ "colour": "red" }).to_string(), 400),
            ("application/json; charset=utf-8", large, 413),
        ] {
            scene.send_raw(operation, media_type, body).await.expect(status);
            seen.insert(status);
        }
    } else if operation.described["requestBody"].is_object() {
        for (header, value, status) in
            [("content-encoding", "gzip", 415), ("content-length", "1000000000000", 413)]
        {
            scene.send_file(operation, header, value).await.expect(status);
            seen.insert(status);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_what_the_document_says_and_promises_no_more() {
    let scene = Scene::make().await;
    for operation in Operation::all() {
        let seen = provoke(&scene, &operation).await;
        let promised: Vec<_> = operation.documented().difference(&seen).copied().collect();
        assert!(
            promised.iter().all(|status| BY_HANDLERS.contains(status) || *status == SLOW),
            "{}: {promised:?} are documented, but {seen:?} were seen",
            operation.name()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_refuse_what_stands_against_what_is_there() {
    let Scene { site, owner, workspace, chat, target, .. } = Scene::make().await;
    let invites = format!("/api/workspaces/{workspace}/invites");
    let invite = owner.post(&invites, json!({ "email": "else@example.com" })).await.expect(201);
    let account = json!({
        "email": "new@example.com", "password": "a long enough phrase", "full_name": "New",
        "invite_token": invite["token"],
    });
    site.anonymous().post("/api/auth/signup", account).await.refuses(403, "forbidden");
    let late = site.sign_up("late").await;
    owner.welcome(&workspace, &late).await;
    late.put(&format!("/api/chats/{chat}/read"), json!({ "seq": 1 })).await.refuses(403, "forbidden");
    for place in [format!("/api/chats/{chat}"), format!("/api/workspaces/{workspace}")] {
        owner.delete(&format!("{place}/members/{}", owner.id)).await.refuses(409, "last_owner");
    }
    let people = format!("/api/workspaces/{workspace}/members");
    owner.post(&people, json!({ "user_id": target })).await.refuses(409, "already_member");
    owner.act(&format!("/api/chats/{chat}/archive")).await.expect(200);
    late.act(&format!("/api/chats/{chat}/join")).await.refuses(409, "archived");
    let added = json!({ "member_ids": [late.id] });
    owner.post(&format!("/api/chats/{chat}/members"), added).await.refuses(409, "archived");
}
