//! Old state and events make new state: a client that applies each event to what it once read by REST holds what a
//! fresh read returns.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fechatter_tests::{Actor, Received, Site, Stream, actor::id_of};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// What a client keeps: its lists, as REST answered them.
struct Client {
    me: Actor,
    stream: Stream,
    workspace: String,
    /// By id.
    chats: BTreeMap<String, Value>,
    /// Of each chat, newest first.
    messages: BTreeMap<String, Vec<Value>>,
    /// The replies in each thread, by its root, newest first.
    threads: BTreeMap<String, Vec<Value>>,
    /// The roots of the threads that one follows, latest reply first.
    followed: Value,
    /// Of each chat, by id.
    members: BTreeMap<String, BTreeMap<String, Value>>,
    /// The ids of each chat's pinned messages, the last one to be pinned first.
    pins: BTreeMap<String, Vec<Value>>,
    /// One's saved messages, without what they say.
    saved: Vec<Value>,
    workspace_view: Value,
    /// By id.
    people: BTreeMap<String, Value>,
}

fn by_id(list: &Value) -> BTreeMap<String, Value> {
    list.as_array().into_iter().flatten().map(|item| (id_of(item), item.clone())).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

impl Client {
    /// Reads everything, and opens the stream at the oldest of the snapshots.
    async fn open(me: &Actor, workspace: &str) -> Self {
        let position = me.get("/api/chats").await.event_id();
        let mut client = Self {
            me: me.clone(),
            stream: me.stream(Some(&position)).await,
            workspace: workspace.to_owned(),
            chats: BTreeMap::new(),
            messages: BTreeMap::new(),
            threads: BTreeMap::new(),
            followed: Value::Null,
            members: BTreeMap::new(),
            pins: BTreeMap::new(),
            saved: Vec::new(),
            workspace_view: Value::Null,
            people: BTreeMap::new(),
        };
        client.reload().await;
        client
    }

    async fn reload(&mut self) {
        self.chats = by_id(&self.me.get("/api/chats").await.expect(200)["chats"]);
        self.messages.clear();
        self.members.clear();
        self.pins.clear();
        for chat in self.chats.keys().cloned().collect::<Vec<_>>() {
            self.reload_chat(&chat).await;
        }
        let saved = self.me.get("/api/saved").await.expect(200);
        self.saved = saved["saved"].as_array().into_iter().flatten().map(as_told).collect();
        self.followed = self.me.get("/api/threads").await.expect(200)["threads"].clone();
        let path = format!("/api/workspaces/{}", self.workspace);
        self.workspace_view = self.me.get(&path).await.body;
        self.people = by_id(&self.me.get(&format!("{path}/members")).await.body["members"]);
    }

    async fn reload_chat(&mut self, chat: &str) {
        let path = format!("/api/chats/{chat}");
        let view = self.me.get(&path).await.expect(200);
        self.chats.insert(chat.to_owned(), view);
        let page = self.me.get(&format!("{path}/messages?limit=100")).await.expect(200);
        self.messages.insert(chat.to_owned(), page["messages"].as_array().expect("a list").clone());
        let page = self.me.get(&format!("{path}/members?limit=100")).await.expect(200);
        self.members.insert(chat.to_owned(), by_id(&page["members"]));
        let page = self.me.get(&format!("{path}/pins")).await.expect(200);
        let pinned = page["messages"].as_array().into_iter().flatten();
        self.pins.insert(chat.to_owned(), pinned.map(|message| message["id"].clone()).collect());
        let roots = self.messages[chat].iter().filter(|message| {
            message["thread"].is_object() || self.threads.contains_key(text(message, "id"))
        });
        for root in roots.map(id_of).collect::<Vec<_>>() {
            let page = self.me.get(&format!("{path}/messages/{root}/thread?limit=100")).await.expect(200);
            self.threads.insert(root, page["messages"].as_array().expect("a list").clone());
        }
    }

    async fn apply(&mut self, received: &Received) {
        let data = &received.data;
        match received.event.as_str() {
            "message" | "message_update" | "message_delete" => self.apply_message(data),
            "read" => {
                let chat = self.chats.get_mut(text(data, "chat_id")).expect("a known chat");
                chat["last_read_seq"] = data["last_read_seq"].clone();
                chat["unread_count"] = data["unread_count"].clone();
                chat["mention_count"] = data["mention_count"].clone();
            }
            "reaction" => self.apply_reaction(data),
            "saved" if data["type"] == "added" => {
                let mut saved = data.clone();
                saved.as_object_mut().expect("an object").remove("type");
                self.saved.insert(0, saved);
            }
            "saved" => self.saved.retain(|saved| saved["id"] != data["id"]),
            "thread_update" => self.apply_thread_update(data),
            // The message's own event has told what changed.
            "mention" => {}
            "chat_update" => self.apply_chat_update(data).await,
            "workspace_update" => self.apply_workspace_update(data).await,
            other => panic!("{other} is not an event to apply"),
        }
    }

    fn apply_message(&mut self, data: &Value) {
        let id = text(data, "chat_id");
        let mut message: Map<_, _> = data.as_object().expect("an object").clone();
        message.remove("message_id");
        let mut message = Value::Object(message);
        let messages = self.messages.get_mut(id).expect("a known chat");
        let chat = self.chats.get_mut(id).expect("a known chat");
        for quoting in messages.iter_mut().chain(self.threads.values_mut().flatten()) {
            if quoting["reply_to"] == message["id"] {
                quoting["quote"] = quote_of(&message);
            }
        }
        let known =
            messages.iter().chain(self.threads.values().flatten()).find(|known| known["id"] == message["id"]);
        // What the stream says is the same for everybody: which reactions are one's own, one knows.
        for kind in message["reactions"].as_array_mut().expect("reactions") {
            let before = known.and_then(|known| known["reactions"].as_array());
            let own =
                before.into_iter().flatten().any(|own| own["emoji"] == kind["emoji"] && own["me"] == true);
            kind["me"] = json!(own);
        }
        if let Some(root) = message["thread_root"].as_str() {
            let replies = self.threads.entry(root.to_owned()).or_default();
            let before = put(replies, &message);
            let root = messages.iter_mut().find(|message| message["id"] == root).expect("the root");
            count_unread(&mut root["thread"], before.as_ref(), &message, &self.me.id);
        }
        if message["in_chat"] == true {
            put(messages, &message);
        }
        chat["last_seq"] = json!(chat["last_seq"].as_i64().max(message["seq"].as_i64()));
        let seq = message["seq"].as_i64();
        if message["kind"] == "User"
            && message["in_chat"] == true
            && message["sender"]["id"] == json!(self.me.id)
            && chat["last_read_seq"].as_i64() < seq
        {
            chat["last_read_seq"] = json!(seq);
        }
        // A hidden chat comes back with its next message.
        chat["hidden"] = json!(chat["hidden"] == true && message["in_chat"] == false);
        // Both are derived, as the server derives them.
        let alive = |message: &&Value| message["kind"] == "User" && message["deleted_at"].is_null();
        let unread = |message: &&Value| {
            message["seq"].as_i64() > chat["last_read_seq"].as_i64()
                && message["sender"]["id"] != json!(self.me.id)
        };
        let mentioned = |message: &&Value| {
            let mentions = message["mentions"].as_array().expect("a list");
            // Everybody means who was there.
            let everybody =
                message["mentions_all"] == true && message["seq"].as_i64() > chat["joined_seq"].as_i64();
            everybody || mentions.contains(&json!(self.me.id))
        };
        let count = messages.iter().filter(alive).filter(unread).count();
        let mentions = messages.iter().filter(alive).filter(unread).filter(mentioned).count();
        let last = messages.iter().find(alive).map(|last| {
            json!({
                "id": last["id"], "content": last["content"], "created_at": last["created_at"],
                "sender_id": last["sender"]["id"], "sender_name": last["sender"]["name"],
            })
        });
        chat["unread_count"] = json!(count);
        chat["mention_count"] = json!(mentions);
        chat["last_message"] = json!(last);
    }

    fn apply_reaction(&mut self, data: &Value) {
        let messages = self.messages.get_mut(text(data, "chat_id")).expect("a known chat");
        let message = messages.iter_mut().find(|message| message["id"] == data["message_id"]);
        let kinds = message.expect("a known message")["reactions"].as_array_mut().expect("reactions");
        let place = kinds.iter().position(|kind| kind["emoji"] == data["emoji"]);
        let mut kind = place.map_or(json!({ "emoji": data["emoji"], "me": false }), |at| kinds.remove(at));
        kind["count"] = data["count"].clone();
        if data["user_id"] == json!(self.me.id) {
            kind["me"] = json!(data["type"] == "added");
        }
        match data["count"].as_u64() {
            Some(0) => {}
            // It has just come up, so it is the last one.
            Some(1) if data["type"] == "added" => kinds.push(kind),
            _ => kinds.insert(place.unwrap_or(kinds.len()), kind),
        }
    }

    fn apply_pin(&mut self, data: &Value) {
        let chat = text(data, "chat_id");
        let messages = self.messages.get_mut(chat).expect("a known chat");
        let message = messages.iter_mut().find(|message| message["id"] == data["message_id"]);
        let pins = self.pins.get_mut(chat).expect("a known chat");
        if data["type"] == "message_pinned" {
            pins.insert(0, data["message_id"].clone());
            message.expect("a known message")["pinned"] =
                json!({ "at": data["pinned_at"], "by": data["pinned_by"] });
        } else {
            pins.retain(|pinned| *pinned != data["message_id"]);
            message.expect("a known message")["pinned"] = Value::Null;
        }
    }

    fn apply_thread_update(&mut self, data: &Value) {
        let messages = self.messages.get_mut(text(data, "chat_id")).expect("a known chat");
        let root = messages.iter_mut().find(|message| message["id"] == data["message_id"]).expect("the root");
        let thread = &mut root["thread"];
        let facts: &[&str] = match text(data, "type") {
            "reply_deleted" if data["reply_count"] == 0 => {
                *thread = Value::Null;
                return;
            }
            "replied" | "reply_deleted" => {
                if thread.is_null() {
                    *thread = json!({ "following": false, "last_read_seq": 0, "unread_count": 0 });
                }
                &["reply_count", "last_reply_at", "participants"]
            }
            // It is told again when there are replies.
            _ if thread.is_null() => return,
            kind => {
                thread["following"] = json!(kind != "unfollowed");
                &["last_read_seq", "unread_count"]
            }
        };
        for fact in facts {
            thread[fact] = data[fact].clone();
        }
    }

    /// The roots of the threads that one follows, as the messages tell.
    fn followed_now(&self) -> Value {
        let following = |message: &&Value| message["thread"]["following"] == true;
        let mut roots: Vec<_> = self.messages.values().flatten().filter(following).cloned().collect();
        roots.sort_by_key(|root| {
            let at = text(&root["thread"], "last_reply_at").parse::<DateTime<Utc>>();
            std::cmp::Reverse(at.expect("a time"))
        });
        json!(roots)
    }

    async fn apply_chat_update(&mut self, data: &Value) {
        let id = text(data, "chat_id").to_owned();
        let about_me = data["user_id"] == json!(self.me.id);
        match text(data, "type") {
            // The facts of a chat that is new to one are read by REST.
            "member_added" if about_me => return self.reload_chat(&id).await,
            "deleted" => return self.forget(&id),
            "member_removed" if about_me => return self.forget(&id),
            "message_pinned" | "message_unpinned" => return self.apply_pin(data),
            _ => {}
        }
        let Some(chat) = self.chats.get_mut(&id) else { return };
        match text(data, "type") {
            "created" => {}
            "name_changed" => {
                chat["name"] = data["name"].clone();
                chat["updated_at"] = data["updated_at"].clone();
            }
            "description_changed" => {
                chat["description"] = data["description"].clone();
                chat["updated_at"] = data["updated_at"].clone();
            }
            "settings_changed" => {
                chat["notify_level"] = data["notify_level"].clone();
                chat["hidden"] = data["hidden"].clone();
            }
            "archived" | "unarchived" => chat["archived_at"] = data["archived_at"].clone(),
            "role_changed" if about_me => {
                chat["role"] = data["role"].clone();
                apply_member(self.members.get_mut(&id).expect("a known chat"), data);
            }
            _ => apply_member(self.members.get_mut(&id).expect("a known chat"), data),
        }
    }

    fn forget(&mut self, chat: &str) {
        self.chats.remove(chat);
        self.messages.remove(chat);
        self.members.remove(chat);
        self.pins.remove(chat);
        self.saved.retain(|saved| saved["chat_id"] != chat);
    }

    async fn apply_workspace_update(&mut self, data: &Value) {
        let about_me = data["user_id"] == json!(self.me.id);
        match text(data, "type") {
            "updated" => {
                for fact in ["name", "description", "updated_at"] {
                    self.workspace_view[fact] = data[fact].clone();
                }
            }
            "deleted" => self.leave_workspace().await,
            "member_removed" if about_me => self.leave_workspace().await,
            kind => {
                if about_me && kind == "role_changed" {
                    self.workspace_view["role"] = data["role"].clone();
                }
                apply_member(&mut self.people, data);
            }
        }
    }

    /// From now on the workspace answers as if it were not there.
    async fn leave_workspace(&mut self) {
        let path = format!("/api/workspaces/{}", self.workspace);
        self.workspace_view = self.me.get(&path).await.expect(404);
        self.people.clear();
        self.saved.clear();
    }

    /// Applies events until one of this name and type and on to the log's end, then compares with what REST says.
    async fn follows(&mut self, event: &str, kind: &str) {
        let (mut seen, mut end) = (false, 0);
        loop {
            let received = self.stream.any().await;
            if received.event != "ping" {
                self.apply(&received).await;
            }
            if !seen && received.event == event && (kind.is_empty() || received.data["type"] == kind) {
                seen = true;
                end = place(&self.me.get("/api/chats").await.event_id());
            }
            // A ping tells the position when the last events are not for this person.
            if seen && place(&received.id) >= end {
                break;
            }
        }
        let (chats, messages, members) = (self.chats.clone(), self.messages.clone(), self.members.clone());
        let (pins, saved) = (self.pins.clone(), self.saved.clone());
        let (threads, followed) = (self.threads.clone(), self.followed_now());
        let (view, people) = (without_request_id(self.workspace_view.clone()), self.people.clone());
        self.reload().await;
        let what = format!("{} after {event} {kind}", self.me.name);
        assert_eq!(chats, self.chats, "{what}");
        assert_eq!(messages, self.messages, "{what}");
        assert_eq!(threads, self.threads, "{what}");
        assert_eq!(followed, self.followed, "{what}");
        assert_eq!(members, self.members, "{what}");
        assert_eq!(pins, self.pins, "{what}");
        assert_eq!(saved, self.saved, "{what}");
        assert_eq!(view, without_request_id(self.workspace_view.clone()), "{what}");
        assert_eq!(people, self.people, "{what}");
    }
}

/// Puts a message into a list, newest first; answers what stood in its place. What an event does not tell of a thread,
/// since it is the reader's own, stays.
fn put(messages: &mut Vec<Value>, message: &Value) -> Option<Value> {
    let Some(known) = messages.iter_mut().find(|known| known["id"] == message["id"]) else {
        messages.insert(0, message.clone());
        return None;
    };
    let mut message = message.clone();
    if let (Some(before), Some(now)) = (known["thread"].as_object(), message["thread"].as_object_mut()) {
        for (fact, value) in before {
            now.entry(fact.clone()).or_insert_with(|| value.clone());
        }
    }
    Some(std::mem::replace(known, message))
}

/// Counts a reply that came or was deleted, as the server counts what is unread.
fn count_unread(thread: &mut Value, before: Option<&Value>, reply: &Value, me: &str) {
    let seq = reply["seq"].as_i64();
    if thread["following"] != true {
        return;
    }
    if reply["sender"]["id"] == json!(me) {
        if before.is_none() {
            thread["last_read_seq"] = json!(seq);
            thread["unread_count"] = json!(0);
        }
        return;
    }
    let alive = |reply: &Value| i64::from(reply["deleted_at"].is_null());
    if seq > thread["last_read_seq"].as_i64() {
        let more = alive(reply) - before.map_or(0, alive);
        thread["unread_count"] = json!(thread["unread_count"].as_i64().map(|unread| unread + more));
    }
}

/// What is shown of a message where it is quoted.
fn quote_of(message: &Value) -> Value {
    let content = message["content"].as_str().map(|content| content.chars().take(200).collect::<String>());
    let mut quote = json!({ "content": content, "file_count": message["files"].as_array().map(Vec::len) });
    for fact in ["id", "kind", "system", "sender", "thread_root", "in_chat", "created_at", "deleted_at"] {
        quote[fact] = message[fact].clone();
    }
    quote
}

/// The number in a position.
fn place(position: &str) -> i64 {
    position.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a position")
}

/// A saved message, as the event tells of it.
fn as_told(saved: &Value) -> Value {
    json!({
        "id": saved["id"], "saved_at": saved["saved_at"], "chat_id": saved["message"]["chat_id"],
        "message_id": saved["message"]["id"],
    })
}

fn without_request_id(mut view: Value) -> Value {
    if let Some(view) = view.as_object_mut() {
        view.remove("request_id");
    }
    view
}

fn apply_member(members: &mut BTreeMap<String, Value>, data: &Value) {
    let id = text(data, "user_id");
    match text(data, "type") {
        "member_added" => {
            let mut member = data["member"].clone();
            member["role"] = data["role"].clone();
            member["joined_at"] = data["joined_at"].clone();
            members.insert(id.to_owned(), member);
        }
        "member_removed" => {
            members.remove(id);
        }
        "role_changed" => members.get_mut(id).expect("a known person")["role"] = data["role"].clone(),
        other => panic!("{other} is not a change of members"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_leads_from_the_old_state_to_the_new_one() {
    let site = Site::start_with(|_, notify| notify.stream.heartbeat_s = 1).await;
    let (ann, bob, cid) = (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("cid").await);
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "PublicChannel", &[&bob]).await;
    let (path, members) = (format!("/api/chats/{chat}"), format!("/api/chats/{chat}/members"));
    let mut anns = Client::open(&ann, &workspace).await;
    let mut bobs = Client::open(&bob, &workspace).await;

    let first = ann.send(&chat, "one").await;
    bobs.follows("message", "").await;
    anns.follows("message", "").await;
    ann.send(&chat, "two").await;
    bobs.follows("message", "").await;
    bob.put(&format!("{path}/read"), json!({ "message_id": first["id"] })).await.expect(200);
    bobs.follows("read", "").await;
    bob.post(&format!("{path}/messages"), json!({ "content": "three", "reply_to": first["id"] }))
        .await
        .expect(201);
    bobs.follows("message", "").await;
    while anns.messages[&chat][0]["content"] != "three" {
        let received = anns.stream.expect("message").await;
        anns.apply(&received).await;
    }

    let second = id_of(&ann.send(&chat, "fuor").await);
    bobs.follows("message", "").await;
    let message = format!("{path}/messages/{second}");
    for (person, emoji, added) in [
        (&bob, "👍", true),
        (&ann, "❤", true),
        (&ann, "👍", true),
        (&bob, "👍", false),
        (&ann, "👍", false),
        (&bob, "👍", true),
    ] {
        let method = if added { Method::PUT } else { Method::DELETE };
        person.request(method, &format!("{message}/reactions/{emoji}"), None).await.expect(200);
        bobs.follows("reaction", if added { "added" } else { "removed" }).await;
    }
    for (place, success) in [("saved", 200), ("pin", 200)] {
        let both = [format!("{path}/messages/{}/{place}", id_of(&first)), format!("{message}/{place}")];
        for thing in &both {
            bob.request(Method::PUT, thing, None).await.expect(success);
        }
        bob.delete(&both[0]).await.expect(204);
    }
    bobs.follows("chat_update", "message_unpinned").await;
    ann.patch(&message, json!({ "content": "four" })).await.expect(200);
    bobs.follows("message_update", "").await;
    ann.delete(&message).await.expect(204);
    bobs.follows("message_delete", "").await;
    bob.put(&format!("{path}/unread"), json!({ "message_id": first["id"] })).await.expect(200);
    bobs.follows("read", "").await;

    threads(&ann, &bob, &chat, &mut bobs).await;
    quotes(&ann, &bob, &chat, &mut bobs).await;
    mentions(&ann, &bob, &chat, &mut bobs).await;

    bob.patch(&format!("{members}/me"), json!({ "notify_level": "Mentions" })).await.expect(200);
    bobs.follows("chat_update", "settings_changed").await;

    ann.put(&path, json!({ "name": "renamed" })).await.expect(200);
    bobs.follows("chat_update", "name_changed").await;
    ann.put(&path, json!({ "description": "described" })).await.expect(200);
    bobs.follows("chat_update", "description_changed").await;
    ann.act(&format!("{path}/archive")).await.expect(200);
    bobs.follows("chat_update", "archived").await;
    ann.act(&format!("{path}/unarchive")).await.expect(200);
    bobs.follows("chat_update", "unarchived").await;

    ann.welcome(&workspace, &cid).await;
    bobs.follows("workspace_update", "member_added").await;
    let mut cids = Client::open(&cid, &workspace).await;
    cid.act(&format!("{path}/join")).await.expect(200);
    bobs.follows("chat_update", "member_added").await;
    cids.follows("chat_update", "member_added").await;
    for role in ["Admin", "Member"] {
        ann.patch(&format!("{members}/{}", cid.id), json!({ "role": role })).await.expect(200);
        bobs.follows("chat_update", "role_changed").await;
        cids.follows("chat_update", "role_changed").await;
    }
    ann.delete(&format!("{members}/{}", cid.id)).await.expect(204);
    bobs.follows("chat_update", "member_removed").await;
    cids.follows("chat_update", "member_removed").await;

    ann.put(&format!("/api/workspaces/{workspace}"), json!({ "name": "Acme Ltd" })).await.expect(200);
    bobs.follows("workspace_update", "updated").await;
    let cids_place = format!("/api/workspaces/{workspace}/members/{}", cid.id);
    ann.patch(&cids_place, json!({ "role": "Admin" })).await.expect(200);
    bobs.follows("workspace_update", "role_changed").await;
    cids.follows("workspace_update", "role_changed").await;
    ann.patch(&cids_place, json!({ "role": "Member" })).await.expect(200);
    ann.delete(&cids_place).await.expect(204);
    bobs.follows("workspace_update", "member_removed").await;
    cids.follows("workspace_update", "member_removed").await;

    let group = ann.make_chat(&workspace, "Group", &[&bob]).await;
    bobs.follows("chat_update", "member_added").await;
    ann.delete(&format!("/api/chats/{group}")).await.expect(204);
    bobs.follows("chat_update", "deleted").await;
    ann.delete(&format!("/api/workspaces/{workspace}")).await.expect(204);
    bobs.follows("workspace_update", "deleted").await;
}

/// What is made of mentions, as bob sees it.
async fn mentions(ann: &Actor, bob: &Actor, chat: &str, bobs: &mut Client) {
    let path = format!("/api/chats/{chat}");
    let named = id_of(&ann.send(chat, "@bob, look").await);
    bobs.follows("message", "").await;
    let message = format!("{path}/messages/{named}");
    for content in ["never mind", "@bob, look again", "@all: look", "nothing"] {
        ann.patch(&message, json!({ "content": content })).await.expect(200);
        bobs.follows("message_update", "").await;
    }
    ann.patch(&message, json!({ "content": "@all" })).await.expect(200);
    bobs.follows("message_update", "").await;
    bob.put(&format!("{path}/read"), json!({ "message_id": named })).await.expect(200);
    bobs.follows("read", "").await;
    bob.put(&format!("{path}/unread"), json!({ "message_id": named })).await.expect(200);
    bobs.follows("read", "").await;
    ann.delete(&message).await.expect(204);
    bobs.follows("message_delete", "").await;
}

/// What happens to threads, as bob sees it.
async fn threads(ann: &Actor, bob: &Actor, chat: &str, bobs: &mut Client) {
    let path = format!("/api/chats/{chat}/messages");
    let reply = async |person: &Actor, root: &Value, also_in_chat: bool| {
        let body = json!({ "content": "a reply", "thread_root": root["id"], "also_in_chat": also_in_chat });
        person.post(&path, body).await.expect(201)
    };
    let put = async |path: &str, body: Option<Value>| bob.request(reqwest::Method::PUT, path, body).await;
    let root = bob.send(chat, "root").await;
    bobs.follows("message", "").await;
    let thread = format!("{path}/{}/thread", id_of(&root));
    let first = reply(ann, &root, false).await;
    bobs.follows("thread_update", "followed").await;
    put(&format!("{thread}/read"), Some(json!({ "message_id": first["id"] }))).await.expect(200);
    bobs.follows("thread_update", "read").await;
    let second = reply(ann, &root, true).await;
    bobs.follows("thread_update", "replied").await;
    bob.patch(&format!("{path}/{}", id_of(&root)), json!({ "content": "edited" })).await.expect(200);
    bobs.follows("message_update", "").await;
    ann.patch(&format!("{path}/{}", id_of(&first)), json!({ "content": "edited" })).await.expect(200);
    bobs.follows("message_update", "").await;
    bob.delete(&format!("{thread}/follow")).await.expect(200);
    bobs.follows("thread_update", "unfollowed").await;
    let third = reply(ann, &root, false).await;
    bobs.follows("thread_update", "replied").await;
    let own = reply(bob, &root, false).await;
    bobs.follows("thread_update", "followed").await;
    for doomed in [&own, &second, &first, &third] {
        ann.delete(&format!("{path}/{}", id_of(doomed))).await.expect(204);
        bobs.follows("thread_update", "reply_deleted").await;
    }
    reply(ann, &root, false).await;
    bobs.follows("thread_update", "followed").await;

    // Of somebody else, followed before there is a reply.
    let root = ann.send(chat, "another root").await;
    put(&format!("{path}/{}/thread/follow", id_of(&root)), None).await.expect(200);
    bobs.follows("thread_update", "followed").await;
    reply(ann, &root, false).await;
    bobs.follows("thread_update", "replied").await;
    ann.delete(&format!("{path}/{}", id_of(&root))).await.expect(204);
    bobs.follows("message_delete", "").await;
}

/// What happens to what is quoted.
async fn quotes(ann: &Actor, bob: &Actor, chat: &str, bobs: &mut Client) {
    let path = format!("/api/chats/{chat}/messages");
    let quoted = ann.send(chat, "quoted").await;
    let body = json!({ "content": "quoting", "reply_to": quoted["id"] });
    let root = bob.post(&path, body).await.expect(201);
    bobs.follows("message", "").await;
    let body =
        json!({ "content": "quoting in a thread", "reply_to": quoted["id"], "thread_root": root["id"] });
    ann.post(&path, body).await.expect(201);
    bobs.follows("thread_update", "followed").await;
    let quoted = format!("{path}/{}", id_of(&quoted));
    ann.patch(&quoted, json!({ "content": "x".repeat(300) })).await.expect(200);
    bobs.follows("message_update", "").await;
    ann.delete(&quoted).await.expect(204);
    bobs.follows("message_delete", "").await;
}
