//! Many people who do everything that people do, and what they were answered.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use fechatter_tests::{Actor, Site, actor::id_of, files::PIXEL};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::PATIENCE;

/// People who write; the owner of it all comes beside them.
const PEOPLE: usize = 12;
/// The reaction to one's own messages, which stays.
pub(super) const STAYS: &str = "👍";
/// The one to anybody's, which is taken away again.
const GOES: &str = "👀";

/// A message, as its sender was last answered.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Which of the people.
    pub(super) sender: usize,
    /// Its path.
    pub(super) path: String,
    /// The answer to the sending, with what an edit has changed since.
    pub(super) message: Value,
    /// What its files held.
    pub(super) bytes: Vec<Vec<u8>>,
    /// Whether its sender has reacted to it.
    pub(super) reacted: bool,
    /// Whether it is deleted.
    pub(super) deleted: bool,
}

/// The load, until it is finished.
pub(super) struct Load {
    /// Who owns the workspace and the chats.
    pub(super) owner: Actor,
    /// Who writes.
    pub(super) people: Vec<Actor>,
    /// The chats that everybody is in.
    pub(super) chats: Vec<String>,
    ledger: Arc<Mutex<Vec<Kept>>>,
    stop: CancellationToken,
    at_work: JoinSet<()>,
}

impl Load {
    /// Lets everybody begin.
    pub(super) async fn start(site: &Site) -> Self {
        let owner = site.sign_up("owner").await;
        let workspace = owner.make_workspace("Acme").await;
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            let person = site.sign_up(&format!("person{n}")).await;
            owner.welcome(&workspace, &person).await;
            people.push(person);
        }
        let all: Vec<_> = people.iter().collect();
        let mut chats = Vec::new();
        for kind in ["Group", "PrivateChannel"] {
            chats.push(owner.make_chat(&workspace, kind, &all).await);
        }
        let channel = owner.make_chat(&workspace, "PublicChannel", &[]).await;
        let (ledger, stop, mut at_work) = (Arc::default(), CancellationToken::new(), JoinSet::new());
        for (n, actor) in people.iter().cloned().enumerate() {
            let mut person = Person {
                n,
                actor,
                workspace: workspace.clone(),
                chats: chats.clone(),
                channel: channel.clone(),
                joined: false,
                ledger: Arc::clone(&ledger),
                rng: StdRng::seed_from_u64(n as u64),
            };
            let stop = stop.clone();
            at_work.spawn(async move {
                while !stop.is_cancelled() {
                    person.do_something().await;
                }
            });
        }
        Self { owner, people, chats, ledger, stop, at_work }
    }

    /// What was acknowledged by now.
    pub(super) fn acknowledged(&self) -> Vec<Kept> {
        self.ledger.lock().expect("no panic").clone()
    }

    /// Waits until `more` messages are acknowledged than `before`.
    pub(super) async fn until(&self, before: usize, more: usize) {
        let end = Instant::now() + PATIENCE;
        while self.acknowledged().len() < before + more {
            assert!(Instant::now() < end, "{} messages of {before} and {more}", self.acknowledged().len());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it, once everybody was answered.
    pub(super) async fn finish(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.at_work.join_next().await {
            ended.expect("nobody met something unheard of");
        }
    }
}

/// Somebody at work.
struct Person {
    n: usize,
    actor: Actor,
    workspace: String,
    chats: Vec<String>,
    channel: String,
    joined: bool,
    ledger: Arc<Mutex<Vec<Kept>>>,
    rng: StdRng,
}

impl Person {
    async fn do_something(&mut self) {
        match self.rng.random_range(0..12) {
            0..4 => self.send().await,
            4 => self.send_files().await,
            5 => self.reply().await,
            6 => self.edit().await,
            7 => self.delete().await,
            8 => self.react().await,
            9 => self.look().await,
            10 => self.join_or_leave().await,
            _ => self.react_elsewhere().await,
        }
    }

    fn any_chat(&mut self) -> String {
        self.chats[self.rng.random_range(0..self.chats.len())].clone()
    }

    /// One of one's own messages that is not deleted, and its place in the ledger.
    fn any_own(&mut self) -> Option<(usize, Kept)> {
        let ledger = self.ledger.lock().expect("no panic");
        let own = ledger.iter().enumerate().filter(|(_, kept)| kept.sender == self.n && !kept.deleted);
        let own: Vec<_> = own.collect();
        let (at, kept) = own.get(self.rng.random_range(0..own.len().max(1)))?;
        Some((*at, (*kept).clone()))
    }

    fn change(&self, at: usize, change: impl FnOnce(&mut Kept)) {
        change(&mut self.ledger.lock().expect("no panic")[at]);
    }

    async fn send(&mut self) {
        let chat = self.any_chat();
        self.send_to(&chat, json!({}), Vec::new()).await;
    }

    /// Sends, mostly with mentions; `body` has what else belongs to the message, and `bytes` what its files hold.
    async fn send_to(&mut self, chat: &str, mut body: Value, bytes: Vec<Vec<u8>>) {
        let names = ["", " @all", " @person3", " @person7 and @person1"];
        let name = names[self.rng.random_range(0..names.len())];
        body["content"] =
            json!(format!("{} says {}{name}", self.actor.name, self.rng.random_range(0..1_000_000)));
        body["client_id"] = json!(Uuid::new_v4());
        let message = self.actor.post(&format!("/api/chats/{chat}/messages"), body).await.expect(201);
        let path = format!("/api/chats/{chat}/messages/{}", id_of(&message));
        let kept = Kept { sender: self.n, path, message, bytes, reacted: false, deleted: false };
        self.ledger.lock().expect("no panic").push(kept);
    }

    /// A picture, which gets a small one, and some chunks of anything.
    async fn send_files(&mut self) {
        let anything = (0..self.rng.random_range(1..150_000)).map(|_| self.rng.random()).collect();
        let bytes = vec![PIXEL.to_vec(), anything];
        let mut ids = Vec::new();
        for (name, bytes) in ["pixel.png", "anything"].iter().zip(&bytes) {
            let file = self.actor.upload(&self.workspace, name, bytes.clone()).await.expect(201);
            ids.push(file["id"].clone());
        }
        let chat = self.any_chat();
        self.send_to(&chat, json!({ "file_ids": ids }), bytes).await;
    }

    async fn reply(&mut self) {
        let Some((_, root)) = self.any_own() else { return };
        // A thread stands under what stands in the chat.
        if root.message["thread_root"].is_null() {
            let chat = root.message["chat_id"].as_str().expect("an id").to_owned();
            let in_chat = self.rng.random_bool(0.3);
            let body = json!({ "thread_root": root.message["id"], "also_in_chat": in_chat });
            self.send_to(&chat, body, Vec::new()).await;
        }
    }

    async fn edit(&mut self) {
        let Some((at, kept)) = self.any_own() else { return };
        let content = format!("{} corrects @person{}", self.actor.name, self.rng.random_range(0..PEOPLE));
        let edited = self.actor.patch(&kept.path, json!({ "content": content })).await.expect(200);
        self.change(at, |kept| {
            for field in ["content", "version", "edited_at", "mentions", "mentions_all"] {
                kept.message[field] = edited[field].clone();
            }
        });
    }

    async fn delete(&mut self) {
        let Some((at, kept)) = self.any_own() else { return };
        self.actor.delete(&kept.path).await.expect(204);
        self.change(at, |kept| kept.deleted = true);
    }

    async fn react(&mut self) {
        let Some((at, kept)) = self.any_own() else { return };
        let path = format!("{}/reactions/{STAYS}", kept.path);
        self.actor.request(Method::PUT, &path, None).await.expect(200);
        self.change(at, |kept| kept.reacted = true);
    }

    /// On whatever anybody wrote, which its sender may be deleting.
    async fn react_elsewhere(&mut self) {
        let ledger = self.ledger.lock().expect("no panic").clone();
        let Some(kept) = ledger.get(self.rng.random_range(0..ledger.len().max(1))) else { return };
        let path = format!("{}/reactions/{GOES}", kept.path);
        let put = self.actor.request(Method::PUT, &path, None).await;
        assert!(matches!(put.status, 200 | 409), "{}: {}", put.request, put.body);
        let taken = self.actor.delete(&path).await;
        assert!(matches!(taken.status, 200 | 409), "{}: {}", taken.request, taken.body);
    }

    /// Reads a chat's newest page, and marks it as read.
    async fn look(&mut self) {
        let chat = self.any_chat();
        let page = self.actor.get(&format!("/api/chats/{chat}/messages?limit=50")).await.expect(200);
        let Some(newest) = page["messages"].get(0) else { return };
        let seq = newest["seq"].clone();
        self.actor.put(&format!("/api/chats/{chat}/read"), json!({ "seq": seq })).await.expect(200);
    }

    async fn join_or_leave(&mut self) {
        let channel = format!("/api/chats/{}", self.channel);
        if self.joined {
            self.actor.delete(&format!("{channel}/members/me")).await.expect(204);
        } else {
            self.actor.act(&format!("{channel}/join")).await.expect(200);
        }
        self.joined = !self.joined;
    }
}
