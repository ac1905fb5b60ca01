//! People who send, join and leave all the time, and witnesses who listen on all their devices.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use chat_core::event::Position;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
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
    history::{Absence, Chat, Edit, History, Outcome, Send, text_of},
    witness::{Witness, ask, read_chat},
};

/// The most that is added to a message: enough to fill the buffers of a reader that stalls.
const PADDING: usize = 8000;
/// How many of their own messages somebody may edit or answer: the last ones.
const RECENT: usize = 8;
/// When nothing was written for so long, nothing is under way any more.
const SETTLED: Duration = Duration::from_secs(1);

/// Everything that goes on.
pub struct Workload {
    doors: Doors,
    owner: Actor,
    chats: Vec<Chat>,
    stop: CancellationToken,
    end: watch::Sender<Option<i64>>,
    senders: Vec<JoinHandle<Sender>>,
    churning: Vec<JoinHandle<Vec<Absence>>>,
    witnesses: Vec<Witness>,
}

impl Workload {
    /// Ann, bob and cid are in two chats. Dan is taken in and out all the time; gus is removed once; eve is in the
    /// workspace and fay is nowhere: they all listen, and ann, bob, cid and dan send, edit and answer.
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
            let sender = Sender {
                actor: sender.clone(),
                doors: doors.clone(),
                recent: VecDeque::new(),
                sends: Vec::new(),
                edits: Vec::new(),
            };
            senders.push(tokio::spawn(sender.run(ids.clone(), stop.clone(), rng)));
        }
        let mut churning = Vec::new();
        for (chat, n) in ids.iter().zip(100..) {
            let rng = StdRng::seed_from_u64(seed.wrapping_add(n));
            let churn =
                churn(ann.clone(), dan.clone(), gus.clone(), doors.clone(), chat.clone(), stop.clone(), rng);
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
        let mut history = History::default();
        for sender in self.senders {
            let sender = timeout_at(deadline, sender).await.expect("an answer in time");
            let sender = sender.expect("a sender met something unheard of");
            history.sends.extend(sender.sends);
            history.edits.extend(sender.edits);
        }
        for churn in self.churning {
            let absences = timeout_at(deadline, churn).await.expect("an answer in time");
            history.absences.extend(absences.expect("the owner met something unheard of"));
        }
        let end = settle(&self.doors, &self.owner).await;
        self.end.send_replace(Some(end));
        for witness in self.witnesses {
            history.clients.push(witness.testify(deadline).await);
        }
        for chat in &mut self.chats {
            chat.messages = read_chat(&self.doors, &self.owner, &chat.id).await.expect("one's own chat");
        }
        History { chats: self.chats, end, ..history }
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

/// Somebody who writes, and what they have written.
struct Sender {
    actor: Actor,
    doors: Doors,
    recent: VecDeque<Own>,
    sends: Vec<Send>,
    edits: Vec<Edit>,
}

/// A message of one's own.
struct Own {
    chat: String,
    id: String,
    version: i64,
}

impl Sender {
    /// Sends one message after the other, some of them answers, and edits some in between.
    async fn run(mut self, chats: Vec<String>, stop: CancellationToken, mut rng: StdRng) -> Self {
        while !stop.is_cancelled() {
            let chat = &chats[rng.random_range(0..chats.len())];
            let answered =
                rng.random_bool(0.2).then(|| self.recent.iter().rev().find(|own| own.chat == *chat));
            let client_id = Uuid::new_v4().to_string();
            let words = format!("{client_id}{}", "x".repeat(rng.random_range(0..PADDING)));
            let body = json!({
                "content": text_of(1, &words), "client_id": client_id,
                "reply_to": answered.flatten().map(|own| &own.id),
            });
            let outcome = self.send(chat, body).await;
            if let Outcome::Acknowledged { message, .. } = &outcome {
                self.recent.push_back(Own { chat: chat.clone(), id: message.clone(), version: 1 });
                if self.recent.len() > RECENT {
                    self.recent.pop_front();
                }
            }
            let sender = self.actor.id.clone();
            self.sends.push(Send { chat: chat.clone(), sender, client_id, outcome });
            if rng.random_bool(0.3) && !self.recent.is_empty() {
                self.edit(rng.random_range(0..self.recent.len())).await;
            }
            sleep(Duration::from_millis(rng.random_range(1..30))).await;
        }
        self
    }

    /// Sends a message, again with the same key until it is answered.
    async fn send(&self, chat: &str, body: Value) -> Outcome {
        let path = format!("/api/chats/{chat}/messages");
        let mut lost = false;
        loop {
            let answer =
                self.doors.at_any(&self.actor).try_request(Method::POST, &path, Some(body.clone())).await;
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

    /// Gives a recent message a new text. What is not acknowledged is not edited again: its version is not known.
    async fn edit(&mut self, which: usize) {
        let Some(own) = self.recent.remove(which) else { return };
        let (path, version) = (format!("/api/chats/{}/messages/{}", own.chat, own.id), own.version + 1);
        let body = json!({ "content": text_of(version, "edited"), "expected_version": own.version });
        self.edits.push(Edit { message: own.id.clone(), version, begun: Instant::now() });
        let answer = self.doors.at_any(&self.actor).try_request(Method::PATCH, &path, Some(body)).await;
        match answer {
            Ok(answer) if answer.status == 200 => self.recent.push_back(Own { version, ..own }),
            Ok(answer) => {
                assert!(
                    matches!(answer.status, 404 | 503),
                    "{}: {} {}",
                    answer.request,
                    answer.status,
                    answer.body
                );
            }
            Err(_) => {}
        }
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
    chat: String,
    stop: CancellationToken,
    mut rng: StdRng,
) -> Vec<Absence> {
    let path = format!("/api/chats/{chat}/members");
    let remove = async |person: &Actor| {
        let removed = ask(&doors, &owner, Method::DELETE, &format!("{path}/{}", person.id), None).await;
        // 404: the answer to the first attempt was lost.
        assert!(matches!(removed.status, 204 | 404), "{}: {}", removed.request, removed.body);
        Absence { chat: chat.clone(), person: person.id.clone(), from: Instant::now(), until: None }
    };
    sleep(Duration::from_millis(rng.random_range(100..600))).await;
    let mut absences = vec![remove(&gus).await];
    while !stop.is_cancelled() {
        sleep(Duration::from_millis(rng.random_range(50..500))).await;
        let absence = remove(&dan).await;
        // At times for longer than the poll: what was read late is delivered while he is out.
        let out = if rng.random_bool(0.3) { 1_500 } else { 300 };
        sleep(Duration::from_millis(rng.random_range(20..out))).await;
        absences.push(Absence { until: Some(Instant::now()), ..absence });
        let body = json!({ "member_ids": [dan.id] });
        ask(&doors, &owner, Method::POST, &path, Some(body)).await.expect(200);
    }
    absences
}
