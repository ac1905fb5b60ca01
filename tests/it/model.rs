//! Random operations against a small model: after each one REST shows what the model says, and so does a client
//! that knows only what its stream told it.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::{Duration, Instant},
};

use fechatter_tests::{Actor, Answer, Received, Site, Stream, actor::id_of};
use reqwest::Method;
use serde_json::{Value, json};

/// The seed, unless `FECHATTER_MODEL_SEED` gives another.
const SEED: u64 = 20_261_121;
const STEPS: usize = 3_000;
const TIME: Duration = Duration::from_secs(25);
/// Who owns the workspace and its chats, and stays.
const OWNER: usize = 0;
/// As they are spelled in answers.
const EMOJI: [&str; 3] = ["👍", "❤\u{fe0f}", "🇩🇪"];

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
    /// Each kind with how many chose it, in the order in which they came up.
    reactions: Vec<(String, usize)>,
    /// The root of the thread that it stands in.
    thread: Option<String>,
    in_chat: bool,
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
            reactions: counts(&message["reactions"]),
            thread: text(&message["thread_root"]),
            in_chat: message["in_chat"] == true,
            mentions: mentions(message),
        }
    }

    /// What stands there once so many people have chosen the kind, which has just come up or not.
    fn count(&mut self, emoji: &str, count: usize, came_up: bool) {
        let known = self.reactions.iter().position(|(kind, _)| kind == emoji);
        match known {
            Some(at) if count > 0 && !came_up => self.reactions[at].1 = count,
            Some(at) => drop(self.reactions.remove(at)),
            None => {}
        }
        if count > 0 && (came_up || known.is_none()) {
            self.reactions.push((emoji.to_owned(), count));
        }
    }

    /// What is known of every message that was in a thread alone and is deleted: that it was there.
    fn forgotten() -> Self {
        let nothing = String::new;
        Self {
            id: nothing(),
            sender: nothing(),
            system: false,
            content: None,
            version: 0,
            reactions: Vec::new(),
            mentions: Vec::new(),
            thread: Some(nothing()),
            in_chat: false,
        }
    }

    /// As everybody knows it, also who came later and reads threads that have replies only.
    fn known(self) -> Self {
        if self.in_chat || self.content.is_some() { self } else { Self::forgotten() }
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
    /// How far each thread is read that one follows, by its root.
    threads: BTreeMap<String, usize>,
}

/// What the list of threads shows of one.
#[derive(Debug, PartialEq)]
struct ShownThread {
    replies: usize,
    unread: usize,
    last_read: usize,
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
        let unread = |said: &&Said| said.counts() && said.in_chat && said.sender != me;
        let count = self.messages[self.last_read..].iter().filter(unread).count();
        // Everybody means who was there.
        let since_joined = |place: usize| place >= self.joined;
        let mentioned = self.messages.iter().enumerate().skip(self.last_read).filter(|(place, said)| {
            let everybody = said.mentions.iter().any(|name| name == "*") && since_joined(*place);
            unread(said) && (everybody || said.mentions.iter().any(|name| name == me))
        });
        let last = self.messages.iter().rev().find(|said| said.counts() && said.in_chat);
        Shown {
            unread: count.min(1000),
            mentions: mentioned.count().min(1000),
            last_read: self.last_read,
            last_seq: self.messages.len(),
            last_message: last.and_then(|said| Some((said.id.clone(), said.content.clone()?))),
        }
    }

    /// The replies of a thread after a seq.
    fn replies(&self, root: &str, after: usize) -> impl Iterator<Item = &Said> {
        let replies = self.messages[after..].iter();
        replies.filter(move |said| said.counts() && said.thread.as_deref() == Some(root))
    }

    fn shown_thread(&self, root: &str, me: &str) -> ShownThread {
        let last_read = self.threads[root];
        let unread = self.replies(root, last_read).filter(|said| said.sender != me).count();
        ShownThread { replies: self.replies(root, 0).count(), unread, last_read }
    }

    /// Those that one follows and that have replies.
    fn shown_threads(&self, me: &str) -> BTreeMap<String, ShownThread> {
        let roots = self.threads.keys().map(|root| (root.clone(), self.shown_thread(root, me)));
        roots.filter(|(_, shown)| shown.replies > 0).collect()
    }
}

/// How a person keeps a thread.
struct Follow {
    following: bool,
    last_read: usize,
}

fn counts(reactions: &Value) -> Vec<(String, usize)> {
    let kinds = reactions.as_array().expect("reactions").iter();
    kinds.map(|kind| (kind["emoji"].as_str().expect("text").to_owned(), number(&kind["count"]))).collect()
}

/// The model of a chat: a list, and how far each of its people has read it.
struct Chat {
    id: String,
    messages: Vec<Said>,
    read: BTreeMap<usize, usize>,
    /// Who reacted, to the message of which index, and how.
    reacted: BTreeSet<(usize, usize, &'static str)>,
    /// By the root and the person.
    follows: BTreeMap<(String, usize), Follow>,
    /// The last seq before each of its people joined.
    joined: BTreeMap<usize, usize>,
}

impl Chat {
    fn of(&self, person: usize) -> Option<Own> {
        let last_read = *self.read.get(&person)?;
        let messages = self.messages.iter().cloned().map(Said::known).collect();
        let own = self.follows.iter().filter(|((_, who), follow)| *who == person && follow.following);
        let threads = own.map(|((root, _), follow)| (root.clone(), follow.last_read)).collect();
        Some(Own { joined: self.joined[&person], last_read, messages, threads })
    }

    /// What the newest message means for its thread, if it stands in one: who wrote it follows.
    fn replied(&mut self, said: &Said, person: usize) {
        let (Some(root), seq) = (&said.thread, self.messages.len()) else { return };
        self.follows.insert((root.clone(), person), Follow { following: true, last_read: seq });
    }

    /// Whom something makes follow a thread, from the message of `seq` on: unless it was their will not to.
    fn involved(&mut self, root: &str, seq: usize, ids: &[String], people: &[Actor]) {
        let persons = people.iter().enumerate().filter(|(_, person)| ids.contains(&person.id));
        for (person, _) in persons.filter(|(person, _)| self.read.contains_key(person)) {
            let follow = Follow { following: true, last_read: seq - 1 };
            self.follows.entry((root.to_owned(), person)).or_insert(follow);
        }
    }

    fn erase(&mut self, message: usize) {
        let said = &mut self.messages[message];
        said.content = None;
        said.reactions.clear();
        said.mentions.clear();
        self.reacted.retain(|(reacted, ..)| *reacted != message);
    }

    fn react(&mut self, message: usize, person: usize, emoji: &'static str, adds: bool) {
        let reaction = (message, person, emoji);
        let changed = if adds { self.reacted.insert(reaction) } else { self.reacted.remove(&reaction) };
        if changed {
            let same = self.reacted.iter().filter(|(at, _, kind)| (*at, *kind) == (message, emoji));
            let count = same.count();
            self.messages[message].count(emoji, count, adds && count == 1);
        }
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
        let mut messages = vec![Said::forgotten(); number(&entry["last_seq"])];
        for message in self.load_history(chat).await {
            messages[number(&message["seq"]) - 1] = Said::read(&message);
            if message["thread"].is_object() {
                let path = format!("/api/chats/{chat}/messages/{}/thread?limit=100", id_of(&message));
                let page = self.actor.get(&path).await.expect(200);
                assert_eq!(page["has_more"], false, "more replies than this reads");
                for reply in page["messages"].as_array().expect("replies") {
                    messages[number(&reply["seq"]) - 1] = Said::read(reply).known();
                }
            }
        }
        let (joined, last_read) = (number(&entry["joined_seq"]), number(&entry["last_read_seq"]));
        Own { joined, last_read, messages, threads: BTreeMap::new() }
    }

    async fn load_history(&self, chat: &str) -> Vec<Value> {
        let path = format!("/api/chats/{chat}");
        let (mut messages, mut query) = (Vec::new(), String::new());
        loop {
            let page = self.actor.get(&format!("{path}/messages?limit=100{query}")).await.expect(200);
            let shown = page["messages"].as_array().expect("messages");
            messages.extend(shown.iter().cloned());
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
                if said.sender == me && !said.system && said.in_chat {
                    own.last_read = own.last_read.max(seq);
                }
                if let Some(read) = said.thread.as_ref().and_then(|root| own.threads.get_mut(root))
                    && said.sender == me
                {
                    *read = seq;
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
                *known = Said::read(data).known();
            }
            ("thread_update", Some(kind)) => {
                let own = self.chats.get_mut(&chat).expect("a chat of one's own");
                let root = data["message_id"].as_str().expect("a root").to_owned();
                match kind {
                    "replied" | "reply_deleted" => {
                        assert_eq!(own.replies(&root, 0).count(), number(&data["reply_count"]), "{event:?}");
                        return;
                    }
                    "unfollowed" => {
                        own.threads.remove(&root);
                        return;
                    }
                    _ => own.threads.insert(root.clone(), number(&data["last_read_seq"])),
                };
                assert_eq!(own.shown_thread(&root, &me).unread, number(&data["unread_count"]), "{event:?}");
            }
            ("reaction", kind) => {
                let own = self.chats.get_mut(&chat).expect("a chat of one's own");
                let known = own.messages.iter_mut().find(|said| said.id == data["message_id"]);
                let count = number(&data["count"]);
                known.expect("a known message").count(
                    data["emoji"].as_str().expect("text"),
                    count,
                    kind == Some("added") && count == 1,
                );
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

impl Client {
    /// What REST shows of the threads that one follows.
    async fn list_threads(&self) -> BTreeMap<String, ShownThread> {
        let (mut threads, mut query) = (BTreeMap::new(), String::new());
        loop {
            let list = self.actor.get(&format!("/api/threads?limit=100{query}")).await.expect(200);
            for root in list["threads"].as_array().expect("threads") {
                let thread = &root["thread"];
                let shown = ShownThread {
                    replies: number(&thread["reply_count"]),
                    unread: number(&thread["unread_count"]),
                    last_read: number(&thread["last_read_seq"]),
                };
                threads.insert(id_of(root), shown);
            }
            let Some(next) = list["next"].as_str() else { return threads };
            query = format!("&cursor={next}");
        }
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
    React,
    Unreact,
    Read,
    Unread,
    Join,
    Leave,
    Reply,
    ReplyInChat,
    Follow,
    Unfollow,
    ReadThread,
}

impl World {
    fn roll(&mut self) -> Step {
        use What::{
            Delete, Edit, Follow, Join, Leave, React, Read, ReadThread, Reply, ReplyInChat, Send, Unfollow,
            Unreact, Unread,
        };
        let often = [
            [Send, Send, Send, Send, Edit, Edit, Delete, Delete],
            [React, React, React, Unreact, Unreact, Read, Read, Unread],
            [Join, Join, Leave, Reply, Reply, Reply, Reply, ReplyInChat],
            [Follow, Unfollow, ReadThread, ReadThread, Send, Reply, React, Read],
        ]
        .concat();
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
                let may = member && own;
                let done = if gone { 409 } else { 200 };
                expect(answer, if may { done } else { 403 });
                if may && !gone && present.is_none() {
                    let named = chat.named(&content, &people);
                    let said = &mut chat.messages[step.message];
                    // The same handle means whom it meant.
                    if said.content.as_deref().and_then(handle) != handle(&content) {
                        said.mentions = named;
                    }
                    said.content = Some(content);
                    said.version += 1;
                    let (thread, mentions) = (said.thread.clone(), said.mentions.clone());
                    if let Some(root) = thread {
                        chat.involved(&root, step.message + 1, &mentions, &people);
                    }
                }
            }
            What::Delete => {
                let may = !noted && (person == OWNER || (member && own));
                expect(actor.delete(&message_path).await, if may { 204 } else { 403 });
                if may {
                    chat.erase(step.message);
                }
            }
            What::React | What::Unreact => {
                let emoji = EMOJI[number % EMOJI.len()];
                let adds = what == What::React;
                let method = if adds { Method::PUT } else { Method::DELETE };
                let answer = actor.request(method, &format!("{message_path}/reactions/{emoji}"), None).await;
                let done = if gone && adds { 409 } else { 200 };
                let answer = expect(answer, if member { done } else { 403 });
                if member && done == 200 {
                    chat.react(step.message, person, emoji, adds);
                    assert_eq!(counts(&answer["reactions"]), chat.messages[step.message].reactions);
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
                    chat.follows.retain(|(_, who), _| *who != person);
                    chat.messages.push(note(actor, &path).await);
                }
            }
            What::Reply | What::ReplyInChat | What::Follow | What::Unfollow | What::ReadThread => {
                self.act_on_thread(step, number).await;
            }
        }
    }

    /// [`Self::act`], for what is done to the thread that the message stands in, or that could stand under it.
    async fn act_on_thread(&mut self, step: Step, number: usize) {
        let Step { what, person, .. } = step;
        let people: Vec<_> = self.clients.iter().map(|client| client.actor.clone()).collect();
        let (chat, actor) = (&mut self.chats[step.chat], &self.clients[person].actor);
        let member = chat.read.contains_key(&person);
        let path = format!("/api/chats/{}", chat.id);
        let target = chat.messages[step.message].clone();
        let message_path = format!("{path}/messages/{}", target.id);
        let root_id = target.thread.clone().unwrap_or(target.id.clone());
        let expect = Answer::expect;
        match what {
            What::Reply | What::ReplyInChat => {
                // Sometimes to a reply, which is refused.
                let root = chat.messages.iter().find(|said| said.id == root_id).expect("a root");
                let to = if number.is_multiple_of(4) { target } else { root.clone() };
                let also = what == What::ReplyInChat;
                let body = json!({ "content": text(number), "thread_root": to.id, "also_in_chat": also });
                let answer = actor.post(&format!("{path}/messages"), body).await;
                let status = match (member, to.system || to.thread.is_some(), to.content.is_some()) {
                    (false, ..) => 403,
                    (true, true, _) => 400,
                    (true, false, false) => 409,
                    (true, false, true) => 201,
                };
                let sent = expect(answer, status);
                if status == 201 {
                    let said = Said::read(&sent);
                    assert_eq!((said.thread.as_ref(), said.in_chat), (Some(&to.id), also));
                    assert_eq!(said.mentions, chat.named(&text(number), &people), "{sent}");
                    chat.messages.push(said.clone());
                    chat.replied(&said, person);
                    let involved = [&[to.sender.clone()][..], &to.mentions, &said.mentions].concat();
                    chat.involved(&to.id, chat.messages.len(), &involved, &people);
                    if also {
                        chat.read.insert(person, chat.messages.len());
                    }
                }
            }
            What::Follow | What::Unfollow => {
                let follow = what == What::Follow;
                let method = if follow { Method::PUT } else { Method::DELETE };
                let answer = actor.request(method, &format!("{message_path}/thread/follow"), None).await;
                let may = member && !target.system;
                expect(answer, if may { 200 } else { 403 });
                if may {
                    let end = chat.messages.len();
                    let kept = chat
                        .follows
                        .entry((root_id, person))
                        .or_insert(Follow { following: follow, last_read: end });
                    if kept.following != follow {
                        *kept = Follow { following: follow, last_read: end };
                    }
                }
            }
            What::ReadThread => {
                let body = json!({ "message_id": target.id });
                let answer = actor.put(&format!("{message_path}/thread/read"), body).await;
                expect(answer, if member { 200 } else { 403 });
                if let Some(kept) = chat.follows.get_mut(&(root_id, person)).filter(|kept| kept.following) {
                    kept.last_read = kept.last_read.max(step.message + 1);
                }
            }
            _ => unreachable!("{what:?} is not about a thread"),
        }
    }

    /// Everybody's list is what the model says, and everybody's stream tells it.
    async fn check(&mut self, context: &str) {
        let lists = futures::future::join_all(self.clients.iter().map(Client::list)).await;
        let threads = futures::future::join_all(self.clients.iter().map(Client::list_threads)).await;
        let lists = lists.into_iter().zip(threads);
        for (person, (client, (list, threads))) in self.clients.iter_mut().zip(lists).enumerate() {
            let mine = self.chats.iter().filter_map(|chat| Some((chat.id.clone(), chat.of(person)?)));
            let expected: BTreeMap<_, _> = mine.collect();
            let me = client.actor.id.clone();
            let shown: BTreeMap<_, _> =
                expected.iter().map(|(id, own)| (id.clone(), own.shown(&me))).collect();
            assert_eq!(list, shown, "REST, {}, {context}", client.actor.name);
            let followed = expected.values().flat_map(|own| own.shown_threads(&me)).collect();
            assert_eq!(threads, followed, "threads, {}, {context}", client.actor.name);
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
        chats.push(Chat {
            id,
            messages: Vec::new(),
            read: both.clone(),
            joined: both,
            reacted: BTreeSet::new(),
            follows: BTreeMap::new(),
        });
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
            let history: Vec<_> = client.load_history(&chat.id).await.iter().map(Said::read).collect();
            let shown: Vec<_> = chat.messages.iter().filter(|said| said.in_chat).cloned().collect();
            assert_eq!(history, shown, "seed {seed}");
        }
    }
    println!("{steps} operations in {:?}, seed {seed}", start.elapsed());
    assert!(steps >= 200, "{steps} operations are too few to tell");
}
