//! The way of one client through its history.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
};

use chat_core::event::Position;

use super::{
    Breach, Client, Frame, Reload, Step, Violation,
    log::{Entry, Log},
};

/// What is known at one step of a client.
pub(super) struct Walk<'a> {
    client: &'a Client,
    log: &'a Log<'a>,
    entitled: BTreeMap<i64, Entry<'a>>,
    nowhere: Vec<Entry<'a>>,
    /// Everything up to here was delivered.
    cursor: Option<Position>,
    /// Whether nothing has come on this connection yet.
    fresh: bool,
    /// What came on this connection.
    seen: HashSet<&'a str>,
    /// By chat, what did not come because the person had left by then: nothing else may come before that is told.
    withheld: HashMap<&'a str, i64>,
    /// What a `reset` left out, to be found by REST.
    owed: Option<Vec<Entry<'a>>>,
    /// The chats that the person is in, as far as the client was told.
    inside: HashSet<&'a str>,
    /// What was read by REST is of about here: how the chats were before is not known.
    reloaded_at: i64,
    violations: Vec<Violation>,
}

impl<'a> Walk<'a> {
    /// Goes all the way.
    pub(super) fn of(client: &'a Client, log: &'a Log<'a>) -> Self {
        let (entitled, nowhere) = log.entitled(&client.person);
        let chats = log.chats.values();
        let inside =
            chats.filter(|chat| chat.first_members.contains(&client.person)).map(|chat| chat.id.as_str());
        let mut walk = Self {
            client,
            log,
            entitled,
            nowhere,
            cursor: None,
            fresh: true,
            seen: HashSet::new(),
            withheld: HashMap::new(),
            owed: None,
            inside: inside.collect(),
            reloaded_at: 0,
            violations: Vec::new(),
        };
        for step in &client.steps {
            match step {
                Step::Opened(asked) => walk.open(asked.as_ref()),
                Step::Frame(frame) => walk.receive(frame),
                Step::Reloaded(reload) => walk.reload(reload),
            }
        }
        walk
    }

    /// Looks at what is still open when everything is over.
    pub(super) fn finish(mut self, end: i64) -> Vec<Violation> {
        if self.owed.is_some() {
            self.broken(Breach::NotReloaded, "by the end".into());
        }
        if self.cursor.as_ref().is_none_or(|cursor| cursor.id < end) {
            self.broken(Breach::Behind, format!("at {:?}, not at {end}", self.cursor));
        }
        let log = self.log;
        for chat in log.chats.values() {
            let (told, is) = (self.inside.contains(chat.id.as_str()), chat.holds(&self.client.person));
            if told != is {
                self.broken(
                    Breach::Membership,
                    format!("in {}: {is}, but the client was told {told}", chat.id),
                );
            }
        }
        for entry in std::mem::take(&mut self.nowhere) {
            // Whoever left may have done so before it could be delivered.
            if !entry.left_later {
                self.broken(Breach::Hole, format!("nobody received {:?} of {}", entry.message, entry.chat));
            }
        }
        self.violations
    }

    fn broken(&mut self, breach: Breach, details: String) {
        self.violations.push(Violation { breach, details: format!("{}: {details}", self.client.name) });
    }

    fn open(&mut self, asked: Option<&Position>) {
        self.fresh = true;
        self.seen.clear();
        let Some(asked) = asked else { return };
        match self.cursor.replace(asked.clone()) {
            // A client that comes back from further on has all that is before, or believes so.
            Some(cursor) if cursor.epoch == asked.epoch => self.pass(cursor.id, asked.id + 1),
            Some(cursor) => self.broken(Breach::Hole, format!("{asked} is asked for after {cursor}")),
            None => {}
        }
        self.withheld.clear();
    }

    fn receive(&mut self, frame: &'a Frame) {
        let fresh = std::mem::replace(&mut self.fresh, false);
        let id = frame.position.id;
        match frame.event.as_str() {
            "reset" => return self.reset(&frame.position),
            // The position of a `hello` is the one that was asked for, or else a `reset` follows.
            "hello" => {
                self.cursor.get_or_insert_with(|| frame.position.clone());
                return;
            }
            _ if fresh => self.broken(Breach::Order, format!("{frame:?} comes before the hello")),
            _ => {}
        }
        let Some(cursor) = self.cursor.replace(frame.position.clone()) else { return };
        if cursor.epoch != frame.position.epoch {
            self.broken(Breach::Order, format!("{frame:?} is of another log than {cursor}"));
        }
        if frame.event == "ping" {
            if id < cursor.id {
                self.broken(Breach::Order, format!("{frame:?} after {cursor}"));
            }
            return self.pass(cursor.id, id + 1);
        }
        if id <= cursor.id {
            let again = frame.new_message().is_some_and(|message| self.seen.contains(message));
            let breach = if again { Breach::Repeated } else { Breach::Order };
            self.broken(breach, format!("{frame:?} after {cursor}"));
        }
        self.pass(cursor.id, id);
        self.look_at(frame);
    }

    /// Everything for the client in between has been delivered, or is said to have been.
    fn pass(&mut self, after: i64, before: i64) {
        if after + 1 >= before {
            return;
        }
        let between = self.entitled.range((Bound::Excluded(after), Bound::Excluded(before)));
        let missed: Vec<_> = between.map(|(place, entry)| (*place, *entry)).collect();
        for (place, entry) in missed {
            if entry.left_later {
                self.withheld.entry(entry.chat).or_insert(place);
            } else {
                let details =
                    format!("{:?} at {place} did not come, but what is before {before}", entry.message);
                self.broken(Breach::Hole, details);
            }
        }
    }

    fn look_at(&mut self, frame: &'a Frame) {
        let Some(chat) = frame.about.chat.as_deref() else { return };
        if let Some(message) = frame.new_message() {
            self.seen.insert(message);
            let due = self.entitled.get(&frame.position.id).is_some_and(|entry| entry.message.id == message);
            if !due {
                let there = self.log.chats.get(chat).is_some_and(|chat| chat.ids().contains(message));
                let breach = if there { Breach::Leak } else { Breach::Phantom };
                self.broken(breach, format!("{frame:?}"));
            }
            if let Some(place) = self.withheld.get(chat) {
                self.broken(Breach::Hole, format!("{place} did not come, but {frame:?} of the same chat"));
            }
        }
        let own = frame.event == "chat_update" && frame.about.person.as_ref() == Some(&self.client.person);
        match frame.about.kind.as_deref() {
            Some("member_added") if own => self.turn(frame, chat, true),
            Some("member_removed") if own => self.turn(frame, chat, false),
            _ if frame.position.id > self.reloaded_at && !self.inside.contains(chat) => {
                self.broken(Breach::Leak, format!("{frame:?}, where the person is not"));
            }
            _ => {}
        }
    }

    fn turn(&mut self, frame: &Frame, chat: &'a str, inside: bool) {
        if !inside {
            self.withheld.remove(chat);
        }
        // What was read by REST knows of it already.
        if frame.position.id <= self.reloaded_at {
            return;
        }
        let changed = if inside { self.inside.insert(chat) } else { self.inside.remove(chat) };
        if !changed {
            self.broken(Breach::Membership, format!("{frame:?}, once more"));
        }
    }

    fn reset(&mut self, position: &Position) {
        let from = self.cursor.as_ref().map_or(position.id, |cursor| cursor.id);
        let mut owed = self.owed.take().unwrap_or_default();
        if from < position.id {
            let left_out = self.entitled.range((Bound::Excluded(from), Bound::Included(position.id)));
            owed.extend(left_out.map(|(_, entry)| *entry));
        }
        self.owed = Some(owed);
        self.withheld.clear();
        self.cursor = Some(position.clone());
    }

    fn reload(&mut self, reload: &'a Reload) {
        for entry in self.owed.take().unwrap_or_default() {
            // Who has left the chat meanwhile cannot read it any more.
            let Some(Some(messages)) = reload.chats.get(entry.chat) else { continue };
            if !messages.contains(&entry.message.id) {
                self.broken(Breach::Hole, format!("neither stream nor reload has {:?}", entry.message));
            }
        }
        self.nowhere.retain(|entry| {
            let messages = reload.chats.get(entry.chat).and_then(Option::as_ref);
            !messages.is_some_and(|messages| messages.contains(&entry.message.id))
        });
        self.inside = reload.chats.keys().map(String::as_str).collect();
        self.reloaded_at = self.reloaded_at.max(reload.position);
    }
}
