//! People who speak HTTP.

use std::{net::SocketAddr, sync::Once, time::Duration};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{Answer, Site, Stream};

/// A person with a token, or without.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The full name, and the first part of the e-mail address.
    pub name: String,
    /// Who; empty for anonymous.
    pub id: String,
    /// The access token; empty for anonymous.
    pub token: String,
    /// The refresh token; empty for anonymous.
    pub refresh_token: String,
    /// The REST server.
    pub rest: SocketAddr,
    /// The stream server.
    pub notify: SocketAddr,
    /// Keeps connections open between requests.
    pub client: Client,
}

impl Actor {
    /// Somebody without a token, at these servers.
    pub fn anonymous_at(rest: SocketAddr, notify: SocketAddr) -> Self {
        let nothing = String::new;
        Self {
            name: "anonymous".into(),
            id: nothing(),
            token: nothing(),
            refresh_token: nothing(),
            rest,
            notify,
            client: client(),
        }
    }

    /// The person of a sign-up's or sign-in's answer.
    pub fn from_session(site: &Site, session: &Value) -> Self {
        let text = |field: &str| {
            session[field].as_str().unwrap_or_else(|| panic!("{field} in {session}")).to_owned()
        };
        Self {
            name: text("full_name"),
            id: text("id"),
            token: text("token"),
            refresh_token: text("refresh_token"),
            ..site.anonymous()
        }
    }

    /// The same person with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The same person at other servers.
    pub fn at(&self, rest: SocketAddr, notify: SocketAddr) -> Self {
        Self { rest, notify, ..self.clone() }
    }

    /// A request with or without a body.
    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let name = format!("{method} {path} by {}", self.name);
        self.try_request(method, path, body).await.unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    /// A request whose answer may get lost.
    ///
    /// # Errors
    /// No answer, or only a part of one: what was asked for may have been done or not.
    pub async fn try_request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Answer> {
        let address = if path.starts_with("/api/notifications") { self.notify } else { self.rest };
        let mut request = self.client.request(method.clone(), format!("http://{address}{path}"));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let response = request.timeout(Duration::from_secs(30)).send().await?;
        Answer::try_read(format!("{method} {path} by {}", self.name), response).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, None).await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path, Some(body)).await
    }

    /// POST with an `Idempotency-Key`.
    pub async fn post_once(&self, key: &str, path: &str, body: Value) -> Answer {
        let name = format!("POST {path} by {} with a key", self.name);
        let request = self.client.post(format!("http://{}{path}", self.rest)).json(&body);
        let request = request.bearer_auth(&self.token).header("idempotency-key", key);
        let response = request.send().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        Answer::read(name, response).await
    }

    /// POST without a body.
    pub async fn act(&self, path: &str) -> Answer {
        self.request(Method::POST, path, None).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PUT, path, Some(body)).await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PATCH, path, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, None).await
    }

    /// Opens the event stream; `cursor` goes into `Last-Event-ID`.
    pub async fn stream(&self, cursor: Option<&str>) -> Stream {
        Stream::open(self, cursor).await
    }

    /// Makes a workspace; answers its id.
    pub async fn make_workspace(&self, name: &str) -> String {
        let made = self.post("/api/workspaces", json!({ "name": name })).await.expect(201);
        id_of(&made)
    }

    /// Adds somebody to one's workspace, by an invite.
    pub async fn welcome(&self, workspace: &str, person: &Actor) {
        let invite = self.post(&format!("/api/workspaces/{workspace}/invites"), json!({})).await.expect(201);
        person.post("/api/invites/accept", json!({ "token": invite["token"] })).await.expect(200);
    }

    /// Makes a chat with these people; answers its id.
    pub async fn make_chat(&self, workspace: &str, chat_type: &str, people: &[&Actor]) -> String {
        let name = (chat_type != "Single").then_some("a chat");
        let people: Vec<_> = people.iter().map(|person| &person.id).collect();
        let body = json!({
            "workspace_id": workspace, "chat_type": chat_type, "name": name, "member_ids": people,
        });
        let answer = self.post("/api/chats", body).await;
        assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.request, answer.body);
        id_of(&answer.body)
    }

    /// Sends a message; answers it whole.
    pub async fn send(&self, chat: &str, content: &str) -> Value {
        self.post(&format!("/api/chats/{chat}/messages"), json!({ "content": content })).await.expect(201)
    }

    /// The caller's list entry of a chat.
    pub async fn chat_in_list(&self, chat: &str) -> Value {
        let list = self.get("/api/chats").await.expect(200);
        let found = list["chats"].as_array().into_iter().flatten().find(|entry| entry["id"] == chat);
        found.unwrap_or_else(|| panic!("{chat} is not in {list}")).clone()
    }
}

/// An HTTP client without a time limit; it belongs to the runtime of the test that uses it.
pub fn client() -> Client {
    install_cryptography();
    Client::builder().no_proxy().build().expect("a client")
}

/// Tells HTTP clients how TLS is done, which they want to know even without it.
pub fn install_cryptography() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Refused only when one is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

/// The `id` of a thing just made.
pub fn id_of(made: &Value) -> String {
    made["id"].as_str().unwrap_or_else(|| panic!("no id in {made}")).to_owned()
}
