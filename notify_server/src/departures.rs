//! Who leaves which chat, as far as the messages that are delivered were read.
//!
//! Events are joined with messages as these are when the log is read, which is later than the event: a message at 10
//! may come with its edit at 12. Who left the chat at 11 was there at 10, and must not be given that. So before
//! anything is delivered it is known who leaves up to where messages were read, and what is written in a chat is
//! withheld from those, as it is from who resumes after a removal.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chat_core::{
    database::Pool,
    event::Event,
    feed::BATCH,
    ids::{ChatId, UserId},
};
use tokio::time::sleep;

use crate::{
    directory::{Change, Route},
    entry::Entry,
    store,
};

/// How long to wait before the log is looked at again after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// That somebody leaves a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The event that tells it.
    pub id: i64,
    /// Which chat.
    pub chat: ChatId,
    /// Who.
    pub user: UserId,
}

impl Departure {
    /// That of an entry, if it tells one.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        match entry.route.change {
            Some(Change::LeftChat(chat, user)) => Some(Self { id: entry.id, chat, user }),
            _ => None,
        }
    }
}

/// The departures of a part of the log: by chat, who leaves it, and the last event that tells so.
#[derive(Debug, Default)]
pub struct Departures(HashMap<ChatId, HashMap<UserId, i64>>);

impl FromIterator<Departure> for Departures {
    fn from_iter<I: IntoIterator<Item = Departure>>(departures: I) -> Self {
        let mut chats: HashMap<_, HashMap<_, _>> = HashMap::new();
        for Departure { id, chat, user } in departures {
            let last = chats.entry(chat).or_default().entry(user).or_insert(id);
            *last = id.max(*last);
        }
        Self(chats)
    }
}

impl Departures {
    /// From whom an event at `id` is withheld: it shows something of a chat that they leave after it.
    pub fn withheld(&self, route: &Route, id: i64) -> impl Fn(UserId) -> bool {
        let leaving = route.shows_chat().and_then(|chat| self.0.get(&chat));
        move |user| leaving.and_then(|people| people.get(&user)).is_some_and(|last| *last > id)
    }

    /// The last one of a person from each chat.
    pub fn of(&self, user: UserId) -> impl Iterator<Item = Departure> {
        let last = move |(chat, people): (&ChatId, &HashMap<UserId, i64>)| {
            people.get(&user).map(|id| Departure { id: *id, chat: *chat, user })
        };
        self.0.iter().filter_map(last)
    }
}

/// Looks ahead in the log, beyond what is delivered next.
#[derive(Debug, Default)]
pub struct Foresight {
    /// Those that are to come. While the log is far behind its end, each part of it is looked through once.
    departures: Vec<Departure>,
    /// The log has been looked through up to here.
    through: i64,
}

impl Foresight {
    /// Forgets everything: another log has come.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The departures of a batch, and of all that its messages may be as new as.
    pub async fn departures(&mut self, pool: &Pool, events: &[Event], entries: &[Arc<Entry>]) -> Departures {
        let last = entries.last().map_or(0, |entry| entry.id);
        if goes_beyond(events) {
            self.look(pool, last).await;
        }
        self.departures.retain(|departure| departure.id > last);
        let own = entries.iter().filter_map(|entry| Departure::of(entry));
        own.chain(self.departures.iter().copied()).collect()
    }

    async fn look(&mut self, pool: &Pool, last: i64) {
        self.through = self.through.max(last);
        loop {
            match store::departures(pool, self.through).await {
                Ok((departures, end)) => {
                    self.departures.extend(departures);
                    self.through = self.through.max(end);
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "it could not be read who leaves which chat");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Whether messages of a batch may be newer than its last event: a full batch leaves events behind that were there when
/// it was read, and quotes are read a moment later than the rest.
fn goes_beyond(events: &[Event]) -> bool {
    let quotes = |event: &Event| event.message.as_ref().is_some_and(|message| message.quote.is_some());
    events.len() >= BATCH || events.iter().any(quotes)
}
