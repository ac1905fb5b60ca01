//! The log as the clients saw it together: where each message is, and who was to receive it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{About, Breach, Chat, History, Message, Step, Violation};

/// A message with its chat.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) chat: &'a str,
    pub(super) message: &'a Message,
    /// Whether its receiver left the chat some time later.
    pub(super) left_later: bool,
}

/// Where each message is in the log.
pub(super) struct Log<'a> {
    pub(super) chats: HashMap<&'a str, &'a Chat>,
    places: HashMap<&'a str, i64>,
}

impl<'a> Log<'a> {
    /// Puts together what the streams showed, and finds what does not fit together.
    pub(super) fn of(history: &'a History, violations: &mut Vec<Violation>) -> Self {
        let mut events: HashMap<i64, (&str, &About)> = HashMap::new();
        let mut places = HashMap::new();
        for client in &history.clients {
            let frames = client.steps.iter().filter_map(|step| match step {
                Step::Frame(frame) if !frame.is_about_the_stream() => Some(frame),
                _ => None,
            });
            for frame in frames {
                let (id, name) = (frame.position.id, frame.event.as_str());
                let known = *events.entry(id).or_insert((name, &frame.about));
                if known != (name, &frame.about) {
                    let details = format!("{id} is {known:?}, but {frame:?} for {}", client.name);
                    violations.push(Violation { breach: Breach::Disagreement, details });
                }
                if let Some(message) = frame.new_message()
                    && *places.entry(message).or_insert(id) != id
                {
                    let details =
                        format!("{message} is at {} and at {id} for {}", places[message], client.name);
                    violations.push(Violation { breach: Breach::Disagreement, details });
                }
            }
        }
        let chats = history.chats.iter().map(|chat| (chat.id.as_str(), chat)).collect();
        Self { chats, places }
    }

    /// The number of the event by which somebody received the message.
    pub(super) fn place(&self, message: &str) -> Option<i64> {
        self.places.get(message).copied()
    }

    /// What a person was to receive: by place, and what nobody received.
    pub(super) fn entitled(&self, person: &str) -> (BTreeMap<i64, Entry<'a>>, Vec<Entry<'a>>) {
        let (mut placed, mut nowhere) = (BTreeMap::new(), Vec::new());
        for chat in self.chats.values() {
            for entry in chat.entitled(person) {
                match self.place(&entry.message.id) {
                    Some(place) => drop(placed.insert(place, entry)),
                    None => nowhere.push(entry),
                }
            }
        }
        (placed, nowhere)
    }
}

impl Chat {
    /// The messages that were written while the person was in the chat: who joins sees the note of it, and who
    /// leaves does not.
    fn entitled(&self, person: &str) -> Vec<Entry<'_>> {
        let mut inside = self.first_members.contains(person);
        let (mut entitled, mut stay) = (Vec::new(), Vec::new());
        for message in &self.messages {
            let named = |people: &[String]| people.iter().any(|named| named == person);
            if named(&message.left) {
                inside = false;
                entitled.extend(stay.drain(..).map(|entry| Entry { left_later: true, ..entry }));
            }
            inside |= named(&message.joined);
            if inside {
                stay.push(Entry { chat: &self.id, message, left_later: false });
            }
        }
        entitled.extend(stay);
        entitled
    }

    /// Whether the person is in it in the end.
    pub(super) fn holds(&self, person: &str) -> bool {
        let mut inside = self.first_members.contains(person);
        for message in &self.messages {
            let named = |people: &[String]| people.iter().any(|named| named == person);
            inside = named(&message.joined) || (inside && !named(&message.left));
        }
        inside
    }

    /// The ids of all messages.
    pub(super) fn ids(&self) -> BTreeSet<&str> {
        self.messages.iter().map(|message| message.id.as_str()).collect()
    }
}
