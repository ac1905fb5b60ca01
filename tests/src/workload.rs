//! People who send, join and leave all the time, and witnesses who listen on all their devices.

use std::{collections::BTreeSet, time::Duration};

use chat_core::event::Position;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Actor,
    fleet::Doors,
    history::{Chat, History, Outcome, Send},
    witness::{Witness, ask, read_chat},
};

/// The most that is added to a message: enough to fill the buffers of a reader that stalls.
const PADDING: usize = 8000;
/// When nothing was written for so long, nothing is under way any more.
const SETTLED: Duration = Duration::from_secs(1);

/// Everything that goes on.
pub struct Workload {
    doors: Doors,
    owner: Actor,
    chats: Vec<Chat>,
    stop: CancellationToken,
    end: watch::Sender<Option<i64>>,
    senders: Vec<JoinHandle<Vec<Send>>>,
    churning: Vec<JoinHandle<()>>,
    witnesses: Vec<Witness>,
}

impl Workload {
    /// Ann, bob and cid are in two chats. Dan is taken in and out all the time; gus is removed once; eve is in the
    /// workspace and fay is nowhere: they all listen, and ann, bob, cid and dan send.
    pub async fn start(doors: Doors, seed: u64) -> Self {
        let mut people = Vec::new();
        for name in ["ann", "bob", "cid", "dan", "gus", "eve", "fay"] {
            people.push(sign_up(&doors, name).await);
        }
        let [ann, bob, cid, dan, gus, eve, _] = &people[..] else { unreachable!("seven people") };
        let workspace = ann.make_workspace("Acme").await;
        for person in [bob, cid, dan, gus, eve] {
            ann.welcome(&workspace, person).await;
        }
        let mut chats = Vec::new();
        for kind in ["Group", "PrivateChannel"] {
            let members = [bob, cid, dan, gus];
            let id = ann.make_chat(&workspace, kind, &members).await;
            let first_members =
                members.into_iter().chain([ann]).map(|person| person.id.clone()).collect::<BTreeSet<_>>();
            chats.push(Chat { id, first_members, messages: Vec::new() });
        }
        let end = watch::Sender::new(None);
        let mut witnesses = Vec::new();
        for person in people.iter().chain([bob, dan]) {
            let name = format!("{}'s device {}", person.name, witnesses.len() + 1);
            witnesses.push(Witness::start(&name, person, &doors, end.subscribe()).await);
        }
        let stop = CancellationToken::new();
        let ids: Vec<_> = chats.iter().map(|chat| chat.id.clone()).collect();
        let mut senders = Vec::new();
        for (sender, n) in [ann, bob, cid, dan].into_iter().zip(1..) {
            let rng = StdRng::seed_from_u64(seed.wrapping_add(n));
            let sending = send(sender.clone(), doors.clone(), ids.clone(), stop.clone(), rng);
            senders.push(tokio::spawn(sending));
        }
        let mut churning = Vec::new();
        for (chat, n) in ids.iter().zip(100..) {
            let rng = StdRng::seed_from_u64(seed.wrapping_add(n));
            let path = format!("/api/chats/{chat}/members");
            let churn = churn(ann.clone(), dan.clone(), gus.clone(), doors.clone(), path, stop.clone(), rng);
            churning.push(tokio::spawn(churn));
        }
        Self { doors, owner: ann.clone(), chats, stop, end, senders, churning, witnesses }
    }

    /// Ends it, and tells what everybody saw. The servers must be reachable again.
    ///
    /// # Panics
    /// When somebody was answered what they must not be, or nothing for as long as `patience`.
    pub async fn finish(mut self, patience: Duration) -> History {
        self.stop.cancel();
        let deadline = Instant::now() + patience;
        let mut sends = Vec::new();
        for sender in self.senders {
            let sent = timeout_at(deadline, sender).await.expect("an answer in time");
            sends.extend(sent.expect("a sender met something unheard of"));
        }
        for churn in self.churning {
            let churned = timeout_at(deadline, churn).await.expect("an answer in time");
            churned.expect("the owner met something unheard of");
        }
        let end = settle(&self.doors, &self.owner).await;
        self.end.send_replace(Some(end));
        let mut clients = Vec::new();
        for witness in self.witnesses {
            clients.push(witness.testify(deadline).await);
        }
        for chat in &mut self.chats {
            chat.messages = read_chat(&self.doors, &self.owner, &chat.id).await.expect("one's own chat");
        }
        History { chats: self.chats, sends, clients, end }
    }
}

/// Where the log ends once nothing is written any more: a request whose answer was lost may still be served.
async fn settle(doors: &Doors, reader: &Actor) -> i64 {
    let mut before = None;
    loop {
        let chats = ask(doors, reader, Method::GET, "/api/chats", None).await;
        let now = Position::parse(&chats.event_id()).expect("a position").id;
        if before.replace(now) == Some(now) {
            return now;
        }
        sleep(SETTLED).await;
    }
}

async fn sign_up(doors: &Doors, name: &str) -> Actor {
    let body = json!({
        "email": format!("{name}@example.com"), "password": "a long enough phrase", "full_name": name,
    });
    let session = doors.anonymous().post("/api/auth/signup", body).await.expect(201);
    let text = |field: &str| session[field].as_str().expect("text").to_owned();
    Actor { name: name.to_owned(), id: text("id"), token: text("token"), ..doors.anonymous() }
}

/// Sends one message after the other, each again with the same key until it is answered.
async fn send(
    sender: Actor,
    doors: Doors,
    chats: Vec<String>,
    stop: CancellationToken,
    mut rng: StdRng,
) -> Vec<Send> {
    let mut sends = Vec::new();
    while !stop.is_cancelled() {
        let chat = &chats[rng.random_range(0..chats.len())];
        let client_id = Uuid::new_v4().to_string();
        let content = format!("{client_id}{}", "x".repeat(rng.random_range(0..PADDING)));
        let outcome = send_one(&sender, &doors, chat, &client_id, &content).await;
        sends.push(Send { chat: chat.clone(), sender: sender.id.clone(), client_id, outcome });
        sleep(Duration::from_millis(rng.random_range(1..30))).await;
    }
    sends
}

async fn send_one(sender: &Actor, doors: &Doors, chat: &str, client_id: &str, content: &str) -> Outcome {
    let path = format!("/api/chats/{chat}/messages");
    let body = json!({ "content": content, "client_id": client_id });
    let mut lost = false;
    loop {
        let answer = doors.at_any(sender).try_request(Method::POST, &path, Some(body.clone())).await;
        match answer.as_ref().map(|answer| answer.status) {
            // 503 does not say whether it was written: PostgreSQL may have gone just after.
            Err(_) | Ok(503) => lost = true,
            Ok(404) if lost => return Outcome::Unknown,
            Ok(404) => return Outcome::Refused,
            Ok(_) => break acknowledged(answer.expect("an answer")),
        }
        sleep(Duration::from_millis(rand::random_range(10..60))).await;
    }
}

fn acknowledged(answer: crate::Answer) -> Outcome {
    assert!(matches!(answer.status, 200 | 201), "{}: {} {}", answer.request, answer.status, answer.body);
    let message = answer.body["id"].as_str().expect("an id").to_owned();
    Outcome::Acknowledged { message, seq: answer.body["seq"].as_i64().expect("a seq") }
}

/// Removes gus, then removes dan and takes him in again, over and over.
async fn churn(
    owner: Actor,
    dan: Actor,
    gus: Actor,
    doors: Doors,
    path: String,
    stop: CancellationToken,
    mut rng: StdRng,
) {
    let remove = async |person: &Actor| {
        let removed = ask(&doors, &owner, Method::DELETE, &format!("{path}/{}", person.id), None).await;
        // 404: the answer to the first attempt was lost.
        assert!(matches!(removed.status, 204 | 404), "{}: {}", removed.request, removed.body);
    };
    sleep(Duration::from_millis(rng.random_range(100..600))).await;
    remove(&gus).await;
    while !stop.is_cancelled() {
        sleep(Duration::from_millis(rng.random_range(50..500))).await;
        remove(&dan).await;
        sleep(Duration::from_millis(rng.random_range(20..300))).await;
        let body = json!({ "member_ids": [dan.id] });
        ask(&doors, &owner, Method::POST, &path, Some(body)).await.expect(200);
    }
}
