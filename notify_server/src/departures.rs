//! Who leaves which chat, up to where the messages that are delivered were read.
//!
//! Events are joined with messages as these are when the log is read, which is later than the event: a message at 10 may
//! come with its edit at 12. Who left the chat at 11 was there at 10, and must not be given that. So before anything is
//! delivered it is known who leaves, and which messages change, up to where messages were read.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chat_core::{
    database::Pool,
    feed::BATCH,
    ids::{ChatId, MessageId, UserId},
};
use tokio::time::sleep;

use crate::{directory::Change, entry::Entry, store};

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

/// The departures that a batch of the log tells, and those that come after it, up to where its messages were read.
#[derive(Debug, Default)]
pub struct Departures {
    /// By chat, who leaves it, and the events that tell so.
    chats: HashMap<ChatId, HashMap<UserId, Vec<i64>>>,
    /// The last event of the batch about each message, if anybody leaves.
    changed: HashMap<MessageId, i64>,
    /// Whether messages may have changed after the batch, too.
    open: bool,
}

impl Departures {
    /// Those that a batch tells, and those that are `to_come`. A batch that was full left events behind, up to which
    /// its messages may have changed; any other one is all that there was.
    #[must_use]
    pub fn of(batch: &[Arc<Entry>], to_come: &[Departure], full: bool) -> Self {
        let mut chats: HashMap<_, HashMap<_, Vec<_>>> = HashMap::new();
        let told = batch.iter().filter_map(|entry| Departure::of(entry));
        for Departure { id, chat, user } in told.chain(to_come.iter().copied()) {
            chats.entry(chat).or_default().entry(user).or_default().push(id);
        }
        let mut changed = HashMap::new();
        if !chats.is_empty() {
            changed.extend(batch.iter().filter_map(|entry| Some((entry.message_id?, entry.id))));
        }
        Self { chats, changed, open: full }
    }

    /// Whom an entry of the batch must not be shown: who leaves its chat before the last change of what it shows.
    pub fn outliving(&self, entry: &Entry) -> impl Fn(UserId) -> bool {
        let leaving = entry.route.shows_chat().and_then(|chat| self.chats.get(&chat));
        let changed = leaving.and_then(|_| self.changed_after(entry));
        move |user| {
            let (Some(changed), Some(left)) = (changed, leaving.and_then(|people| people.get(&user))) else {
                return false;
            };
            left.iter().any(|left| entry.id < *left && *left < changed)
        }
    }

    /// When what an entry shows changed last, if that was after the entry.
    fn changed_after(&self, entry: &Entry) -> Option<i64> {
        if self.open {
            return Some(i64::MAX);
        }
        let shown = entry.message_id.into_iter().chain(entry.quoted);
        shown
            .filter_map(|message| self.changed.get(&message))
            .copied()
            .max()
            .filter(|changed| *changed > entry.id)
    }

    /// The chats that `user` leaves after `position`.
    pub fn left_by(&self, user: UserId, position: i64) -> impl Iterator<Item = ChatId> {
        let leaves = move |people: &HashMap<UserId, Vec<i64>>| {
            people.get(&user).is_some_and(|left| left.iter().any(|left| *left > position))
        };
        self.chats.iter().filter(move |(_, people)| leaves(people)).map(|(chat, _)| *chat)
    }
}

/// Looks ahead in the log, beyond what is delivered next.
#[derive(Debug, Default)]
pub struct Foresight {
    /// Those that are to come. While the log is far behind its end, each part of it is looked through once.
    to_come: Vec<Departure>,
    /// The log has been looked through up to here.
    through: i64,
}

impl Foresight {
    /// Forgets everything: another log has come.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The departures of a batch, and of all that its messages may be as new as.
    pub async fn departures(&mut self, pool: &Pool, batch: &[Arc<Entry>]) -> Departures {
        let last = batch.last().map_or(0, |entry| entry.id);
        let full = batch.len() >= BATCH;
        if full {
            self.look(pool, last).await;
        }
        self.to_come.retain(|departure| departure.id > last);
        Departures::of(batch, &self.to_come, full)
    }

    async fn look(&mut self, pool: &Pool, last: i64) {
        self.through = self.through.max(last);
        loop {
            match store::departures(pool, self.through).await {
                Ok((departures, end)) => {
                    self.to_come.extend(departures);
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
