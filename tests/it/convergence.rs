//! Old state and events make new state: a client that applies each event to what it once read by REST holds what a
//! fresh read returns.

use std::collections::BTreeMap;

use fechatter_tests::{Actor, Received, Site, Stream, actor::id_of};
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
    /// Of each chat, by id.
    members: BTreeMap<String, BTreeMap<String, Value>>,
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
            members: BTreeMap::new(),
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
        for chat in self.chats.keys().cloned().collect::<Vec<_>>() {
            self.reload_chat(&chat).await;
        }
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
        let message = Value::Object(message);
        let messages = self.messages.get_mut(id).expect("a known chat");
        let chat = self.chats.get_mut(id).expect("a known chat");
        match messages.iter_mut().find(|known| known["id"] == message["id"]) {
            Some(known) => *known = message.clone(),
            None => messages.insert(0, message.clone()),
        }
        chat["last_seq"] = json!(chat["last_seq"].as_i64().max(message["seq"].as_i64()));
        let seq = message["seq"].as_i64();
        if message["kind"] == "User"
            && message["sender"]["id"] == json!(self.me.id)
            && chat["last_read_seq"].as_i64() < seq
        {
            chat["last_read_seq"] = json!(seq);
        }
        // A hidden chat comes back with its next message.
        chat["hidden"] = json!(false);
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

    async fn apply_chat_update(&mut self, data: &Value) {
        let id = text(data, "chat_id").to_owned();
        let about_me = data["user_id"] == json!(self.me.id);
        match text(data, "type") {
            // The facts of a chat that is new to one are read by REST.
            "member_added" if about_me => return self.reload_chat(&id).await,
            "deleted" => return self.forget(&id),
            "member_removed" if about_me => return self.forget(&id),
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
        let (view, people) = (without_request_id(self.workspace_view.clone()), self.people.clone());
        self.reload().await;
        let what = format!("{} after {event} {kind}", self.me.name);
        assert_eq!(chats, self.chats, "{what}");
        assert_eq!(messages, self.messages, "{what}");
        assert_eq!(members, self.members, "{what}");
        assert_eq!(view, without_request_id(self.workspace_view.clone()), "{what}");
        assert_eq!(people, self.people, "{what}");
    }
}

/// The number in a position.
fn place(position: &str) -> i64 {
    position.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a position")
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
    ann.patch(&message, json!({ "content": "four" })).await.expect(200);
    bobs.follows("message_update", "").await;
    ann.delete(&message).await.expect(204);
    bobs.follows("message_delete", "").await;
    bob.put(&format!("{path}/unread"), json!({ "message_id": first["id"] })).await.expect(200);
    bobs.follows("read", "").await;

    let named = id_of(&ann.send(&chat, "@bob, look").await);
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
    bob.put(&format!("{path}/unread"), json!({ "message_id": first["id"] })).await.expect(200);
    bobs.follows("read", "").await;
    ann.delete(&message).await.expect(204);
    bobs.follows("message_delete", "").await;

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
