//! Random operations against a small model: after each one REST shows what the model says, and so does a client
//! that knows only what its stream told it.

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};

use fechatter_tests::{Actor, Answer, Received, Site, Stream, actor::id_of};
use serde_json::{Value, json};

/// The seed, unless `FECHATTER_MODEL_SEED` gives another.
const SEED: u64 = 20_261_121;
const STEPS: usize = 3_000;
const TIME: Duration = Duration::from_secs(25);
/// Who owns the workspace and its chats, and stays.
const OWNER: usize = 0;

/// `SplitMix64` (Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(end).expect("a small number")).expect("a small number")
    }
}

/// A message, to the model and to a client.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    id: String,
    sender: String,
    system: bool,
    content: Option<String>,
    version: i64,
    /// Ids, in order; everybody is `*`.
    mentions: Vec<String>,
}

impl Said {
    fn read(message: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            id: text(&message["id"]).expect("an id"),
            sender: text(&message["sender"]["id"]).expect("a sender"),
            system: message["kind"] == "System",
            content: text(&message["content"]),
            version: message["version"].as_i64().expect("a version"),
            mentions: mentions(message),
        }
    }

    fn counts(&self) -> bool {
        !self.system && self.content.is_some()
    }
}

fn mentions(message: &Value) -> Vec<String> {
    let people = message["mentions"].as_array().expect("mentions").iter();
    let people = people.map(|id| id.as_str().expect("an id").to_owned());
    people.chain((message["mentions_all"] == true).then(|| "*".to_owned())).collect()
}

/// A chat as one person has it.
#[derive(Clone, Debug, PartialEq)]
struct Own {
    /// The last seq before they joined.
    joined: usize,
    last_read: usize,
    /// In the order of their seqs, from 1.
    messages: Vec<Said>,
}

/// What the list of chats shows of one.
#[derive(Debug, PartialEq)]
struct Shown {
    unread: usize,
    mentions: usize,
    last_read: usize,
    last_seq: usize,
    last_message: Option<(String, String)>,
}

impl Own {
    fn shown(&self, me: &str) -> Shown {
        let unread = |said: &&Said| said.counts() && said.sender != me;
        let unread = self.messages[self.last_read..].iter().filter(unread).count();
        // Everybody means who was there.
        let since_joined = |place: usize| place >= self.joined;
        let mentioned = self.messages.iter().enumerate().skip(self.last_read).filter(|(place, said)| {
            let everybody = said.mentions.iter().any(|name| name == "*") && since_joined(*place);
            said.counts() && said.sender != me && (everybody || said.mentions.iter().any(|name| name == me))
        });
        let last = self.messages.iter().rev().find(|said| said.counts());
        Shown {
            unread: unread.min(1000),
            mentions: mentioned.count().min(1000),
            last_read: self.last_read,
            last_seq: self.messages.len(),
            last_message: last.and_then(|said| Some((said.id.clone(), said.content.clone()?))),
        }
    }
}

/// The model of a chat: a list, and how far each of its people has read it.
struct Chat {
    id: String,
    messages: Vec<Said>,
    read: BTreeMap<usize, usize>,
    /// The last seq before each of its people joined.
    joined: BTreeMap<usize, usize>,
}

impl Chat {
    fn of(&self, person: usize) -> Option<Own> {
        let last_read = *self.read.get(&person)?;
        Some(Own { joined: self.joined[&person], last_read, messages: self.messages.clone() })
    }

    /// Whom a text mentions, as [`Said`] has it.
    fn named(&self, content: &str, people: &[Actor]) -> Vec<String> {
        match handle(content) {
            None => Vec::new(),
            Some("all") => vec!["*".to_owned()],
            Some(name) => {
                let members = self.read.keys().map(|person| &people[*person]);
                members.filter(|person| person.name == name).map(|person| person.id.clone()).collect()
            }
        }
    }
}

/// Who are in the workspace.
const NAMES: [&str; 4] = ["ann", "bob", "cid", "dan"];

/// What is said in a step: some of it mentions somebody.
fn text(number: usize) -> String {
    let name = NAMES[number / 15 % 4];
    match number / 3 % 5 {
        0 => format!("@all {number}"),
        1 | 2 => format!("@{name} {number}"),
        3 => format!("`@{name}` {number}"),
        _ => format!("{number}"),
    }
}

/// The handle that a [`text`] mentions.
fn handle(content: &str) -> Option<&str> {
    content.strip_prefix('@')?.split(' ').next()
}

/// What a client makes of its stream.
struct Client {
    actor: Actor,
    stream: Stream,
    chats: BTreeMap<String, Own>,
}

impl Client {
    async fn load(&self, chat: &str) -> Own {
        let entry = self.actor.get(&format!("/api/chats/{chat}")).await.expect(200);
        let messages = self.load_history(chat).await;
        Own { joined: number(&entry["joined_seq"]), last_read: number(&entry["last_read_seq"]), messages }
    }

    async fn load_history(&self, chat: &str) -> Vec<Said> {
        let path = format!("/api/chats/{chat}");
        let (mut messages, mut query) = (Vec::new(), String::new());
        loop {
            let page = self.actor.get(&format!("{path}/messages?limit=100{query}")).await.expect(200);
            let shown = page["messages"].as_array().expect("messages");
            messages.extend(shown.iter().map(Said::read));
            if page["has_more"] == false {
                break;
            }
            query = format!("&before={}", id_of(&shown[shown.len() - 1]));
        }
        messages.reverse();
        messages
    }

    async fn apply(&mut self, event: Received) {
        let (me, data) = (self.actor.id.clone(), &event.data);
        let chat = data["chat_id"].as_str().unwrap_or_default().to_owned();
        match (event.event.as_str(), data["type"].as_str()) {
            ("chat_update", Some("member_added")) if data["user_id"] == me => {
                let own = self.load(&chat).await;
                self.chats.insert(chat, own);
            }
            ("chat_update", Some("member_removed")) if data["user_id"] == me => {
                self.chats.remove(&chat).expect("a chat to leave");
            }
            ("chat_update" | "mention" | "ping", _) => {}
            ("message", _) => {
                let own = self.chats.get_mut(&chat).expect("a chat of one's own");
                let (seq, said) = (number(&data["seq"]), Said::read(data));
                if said.sender == me && !said.system {
                    own.last_read = own.last_read.max(seq);
                }
                // One's own joining was loaded together with the chat.
                if seq > own.messages.len() {
                    own.messages.push(said);
                    assert_eq!(own.messages.len(), seq, "no hole: {event:?}");
                }
            }
            ("message_update" | "message_delete", _) => {
                let own = self.chats.get_mut(&chat).expect("a chat of one's own");
                let known = &mut own.messages[number(&data["seq"]) - 1];
                assert_eq!(known.id, data["message_id"], "{event:?}");
                *known = Said::read(data);
            }
            ("read", _) => {
                let own = self.chats.get_mut(&chat).expect("a chat of one's own");
                own.last_read = number(&data["last_read_seq"]);
                let shown = own.shown(&me);
                let told = (number(&data["unread_count"]), number(&data["mention_count"]));
                assert_eq!((shown.unread, shown.mentions), told, "{event:?}");
            }
            _ => panic!("not expected: {event:?}"),
        }
    }

    /// What REST shows of the chats one is in.
    async fn list(&self) -> BTreeMap<String, Shown> {
        let list = self.actor.get("/api/chats").await.expect(200);
        let shown = |entry: &Value| Shown {
            unread: number(&entry["unread_count"]),
            mentions: number(&entry["mention_count"]),
            last_read: number(&entry["last_read_seq"]),
            last_seq: number(&entry["last_seq"]),
            last_message: entry["last_message"]["content"]
                .as_str()
                .map(|content| (id_of(&entry["last_message"]), content.to_owned())),
        };
        let chats = list["chats"].as_array().expect("chats").iter();
        chats.map(|entry| (id_of(entry), shown(entry))).collect()
    }
}

fn number(value: &Value) -> usize {
    value.as_u64().and_then(|number| number.try_into().ok()).unwrap_or_else(|| panic!("a number: {value}"))
}

struct World {
    dice: Dice,
    clients: Vec<Client>,
    chats: Vec<Chat>,
}

/// An operation: by whom, in which chat, on the message of which index.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: What,
    person: usize,
    chat: usize,
    message: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Send,
    Edit,
    Delete,
    Read,
    Unread,
    Join,
    Leave,
}

impl World {
    fn roll(&mut self) -> Step {
        use What::{Delete, Edit, Join, Leave, Read, Send, Unread};
        let often =
            [Send, Send, Send, Send, Edit, Edit, Delete, Delete, Read, Read, Unread, Join, Join, Leave];
        let chat = self.dice.below(self.chats.len());
        let messages = self.chats[chat].messages.len();
        let what = if messages == 0 { Send } else { often[self.dice.below(often.len())] };
        // Recent messages are touched more often than others.
        let reach = if self.dice.below(2) == 0 { messages.min(8) } else { messages };
        let message = if messages == 0 { 0 } else { messages - 1 - self.dice.below(reach) };
        let mut person = self.dice.below(self.clients.len());
        if what == Leave {
            person = 1 + self.dice.below(self.clients.len() - 1);
        }
        Step { what, person, chat, message }
    }

    /// Asks for it, foretells the answer, and does the same to the model.
    async fn act(&mut self, step: Step, number: usize) {
        let Step { what, person, .. } = step;
        let people: Vec<_> = self.clients.iter().map(|client| client.actor.clone()).collect();
        let (chat, actor) = (&mut self.chats[step.chat], &self.clients[person].actor);
        let member = chat.read.contains_key(&person);
        let path = format!("/api/chats/{}", chat.id);
        let target = chat.messages.get(step.message).cloned();
        let message_id = target.as_ref().map(|said| said.id.clone()).unwrap_or_default();
        let message_path = format!("{path}/messages/{message_id}");
        let own = target.as_ref().is_some_and(|said| !said.system && said.sender == actor.id);
        let noted = target.as_ref().is_some_and(|said| said.system);
        let gone = target.as_ref().is_some_and(|said| !said.system && said.content.is_none());
        let expect = Answer::expect;
        match what {
            What::Send => {
                let body = json!({ "content": text(number) });
                let answer = actor.post(&format!("{path}/messages"), body).await;
                let sent = expect(answer, if member { 201 } else { 403 });
                if member {
                    let said = Said::read(&sent);
                    assert_eq!(said.mentions, chat.named(&text(number), &people), "{sent}");
                    chat.messages.push(said);
                    chat.read.insert(person, chat.messages.len());
                }
            }
            What::Edit => {
                // Every third one changes nothing.
                let present = target
                    .as_ref()
                    .and_then(|said| said.content.clone())
                    .filter(|_| number.is_multiple_of(3));
                let content = present.clone().unwrap_or_else(|| text(number));
                let answer = actor.patch(&message_path, json!({ "content": content })).await;
                let status = if !(member && own) {
                    403
                } else if gone {
                    409
                } else {
                    200
                };
                expect(answer, status);
                if status == 200 && present.is_none() {
                    let named = chat.named(&content, &people);
                    let said = &mut chat.messages[step.message];
                    // The same handle means whom it meant.
                    if said.content.as_deref().and_then(handle) != handle(&content) {
                        said.mentions = named;
                    }
                    said.content = Some(content);
                    said.version += 1;
                }
            }
            What::Delete => {
                let may = !noted && (person == OWNER || (member && own));
                expect(actor.delete(&message_path).await, if may { 204 } else { 403 });
                if may {
                    chat.messages[step.message].content = None;
                    chat.messages[step.message].mentions.clear();
                }
            }
            What::Read | What::Unread => {
                let door = if what == What::Read { "read" } else { "unread" };
                let answer = actor.put(&format!("{path}/{door}"), json!({ "message_id": message_id })).await;
                expect(answer, if member { 200 } else { 403 });
                chat.read.entry(person).and_modify(|read| {
                    *read = if what == What::Read { (*read).max(step.message + 1) } else { step.message };
                });
            }
            What::Join => {
                expect(actor.act(&format!("{path}/join")).await, 200);
                if !member {
                    chat.read.insert(person, chat.messages.len());
                    chat.joined.insert(person, chat.messages.len());
                    chat.messages.push(note(actor, &path).await);
                }
            }
            What::Leave => {
                let answer = actor.delete(&format!("{path}/members/me")).await;
                expect(answer, if member { 204 } else { 403 });
                if member {
                    chat.read.remove(&person);
                    chat.messages.push(note(actor, &path).await);
                }
            }
        }
    }

    /// Everybody's list is what the model says, and everybody's stream tells it.
    async fn check(&mut self, context: &str) {
        let lists = futures::future::join_all(self.clients.iter().map(Client::list)).await;
        for (person, (client, list)) in self.clients.iter_mut().zip(lists).enumerate() {
            let mine = self.chats.iter().filter_map(|chat| Some((chat.id.clone(), chat.of(person)?)));
            let expected: BTreeMap<_, _> = mine.collect();
            let me = client.actor.id.clone();
            let shown: BTreeMap<_, _> =
                expected.iter().map(|(id, own)| (id.clone(), own.shown(&me))).collect();
            assert_eq!(list, shown, "REST, {}, {context}", client.actor.name);
            let end = Instant::now() + Duration::from_secs(10);
            while client.chats != expected {
                assert!(Instant::now() < end, "the stream of {}, {context}", client.actor.name);
                if let Some(event) = client.stream.within(Duration::from_secs(2)).await {
                    client.apply(event).await;
                } else {
                    assert_eq!(client.chats, expected, "the stream of {}, {context}", client.actor.name);
                }
            }
        }
    }
}

/// The newest message, which is a note.
async fn note(actor: &Actor, path: &str) -> Said {
    let page = actor.get(&format!("{path}/messages?limit=1")).await.expect(200);
    let said = Said::read(&page["messages"][0]);
    assert!(said.system, "{page}");
    said
}

async fn world(site: &Site, seed: u64) -> World {
    let mut people = Vec::new();
    for name in NAMES {
        people.push(site.sign_up(name).await);
    }
    let workspace = people[OWNER].make_workspace("Acme").await;
    for person in &people[1..] {
        people[OWNER].welcome(&workspace, person).await;
    }
    let mut chats = Vec::new();
    for _ in 0..2 {
        let id = people[OWNER].make_chat(&workspace, "PublicChannel", &[&people[1]]).await;
        let both = BTreeMap::from([(OWNER, 0), (1, 0)]);
        chats.push(Chat { id, messages: Vec::new(), read: both.clone(), joined: both });
    }
    let mut clients = Vec::new();
    for (person, actor) in people.into_iter().enumerate() {
        let mine = chats.iter().filter_map(|chat| Some((chat.id.clone(), chat.of(person)?))).collect();
        let stream = actor.stream(None).await;
        clients.push(Client { actor, stream, chats: mine });
    }
    World { dice: Dice(seed), clients, chats }
}

#[expect(clippy::print_stdout, reason = "shown when it fails: which operation it was, and the seed")]
#[tokio::test(flavor = "multi_thread")]
async fn random_operations_leave_rest_and_streams_as_the_model_says() {
    let seed = env::var("FECHATTER_MODEL_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    let site = Site::start().await;
    let mut world = world(&site, seed).await;
    let start = Instant::now();
    let mut steps = 0;
    while steps < STEPS && start.elapsed() < TIME {
        let step = world.roll();
        let context = format!("FECHATTER_MODEL_SEED={seed}, step {steps}: {step:?}");
        println!("{context}");
        world.act(step, steps).await;
        world.check(&context).await;
        steps += 1;
    }
    // Nothing was told beside, and the histories are the same to the letter.
    for (person, client) in world.clients.iter_mut().enumerate() {
        while let Some(event) = client.stream.within(Duration::from_millis(200)).await {
            client.apply(event).await;
        }
        for chat in &world.chats {
            assert_eq!(client.chats.get(&chat.id), chat.of(person).as_ref(), "seed {seed}");
            assert_eq!(client.load_history(&chat.id).await, chat.messages, "seed {seed}");
        }
    }
    println!("{steps} operations in {:?}, seed {seed}", start.elapsed());
    assert!(steps >= 200, "{steps} operations are too few to tell");
}
