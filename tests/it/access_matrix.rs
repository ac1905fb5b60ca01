//! Every operation of the document, asked by everybody.
//!
//! Each operation has its own set-up: those who must be refused ask first, so that a refusal cannot come from what
//! somebody else has done, and then each of the others asks in a fresh one.

use fechatter_tests::{Actor, Answer, Site, actor::id_of, files::PIXEL};
use reqwest::Method;
use serde_json::{Value, json};

/// Who asks. The last three are in the workspace and the chat, by these roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    Outsider,
    Stranger,
    Removed,
    Member,
    Admin,
    Owner,
}

const WHO: [Who; 7] =
    [Who::Anonymous, Who::Outsider, Who::Stranger, Who::Removed, Who::Member, Who::Admin, Who::Owner];

/// An operation, and what each of `WHO` is answered.
struct Row {
    operation: &'static str,
    statuses: [u16; 7],
    body: fn(&Scene, &Actor) -> Value,
}

/// A workspace and a private channel with everybody in their place.
struct Scene {
    people: Vec<Actor>,
    /// A plain member of both, to whom things are done.
    target: Actor,
    workspace: String,
    chat: String,
    message: String,
    /// Of the message's, with a small picture.
    file: String,
    invite: String,
    invite_token: String,
    session: String,
}

impl Scene {
    fn person(&self, who: Who) -> &Actor {
        &self.people[WHO.iter().position(|other| *other == who).expect("one of them")]
    }

    fn path(&self, operation: &str) -> String {
        let path = operation.split(' ').nth(1).expect("a path");
        let id = if path.starts_with("/api/workspaces") {
            &self.workspace
        } else if path.starts_with("/api/chats") {
            &self.chat
        } else if path.starts_with("/api/files/") {
            &self.file
        } else if path == "/api/files" {
            return format!("{path}?workspace_id={}&name=a.json", self.workspace);
        } else if path.starts_with("/api/auth/sessions") {
            &self.session
        } else {
            &self.target.id
        };
        path.replace("{id}", id)
            .replace("{user_id}", &self.target.id)
            .replace("{message_id}", &self.message)
            .replace("{invite_id}", &self.invite)
            .replace("{emoji}", "👍")
            .replace("/api/search", "/api/search?q=hello")
    }

    async fn ask(&self, row: &Row, who: Who) -> Answer {
        let person = self.person(who);
        let method: Method = row.operation.split(' ').next().expect("a method").parse().expect("a method");
        let body = (row.body)(self, person);
        let path = self.path(row.operation);
        if path == "/api/notifications/events" && person.token.is_empty().eq(&false) {
            // The stream itself never ends: its opening is the answer.
            drop(person.stream(None).await);
            return Answer {
                request: path,
                status: 200,
                headers: reqwest::header::HeaderMap::default(),
                body,
            };
        }
        person.request(method, &path, (!body.is_null()).then_some(body)).await
    }
}

async fn scene(site: &Site, number: usize) -> Scene {
    let sign_up = async |name: &str| site.sign_up(&format!("{name}{number}")).await;
    let owner = sign_up("owner").await;
    let workspace = owner.make_workspace("Acme").await;
    let (member, admin, target, removed) =
        (sign_up("member").await, sign_up("admin").await, sign_up("target").await, sign_up("removed").await);
    for person in [&member, &admin, &target, &removed] {
        owner.welcome(&workspace, person).await;
    }
    let chat = owner.make_chat(&workspace, "PrivateChannel", &[&member, &admin, &target, &removed]).await;
    let admins = json!({ "role": "Admin" });
    for path in [format!("/api/workspaces/{workspace}"), format!("/api/chats/{chat}")] {
        owner.patch(&format!("{path}/members/{}", admin.id), admins.clone()).await.expect(200);
    }
    let message = owner.send_file(&workspace, &chat, "pixel.png", PIXEL.to_vec()).await;
    let (file, message) = (id_of(&message["files"][0]), id_of(&message));
    owner.delete(&format!("/api/workspaces/{workspace}/members/{}", removed.id)).await.expect(204);
    let invites = format!("/api/workspaces/{workspace}/invites");
    let invite = owner.post(&invites, json!({ "max_uses": 100 })).await.expect(201);
    let sessions = member.get("/api/auth/sessions").await.expect(200);
    let stranger = sign_up("stranger").await;
    stranger.make_workspace("Elsewhere").await;
    let people = vec![site.anonymous(), sign_up("outsider").await, stranger, removed, member, admin, owner];
    Scene {
        people,
        target,
        workspace,
        chat,
        message,
        file,
        invite: id_of(&invite),
        invite_token: invite["token"].as_str().expect("a token").to_owned(),
        session: id_of(&sessions["sessions"][0]),
    }
}

fn nothing(_: &Scene, _: &Actor) -> Value {
    Value::Null
}

/// An e-mail address that nobody has.
fn fresh() -> String {
    format!("{}@example.com", uuid::Uuid::new_v4().simple())
}

#[expect(clippy::too_many_lines, reason = "a row an operation")]
fn rows() -> Vec<Row> {
    let row = |operation, statuses, body| Row { operation, statuses, body };
    let (signed_in, members) = ([401, 200, 200, 200, 200, 200, 200], [401, 404, 404, 404, 200, 200, 200]);
    let (admins, owners) = ([401, 404, 404, 404, 403, 200, 200], [401, 404, 404, 404, 403, 403, 200]);
    let with = |statuses: [u16; 7], success: u16| {
        statuses.map(|status| if status == 200 { success } else { status })
    };
    vec![
        row(
            "POST /api/auth/signup",
            [201; 7],
            |_, _| json!({ "email": fresh(), "password": "a long enough phrase", "full_name": "New" }),
        ),
        row(
            "POST /api/auth/signin",
            [200; 7],
            |scene, _| json!({ "email": format!("{}@example.com", scene.target.name), "password": "a long enough phrase" }),
        ),
        row(
            "POST /api/auth/refresh",
            [401, 200, 200, 200, 200, 200, 200],
            |_, person| json!({ "refresh_token": format!("{}{}", person.refresh_token, if person.id.is_empty() { "x" } else { "" }) }),
        ),
        row("POST /api/auth/signout", with(signed_in, 204), nothing),
        row("GET /api/auth/sessions", signed_in, nothing),
        row("DELETE /api/auth/sessions", with(signed_in, 204), nothing),
        row("DELETE /api/auth/sessions/{id}", [401, 404, 404, 404, 204, 404, 404], nothing),
        row("GET /api/users/me", signed_in, nothing),
        row("PATCH /api/users/me", signed_in, |_, _| json!({ "full_name": "Renamed" })),
        row(
            "DELETE /api/users/me",
            [401, 204, 204, 204, 204, 204, 409],
            |_, _| json!({ "password": "a long enough phrase" }),
        ),
        row(
            "POST /api/users/me/password",
            with(signed_in, 204),
            |_, _| json!({ "current_password": "a long enough phrase", "new_password": "another long phrase" }),
        ),
        row("GET /api/users/{id}", members, nothing),
        row("POST /api/workspaces", with(signed_in, 201), |_, _| json!({ "name": "Another" })),
        row("GET /api/workspaces", signed_in, nothing),
        row("GET /api/workspaces/{id}", members, nothing),
        row("PUT /api/workspaces/{id}", admins, |_, _| json!({ "name": "Renamed" })),
        row("DELETE /api/workspaces/{id}", with(owners, 204), nothing),
        row("GET /api/workspaces/{id}/members", members, nothing),
        row(
            "POST /api/workspaces/{id}/members",
            with(admins, 201),
            |scene, _| json!({ "username": scene.person(Who::Outsider).name }),
        ),
        row("DELETE /api/workspaces/{id}/members/me", [401, 404, 404, 404, 204, 204, 409], nothing),
        row("PATCH /api/workspaces/{id}/members/{user_id}", admins, |_, _| json!({ "role": "Admin" })),
        row("DELETE /api/workspaces/{id}/members/{user_id}", with(admins, 204), nothing),
        row("POST /api/workspaces/{id}/invites", with(admins, 201), |_, _| json!({})),
        row("GET /api/workspaces/{id}/invites", admins, nothing),
        row("DELETE /api/workspaces/{id}/invites/{invite_id}", with(admins, 204), nothing),
        row("POST /api/invites/accept", signed_in, |scene, _| json!({ "token": scene.invite_token })),
        row("GET /api/workspaces/{id}/channels", members, nothing),
        row("GET /api/chats", signed_in, nothing),
        row(
            "POST /api/chats",
            with(members, 201),
            |scene, _| json!({ "workspace_id": scene.workspace, "chat_type": "Group", "name": "new" }),
        ),
        row("GET /api/chats/{id}", members, nothing),
        row("PUT /api/chats/{id}", admins, |_, _| json!({ "name": "renamed" })),
        row("DELETE /api/chats/{id}", with(owners, 204), nothing),
        row("POST /api/chats/{id}/archive", admins, nothing),
        row("POST /api/chats/{id}/unarchive", admins, nothing),
        // The scene is a channel: what can be hidden is a Single chat.
        row("POST /api/chats/{id}/hide", [401, 404, 404, 404, 403, 403, 403], nothing),
        row("PATCH /api/chats/{id}/members/me", members, |_, _| json!({ "notify_level": "Mentions" })),
        row("GET /api/chats/{id}/members", members, nothing),
        row("POST /api/chats/{id}/members", admins, |scene, _| json!({ "member_ids": [scene.target.id] })),
        row("POST /api/chats/{id}/join", [401, 404, 404, 404, 403, 403, 403], nothing),
        row("DELETE /api/chats/{id}/members/me", [401, 404, 404, 404, 204, 204, 409], nothing),
        row("PATCH /api/chats/{id}/members/{user_id}", admins, |_, _| json!({ "role": "Admin" })),
        row("DELETE /api/chats/{id}/members/{user_id}", with(admins, 204), nothing),
        row("GET /api/chats/{id}/messages", members, nothing),
        row("POST /api/chats/{id}/messages", with(members, 201), |_, _| json!({ "content": "hello" })),
        row("GET /api/chats/{id}/messages/{message_id}", members, nothing),
        row(
            "PATCH /api/chats/{id}/messages/{message_id}",
            [401, 404, 404, 404, 403, 403, 200],
            |_, _| json!({ "content": "edited by its author, the owner" }),
        ),
        row("DELETE /api/chats/{id}/messages/{message_id}", with(admins, 204), nothing),
        row("GET /api/chats/{id}/messages/{message_id}/edits", members, nothing),
        row("GET /api/chats/{id}/messages/{message_id}/reactions", members, nothing),
        row("PUT /api/chats/{id}/messages/{message_id}/reactions/{emoji}", members, nothing),
        row("DELETE /api/chats/{id}/messages/{message_id}/reactions/{emoji}", members, nothing),
        row("GET /api/chats/{id}/pins", members, nothing),
        row("PUT /api/chats/{id}/messages/{message_id}/pin", members, nothing),
        row("DELETE /api/chats/{id}/messages/{message_id}/pin", with(members, 204), nothing),
        row("GET /api/saved", signed_in, nothing),
        row("PUT /api/chats/{id}/messages/{message_id}/saved", members, nothing),
        row("DELETE /api/chats/{id}/messages/{message_id}/saved", with(members, 204), nothing),
        row("GET /api/chats/{id}/messages/{message_id}/thread", members, nothing),
        row("PUT /api/chats/{id}/messages/{message_id}/thread/follow", members, nothing),
        row("DELETE /api/chats/{id}/messages/{message_id}/thread/follow", members, nothing),
        row("PUT /api/chats/{id}/messages/{message_id}/thread/read", members, |_, _| json!({ "seq": 1 })),
        row("GET /api/threads", signed_in, nothing),
        row("POST /api/chats/{id}/typing", with(members, 204), nothing),
        row("PUT /api/chats/{id}/read", members, |_, _| json!({ "seq": 1 })),
        row("PUT /api/chats/{id}/unread", members, |scene, _| json!({ "message_id": scene.message })),
        row("POST /api/files", with(members, 201), |_, _| json!("a file")),
        row("GET /api/files/{id}", members, nothing),
        row("GET /api/files/{id}/thumbnail", members, nothing),
        row("GET /api/chats/{id}/files", members, nothing),
        row("GET /api/mentions", signed_in, nothing),
        row("GET /api/search", signed_in, nothing),
        row("GET /api/permissions", [200; 7], nothing),
        row("POST /api/notifications/ticket", with(signed_in, 201), nothing),
        row("GET /api/notifications/events", signed_in, nothing),
    ]
}

/// The operations of the document, as `GET /api/chats`.
fn operations() -> Vec<String> {
    let document: Value =
        serde_json::from_str(&fechatter::openapi::document().expect("a document")).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            operations.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    operations.sort_unstable();
    operations
}

#[test]
fn every_operation_has_a_row() {
    let mut rows: Vec<_> = rows().iter().map(|row| row.operation.to_owned()).collect();
    rows.sort_unstable();
    assert_eq!(rows, operations());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_everybody_as_the_matrix_says() {
    let site = Site::start().await;
    let (mut cells, mut scenes) = (0, 0);
    for row in rows() {
        let (refused, let_in): (Vec<_>, Vec<_>) =
            WHO.into_iter().zip(row.statuses).partition(|(_, status)| *status >= 400);
        let mut current = scene(&site, scenes).await;
        scenes += 1;
        for (who, status) in refused {
            let answer = current.ask(&row, who).await;
            assert_eq!(answer.status, status, "{who:?}: {}: {}", answer.request, answer.body);
            if status == 404 {
                assert_eq!(
                    plain(answer),
                    plain(nowhere(&row, &current, who).await),
                    "{who:?}: {}",
                    row.operation
                );
            } else {
                answer.expect(status);
            }
            cells += 1;
        }
        for (number, (who, status)) in let_in.into_iter().enumerate() {
            if number > 0 {
                current = scene(&site, scenes).await;
                scenes += 1;
            }
            let answer = current.ask(&row, who).await;
            assert_eq!(answer.status, status, "{who:?}: {}: {}", answer.request, answer.body);
            cells += 1;
        }
    }
    assert_eq!(cells, WHO.len() * rows().len(), "every cell was visited");
}

/// The same request for a thing that does not exist.
async fn nowhere(row: &Row, scene: &Scene, who: Who) -> Answer {
    let nobody = || uuid::Uuid::now_v7().to_string();
    let elsewhere = Scene {
        people: scene.people.clone(),
        target: Actor { id: nobody(), ..scene.target.clone() },
        workspace: nobody(),
        chat: nobody(),
        message: nobody(),
        file: nobody(),
        invite: nobody(),
        invite_token: nobody(),
        session: nobody(),
    };
    elsewhere.ask(row, who).await
}

/// Status and body without the request id.
fn plain(answer: Answer) -> (u16, Value) {
    let mut body = answer.body;
    body["request_id"] = Value::Null;
    (answer.status, body)
}
