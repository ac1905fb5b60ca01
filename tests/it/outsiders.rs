//! Nothing of a private chat reaches those who are not in it: while everything happens there, they listen, and ask
//! whatever can be asked. What they are told is compared with what they were told before, and with what is told of
//! things that never were.

use std::{collections::BTreeMap, time::Duration};

use fechatter_tests::{Actor, Site, Stream, actor::id_of, files::PIXEL};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Stands in all that is said, and in every name.
const SECRET: &str = "zanzibar";
const QUIET: Duration = Duration::from_millis(700);

/// Things of the private chat, by the names that paths give them.
struct Secrets {
    chat: String,
    message: String,
    file: String,
}

impl Secrets {
    /// Such as never were.
    fn invented() -> Self {
        let id = || Uuid::now_v7().to_string();
        Self { chat: id(), message: id(), file: id() }
    }

    /// Every question about a chat, a message or a file.
    fn questions(&self) -> Vec<(Method, String, Option<Value>)> {
        let Self { chat, message, file } = self;
        let (chat, one) = (format!("/api/chats/{chat}"), format!("/api/chats/{chat}/messages/{message}"));
        let mut questions: Vec<_> = [
            chat.clone(),
            format!("{chat}/members"),
            format!("{chat}/messages"),
            format!("{chat}/messages?around={message}"),
            format!("{chat}/files"),
            format!("{chat}/pins"),
            one.clone(),
            format!("{one}/edits"),
            format!("{one}/reactions"),
            format!("{one}/thread"),
            format!("/api/files/{file}"),
            format!("/api/files/{file}/thumbnail"),
        ]
        .into_iter()
        .map(|path| (Method::GET, path, None))
        .collect();
        for path in ["reactions/👍", "pin", "saved", "thread/follow"] {
            questions.push((Method::PUT, format!("{one}/{path}"), None));
            questions.push((Method::DELETE, format!("{one}/{path}"), None));
        }
        questions.push((Method::PUT, format!("{one}/thread/read"), Some(json!({ "seq": 1 }))));
        questions.push((Method::POST, format!("{chat}/typing"), None));
        questions.push((Method::POST, format!("{chat}/messages"), Some(json!({ "content": "let me in" }))));
        questions
    }
}

/// Every question that names nothing of the chat by its id, and could hold something of it all the same.
fn lists(chat_name: &str) -> Vec<String> {
    let mut lists: Vec<_> =
        ["chats", "mentions", "threads", "saved", "workspaces"].map(|list| format!("/api/{list}")).into();
    let filters =
        ["", "zanz*", "\"zanzibar two\"", "has:file", "mentions:me", "from:ann", "-nothing zanzibar"];
    lists.extend(
        filters.map(|filter| format!("/api/search?q={}", if filter.is_empty() { SECRET } else { filter })),
    );
    lists.push(format!("/api/search?q=in:{chat_name} {SECRET}"));
    lists
}

/// Somebody who is not in the chat, and what they were told before anything happened.
struct Outsider {
    actor: Actor,
    stream: Stream,
    told: BTreeMap<String, Value>,
}

impl Outsider {
    async fn listen(actor: &Actor, chat_name: &str) -> Self {
        let mut outsider =
            Self { actor: actor.clone(), stream: actor.stream(None).await, told: BTreeMap::new() };
        outsider.told = outsider.ask_lists(chat_name).await;
        outsider
    }

    async fn ask_lists(&self, chat_name: &str) -> BTreeMap<String, Value> {
        let mut told = BTreeMap::new();
        for list in lists(chat_name) {
            let answer = self.actor.get(&list).await;
            told.insert(list, json!([answer.status, without_request(answer.body)]));
        }
        told
    }

    async fn learns_nothing(&mut self, secrets: &Secrets, chat_name: &str, after: &str) {
        let who = format!("{} after {after}", self.actor.name);
        let told = self.ask_lists(chat_name).await;
        assert_eq!(told, self.told, "{who}");
        let invented = Secrets::invented();
        for ((method, path, body), (_, other, _)) in secrets.questions().into_iter().zip(invented.questions())
        {
            let answer = self.actor.request(method.clone(), &path, body.clone()).await;
            let nothing = self.actor.request(method, &other, body).await;
            assert_eq!(answer.status, 404, "{who}: {path}");
            assert_eq!(without_request(answer.body), without_request(nothing.body), "{who}: {path}");
        }
    }
}

fn without_request(mut body: Value) -> Value {
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_in_a_private_chat_outsiders_learn_nothing() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let (colleague, removed, stranger) =
        (site.sign_up("cid").await, site.sign_up("dan").await, site.sign_up("eve").await);
    let workspace = ann.make_workspace("Acme").await;
    for person in [&bob, &colleague, &removed] {
        ann.welcome(&workspace, person).await;
    }
    stranger.make_workspace("Elsewhere").await;
    let chat = ann.make_chat(&workspace, "PrivateChannel", &[&bob, &removed]).await;
    let (path, chat_name) = (format!("/api/chats/{chat}"), format!("{SECRET}-channel"));
    ann.put(&path, json!({ "name": chat_name })).await.expect(200);
    let early = ann.send(&chat, "from before").await;
    let saved = format!("{path}/messages/{}/saved", id_of(&early));
    removed.request(Method::PUT, &saved, None).await.expect(200);
    ann.delete(&format!("{path}/members/{}", removed.id)).await.expect(204);

    let mut outsiders = Vec::new();
    for actor in [&colleague, &removed, &stranger] {
        outsiders.push(Outsider::listen(actor, &chat_name).await);
    }
    let all = "@cid @dan @eve @all";
    let message = ann.send_file(&workspace, &chat, &format!("{SECRET}.png"), PIXEL.to_vec()).await;
    let secrets = Secrets { chat: chat.clone(), message: id_of(&message), file: id_of(&message["files"][0]) };
    let one = format!("{path}/messages/{}", secrets.message);
    let say = |content: String| json!({ "content": content });
    let steps: Vec<(&str, &Actor, Method, String, Option<Value>)> = vec![
        (
            "a mention",
            &bob,
            Method::POST,
            format!("{path}/messages"),
            Some(say(format!("{all} {SECRET} two"))),
        ),
        ("a reaction", &bob, Method::PUT, format!("{one}/reactions/👍"), None),
        ("a pin", &bob, Method::PUT, format!("{one}/pin"), None),
        ("a saved message", &bob, Method::PUT, format!("{one}/saved"), None),
        (
            "a reply",
            &bob,
            Method::POST,
            format!("{path}/messages"),
            Some(json!({
                "content": format!("{all} {SECRET} two"), "thread_root": secrets.message, "also_in_chat": true,
            })),
        ),
        (
            "a quote",
            &ann,
            Method::POST,
            format!("{path}/messages"),
            Some(json!({
                "content": format!("{SECRET} two"), "reply_to": secrets.message,
            })),
        ),
        ("an edit", &ann, Method::PATCH, one.clone(), Some(say(format!("{all} {SECRET} two, again")))),
        ("a read thread", &ann, Method::PUT, format!("{one}/thread/read"), Some(json!({ "seq": 1000 }))),
        ("typing", &ann, Method::POST, format!("{path}/typing"), None),
        ("a description", &ann, Method::PUT, path.clone(), Some(json!({ "description": SECRET }))),
        ("a deletion", &ann, Method::DELETE, one.clone(), None),
    ];
    for (what, actor, method, path, body) in steps {
        let answer = actor.request(method, &path, body).await;
        assert!((200..300).contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
        for outsider in &mut outsiders {
            outsider.learns_nothing(&secrets, &chat_name, what).await;
        }
    }
    // Those inside find it, so it was there to be found.
    let found = bob.get(&format!("/api/search?q={SECRET}")).await.expect(200);
    assert!(found["results"].as_array().is_some_and(|results| results.len() >= 3), "{found}");
    for outsider in &mut outsiders {
        assert_eq!(outsider.stream.during(QUIET).await, [], "{}", outsider.actor.name);
    }
}
