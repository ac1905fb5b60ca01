//! A client that follows its stream whatever happens, and writes down what it sees.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chat_core::event::Position;
use reqwest::Method;
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    Actor, Answer, Received, Stream,
    fleet::Doors,
    history::{Client, Frame, Message, Reload, Step},
};

/// Between attempts to connect.
const PAUSE: Duration = Duration::from_millis(40);
/// Messages on a page of the history.
const PAGE: usize = 100;

/// Asks until there is an answer, of any server; 503 is none.
pub async fn ask(doors: &Doors, actor: &Actor, method: Method, path: &str, body: Option<Value>) -> Answer {
    loop {
        let answer = doors.at_any(actor).try_request(method.clone(), path, body.clone()).await;
        if let Ok(answer) = answer
            && answer.status != 503
        {
            return answer;
        }
        sleep(PAUSE).await;
    }
}

/// The whole history of a chat by `seq`; none when the reader is not in it.
pub async fn read_chat(doors: &Doors, reader: &Actor, chat: &str) -> Option<Vec<Message>> {
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let before = messages.last().map(|oldest| format!("&before={}", oldest.id)).unwrap_or_default();
        let path = format!("/api/chats/{chat}/messages?limit={PAGE}{before}");
        let answer = ask(doors, reader, Method::GET, &path, None).await;
        if answer.status == 404 {
            return None;
        }
        let page = answer.expect(200);
        let page = page["messages"].as_array().expect("messages");
        messages.extend(page.iter().map(Message::of));
        if page.len() < PAGE {
            messages.reverse();
            return Some(messages);
        }
    }
}

/// A witness at work.
pub struct Witness {
    client: Client,
    steps: Arc<Mutex<Vec<Step>>>,
    following: JoinHandle<()>,
}

impl Witness {
    /// Begins at the present end of the log, and follows until it has come to `end`.
    pub async fn start(name: &str, actor: &Actor, doors: &Doors, end: watch::Receiver<Option<i64>>) -> Self {
        let cursor = ask(doors, actor, Method::GET, "/api/chats", None).await.event_id();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let device = Device { actor: actor.clone(), doors: doors.clone(), steps: Arc::clone(&steps), cursor };
        let client = Client { name: name.to_owned(), person: actor.id.clone(), steps: Vec::new() };
        Self { client, steps, following: tokio::spawn(device.follow(end)) }
    }

    /// What it saw, once it has come to the end, or else at the deadline.
    ///
    /// # Panics
    /// When the witness did: it was answered what it must not be.
    pub async fn testify(mut self, deadline: Instant) -> Client {
        if let Ok(followed) = timeout_at(deadline, &mut self.following).await {
            followed.expect("the witness met something unheard of");
        }
        self.following.abort();
        self.client.steps = std::mem::take(&mut *self.steps.lock().expect("no panic"));
        self.client
    }
}

struct Device {
    actor: Actor,
    doors: Doors,
    steps: Arc<Mutex<Vec<Step>>>,
    /// As a browser keeps it: the last id that was read.
    cursor: String,
}

impl Device {
    async fn follow(mut self, end: watch::Receiver<Option<i64>>) {
        let has_ended = |cursor: &str| {
            end.borrow().is_some_and(|end| Position::parse(cursor).expect("a position").id >= end)
        };
        loop {
            let opened = Stream::try_open(&self.doors.at_any(&self.actor), &self.cursor).await;
            let Some((mut stream, hello)) = opened else {
                sleep(PAUSE).await;
                continue;
            };
            self.write(Step::Opened(Position::parse(&self.cursor)));
            self.note(&hello);
            while let Some(received) = stream.next().await {
                self.note(&received);
                if received.event == "reset" {
                    let reload = self.reload().await;
                    self.write(Step::Reloaded(reload));
                }
                if has_ended(&self.cursor) {
                    return;
                }
            }
        }
    }

    fn write(&self, step: Step) {
        self.steps.lock().expect("no panic").push(step);
    }

    fn note(&mut self, received: &Received) {
        if let Some(frame) = Frame::of(received) {
            received.id.clone_into(&mut self.cursor);
            self.write(Step::Frame(frame));
        }
    }

    async fn reload(&self) -> Reload {
        let list = ask(&self.doors, &self.actor, Method::GET, "/api/chats", None).await;
        let position = Position::parse(&list.event_id()).expect("a position").id;
        let mut reload = Reload { position, ..Reload::default() };
        for entry in list.expect(200)["chats"].as_array().expect("chats") {
            let chat = entry["id"].as_str().expect("an id");
            // None when the person was removed since: the stream will tell.
            let messages = read_chat(&self.doors, &self.actor, chat).await;
            let ids = messages.map(|messages| messages.into_iter().map(|message| message.id).collect());
            reload.chats.insert(chat.to_owned(), ids);
        }
        reload
    }
}
