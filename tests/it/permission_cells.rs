//! Every cell of the permission matrix, asked over HTTP.
//!
//! Each cell has a chat or a workspace to itself, so that no answer hangs on what another cell has done; only
//! `Single` chats, which nobody can change, are shared.

use std::collections::HashMap;

use chat_core::{
    chat::{ChatType, Role},
    permission::{ChatAction, ChatCell, Verdict, WorkspaceAction, WorkspaceCell, matrix},
};
use fechatter_tests::{Actor, Answer, Site};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// A request, and the status of its success.
struct Request {
    method: Method,
    path: String,
    body: Value,
    success: u16,
}

impl Request {
    fn new(method: Method, path: String, body: Value, success: u16) -> Self {
        Self { method, path, body, success }
    }

    async fn by(&self, person: &Actor) -> Answer {
        let body = (!self.body.is_null()).then(|| self.body.clone());
        person.request(self.method.clone(), &self.path, body).await
    }
}

/// A chat with two messages.
#[derive(Clone, Copy)]
struct Place {
    chat: Uuid,
    /// By the one who asks.
    own_message: Uuid,
    /// By the keeper.
    others_message: Uuid,
}

impl Place {
    /// Ids that nothing has.
    fn nowhere() -> Self {
        Self { chat: Uuid::now_v7(), own_message: Uuid::now_v7(), others_message: Uuid::now_v7() }
    }
}

/// The operation that stands for an action, in this chat.
fn in_chat(action: ChatAction, place: &Place, people: &People) -> Request {
    let Place { chat, own_message, others_message } = place;
    let path = |rest: &str| format!("/api/chats/{chat}{rest}");
    let target = format!("/members/{}", people.target.id);
    match action {
        ChatAction::Read => {
            Request::new(Method::GET, path(&format!("/messages/{others_message}")), Value::Null, 200)
        }
        ChatAction::Send => {
            let reply = json!({ "content": "hello", "reply_to": own_message });
            Request::new(Method::POST, path("/messages"), reply, 201)
        }
        ChatAction::EditOwnMessage => {
            let edit = json!({ "content": "changed" });
            Request::new(Method::PATCH, path(&format!("/messages/{own_message}")), edit, 200)
        }
        ChatAction::DeleteOwnMessage => {
            Request::new(Method::DELETE, path(&format!("/messages/{own_message}")), Value::Null, 204)
        }
        ChatAction::DeleteOthersMessage => {
            Request::new(Method::DELETE, path(&format!("/messages/{others_message}")), Value::Null, 204)
        }
        ChatAction::Pin => {
            Request::new(Method::PUT, path(&format!("/messages/{others_message}/pin")), Value::Null, 200)
        }
        ChatAction::Hide => Request::new(Method::POST, path("/hide"), Value::Null, 200),
        ChatAction::Join => Request::new(Method::POST, path("/join"), Value::Null, 200),
        ChatAction::Leave => Request::new(Method::DELETE, path("/members/me"), Value::Null, 204),
        ChatAction::AddMember => {
            Request::new(Method::POST, path("/members"), json!({ "member_ids": [people.newcomer.id] }), 200)
        }
        ChatAction::ManageMembers => Request::new(Method::DELETE, path(&target), Value::Null, 204),
        ChatAction::Update => Request::new(Method::PUT, path(""), json!({ "description": "changed" }), 200),
        ChatAction::Delete => Request::new(Method::DELETE, path(""), Value::Null, 204),
    }
}

/// The operation that stands for an action, in this workspace.
fn in_workspace(action: WorkspaceAction, workspace: Uuid, people: &People) -> Request {
    let path = |rest: &str| format!("/api/workspaces/{workspace}{rest}");
    let target = format!("/members/{}", people.target.id);
    match action {
        WorkspaceAction::Read => Request::new(Method::GET, path(""), Value::Null, 200),
        WorkspaceAction::CreateChat => {
            let draft = json!({ "workspace_id": workspace, "chat_type": "Group" });
            Request::new(Method::POST, "/api/chats".into(), draft, 201)
        }
        WorkspaceAction::Upload => {
            let path = format!("/api/files?workspace_id={workspace}&name=a");
            Request::new(Method::POST, path, json!("a file"), 201)
        }
        WorkspaceAction::Leave => Request::new(Method::DELETE, path("/members/me"), Value::Null, 204),
        WorkspaceAction::Update => Request::new(Method::PUT, path(""), json!({ "name": "changed" }), 200),
        WorkspaceAction::ManageMembers => Request::new(Method::DELETE, path(&target), Value::Null, 204),
        WorkspaceAction::Delete => Request::new(Method::DELETE, path(""), Value::Null, 204),
    }
}

/// Who asks, and those beside them.
struct People {
    /// By the role in the workspace; none is in another one.
    askers: HashMap<Option<Role>, Actor>,
    /// Owns everything, so that nobody who asks is the last owner.
    keeper: Actor,
    /// A plain member of every workspace and chat, to whom things are done.
    target: Actor,
    /// In every workspace, in no chat.
    newcomer: Actor,
}

impl People {
    async fn sign_up(site: &Site) -> Self {
        let mut askers = HashMap::new();
        for (role, name) in [
            (None, "outsider"),
            (Some(Role::Member), "member"),
            (Some(Role::Admin), "admin"),
            (Some(Role::Owner), "owner"),
        ] {
            askers.insert(role, site.sign_up(name).await);
        }
        Self {
            askers,
            keeper: site.sign_up("keeper").await,
            target: site.sign_up("target").await,
            newcomer: site.sign_up("newcomer").await,
        }
    }
}

fn id(actor: &Actor) -> Uuid {
    actor.id.parse().expect("an id")
}

/// Makes a workspace with everybody in it whom the keeper would have there, by SQL.
async fn workspace(site: &Site, members: &[(Uuid, Role)]) -> Uuid {
    let workspace = Uuid::now_v7();
    let mut tx = site.pool.begin().await.expect("a transaction");
    sqlx::query("insert into workspaces (id, name) values ($1, 'Acme')")
        .bind(workspace)
        .execute(&mut *tx)
        .await
        .expect("a workspace");
    for (person, role) in members {
        sqlx::query("insert into workspace_members (workspace_id, user_id, role) values ($1, $2, $3)")
            .bind(workspace)
            .bind(person)
            .bind(role)
            .execute(&mut *tx)
            .await
            .expect("a member");
    }
    tx.commit().await.expect("a commit");
    workspace
}

/// Makes a chat with these people, by SQL, and with a message by the first of them and one by `asker`; the people
/// of a `Single` one are its pair.
async fn chat(
    site: &Site,
    workspace: Uuid,
    chat_type: ChatType,
    members: &[(Uuid, Role)],
    asker: Uuid,
) -> Place {
    let place = Place::nowhere();
    let chat = place.chat;
    let mut pair: Vec<_> = members.iter().map(|(person, _)| person.to_string()).collect();
    pair.sort_unstable();
    let mut tx = site.pool.begin().await.expect("a transaction");
    sqlx::query(
        "insert into chats (id, workspace_id, chat_type, name, dm_key, created_by, last_seq)
         values ($1, $2, $3, $4, $5, $6, 2)",
    )
    .bind(chat)
    .bind(workspace)
    .bind(chat_type)
    .bind((chat_type != ChatType::Single).then_some("a chat"))
    .bind((chat_type == ChatType::Single).then(|| pair.join(":")))
    .bind(members[0].0)
    .execute(&mut *tx)
    .await
    .expect("a chat");
    for (person, role) in members {
        sqlx::query(
            "insert into chat_members (chat_id, workspace_id, user_id, role, joined_seq, last_read_seq)
             values ($1, $2, $3, $4, 0, 0)",
        )
        .bind(chat)
        .bind(workspace)
        .bind(person)
        .bind(role)
        .execute(&mut *tx)
        .await
        .expect("a member");
    }
    for (seq, message, sender) in [(1_i64, place.others_message, members[0].0), (2, place.own_message, asker)]
    {
        sqlx::query(
            "insert into messages (id, chat_id, seq, sender_id, content) values ($1, $2, $3, $4, 'hello')",
        )
        .bind(message)
        .bind(chat)
        .bind(seq)
        .bind(sender)
        .execute(&mut *tx)
        .await
        .expect("a message");
    }
    tx.commit().await.expect("a commit");
    place
}

/// Checks an answer against the verdict; what is invisible must answer as what does not exist.
async fn check(cell: &str, verdict: Verdict, person: &Actor, request: &Request, nowhere: &Request) {
    let answer = request.by(person).await;
    match verdict {
        Verdict::Allowed => assert_eq!(answer.status, request.success, "{cell}: {}", answer.body),
        Verdict::Forbidden => {
            assert_eq!(
                (answer.status, &answer.body["code"]),
                (403, &json!("forbidden")),
                "{cell}: {}",
                answer.body
            );
        }
        Verdict::Invisible => {
            assert_eq!(answer.status, 404, "{cell}: {}", answer.body);
            assert_eq!(plain(answer), plain(nowhere.by(person).await), "{cell}");
        }
    }
}

/// Status, headers and body without what tells one request from another.
fn plain(mut answer: Answer) -> (u16, Vec<String>, Value) {
    answer.body["request_id"] = Value::Null;
    for name in ["x-request-id", "date"] {
        answer.headers.remove(name);
    }
    let mut headers: Vec<_> =
        answer.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.sort_unstable();
    (answer.status, headers, answer.body)
}

/// The chats that the cells are about.
struct Chats<'a> {
    site: &'a Site,
    people: &'a People,
    workspace: Uuid,
    /// By who is in it beside the keeper: a pair has one only, and nobody can leave, change or delete it.
    singles: HashMap<Uuid, Place>,
}

impl Chats<'_> {
    /// A chat in which the one who asks stands as the cell says.
    async fn for_cell(&mut self, cell: &ChatCell) -> Place {
        let asker = id(&self.people.askers[&cell.workspace_role]);
        let (keeper, target) = (id(&self.people.keeper), id(&self.people.target));
        if cell.chat_type == ChatType::Single {
            let other = if cell.chat_role.is_some() { asker } else { target };
            if let Some(known) = self.singles.get(&other) {
                return *known;
            }
            let members = [(keeper, Role::Member), (other, Role::Member)];
            let made = chat(self.site, self.workspace, cell.chat_type, &members, asker).await;
            self.singles.insert(other, made);
            return made;
        }
        let mut members = vec![(keeper, Role::Owner), (target, Role::Member)];
        members.extend(cell.chat_role.map(|role| (asker, role)));
        chat(self.site, self.workspace, cell.chat_type, &members, asker).await
    }
}

/// Everybody who is in a workspace whoever asks.
fn staff(people: &People) -> Vec<(Uuid, Role)> {
    vec![
        (id(&people.keeper), Role::Owner),
        (id(&people.target), Role::Member),
        (id(&people.newcomer), Role::Member),
    ]
}

#[expect(clippy::print_stdout, reason = "the number of cells is to be seen")]
#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_the_matrix_answers_as_it_says() {
    let site = Site::start().await;
    let people = People::sign_up(&site).await;
    let everybody = people.askers.iter().filter_map(|(role, person)| Some((id(person), (*role)?)));
    let shared = workspace(&site, &everybody.chain(staff(&people)).collect::<Vec<_>>()).await;
    let mut chats = Chats { site: &site, people: &people, workspace: shared, singles: HashMap::new() };
    let matrix = matrix();
    let mut verdicts: HashMap<Verdict, usize> = HashMap::new();
    for cell in &matrix.chats {
        let place = chats.for_cell(cell).await;
        let request = in_chat(cell.action, &place, &people);
        let nowhere = in_chat(cell.action, &Place::nowhere(), &people);
        let asker = &people.askers[&cell.workspace_role];
        check(&format!("{cell:?}"), cell.verdict, asker, &request, &nowhere).await;
        *verdicts.entry(cell.verdict).or_default() += 1;
    }
    for cell in &matrix.workspaces {
        let WorkspaceCell { action, workspace_role, verdict } = *cell;
        let asker = &people.askers[&workspace_role];
        let members = workspace_role.map(|role| (id(asker), role)).into_iter().chain(staff(&people));
        let its = workspace(&site, &members.collect::<Vec<_>>()).await;
        let request = in_workspace(action, its, &people);
        let nowhere = in_workspace(action, Uuid::now_v7(), &people);
        check(&format!("{cell:?}"), verdict, asker, &request, &nowhere).await;
        *verdicts.entry(verdict).or_default() += 1;
    }
    let visited: usize = verdicts.values().sum();
    println!("{visited} cells of the permission matrix were visited: {verdicts:?}");
    assert_eq!(visited, matrix.chats.len() + matrix.workspaces.len());
    assert!(ChatAction::ALL.iter().all(|action| matrix.chats.iter().any(|cell| cell.action == *action)));
    assert!(
        WorkspaceAction::ALL.iter().all(|action| matrix.workspaces.iter().any(|cell| cell.action == *action))
    );
}
