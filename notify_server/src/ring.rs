//! The recent events, in memory: a storm of reconnections is served from here.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use chat_core::ids::{ChatId, MessageId, UserId};

use crate::{
    departures::{Departure, Departures},
    directory::Memberships,
    entry::Entry,
    frame::Frame,
};

/// How much a ring holds.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    /// Events.
    pub events: usize,
    /// Bytes.
    pub bytes: usize,
}

/// All events of the log in `(base, head]`, the internal ones included.
#[derive(Debug)]
pub struct Ring {
    limits: RingLimits,
    base: i64,
    head: i64,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The newest entry about each message: what the earlier ones are shown with.
    newest: HashMap<MessageId, Arc<Entry>>,
    /// The newest entry that changed how each message is quoted: what those before it that quote it are shown with.
    edits: HashMap<MessageId, Arc<Entry>>,
    /// Who leaves which chat, as far as the newest messages in here were read, which may be beyond the newest entry.
    departures: Arc<Departures>,
}

/// An entry as it is shown now: what was edited or deleted since is gone from it.
///
/// An entry is not encoded anew when its message is edited: thousands may quote one message, and the hub, which takes
/// in the edit, would be held for all of them. Whoever shows one does that, for what is shown.
#[derive(Clone, Debug)]
pub struct Recent {
    /// The entry as it came.
    pub entry: Arc<Entry>,
    /// A later one about the same message.
    newest: Option<Arc<Entry>>,
    /// One later than both, about the message that theirs quotes.
    edit: Option<Arc<Entry>>,
}

impl Recent {
    /// What is sent; none for what is only for the servers, or gone.
    #[must_use]
    pub fn frame(&self) -> Option<Cow<'_, Frame>> {
        let mut frame = Cow::Borrowed(self.entry.frame.as_ref()?);
        if let Some(newest) = &self.newest {
            frame = Cow::Owned(frame.with_data_of(newest.frame.as_ref()?));
        }
        if let Some(edit) = &self.edit {
            frame = Cow::Owned(frame.with_quote(edit.as_quote.as_deref()));
        }
        Some(frame)
    }
}

impl Ring {
    /// A ring that holds nothing and goes on after the event `base`.
    #[must_use]
    pub fn new(limits: RingLimits, base: i64) -> Self {
        Self {
            limits,
            base,
            head: base,
            entries: VecDeque::new(),
            bytes: 0,
            newest: HashMap::new(),
            edits: HashMap::new(),
            departures: Arc::default(),
        }
    }

    /// The last event.
    #[must_use]
    pub fn head(&self) -> i64 {
        self.head
    }

    /// Whether everything after `position` is here.
    #[must_use]
    pub fn holds(&self, position: i64) -> bool {
        (self.base..=self.head).contains(&position)
    }

    /// Takes in who leaves which chat, before the entries are added whose messages were read after that.
    pub fn expect(&mut self, departures: Arc<Departures>) {
        self.departures = departures;
    }

    /// Adds the next event, and drops the oldest ones beyond the limits.
    pub fn push(&mut self, entry: Arc<Entry>) {
        if let Some(message) = entry.message_id {
            if entry.changes_quotes() {
                self.edits.insert(message, Arc::clone(&entry));
            }
            self.newest.insert(message, Arc::clone(&entry));
        }
        self.head = entry.id;
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        while self.entries.len() > self.limits.events || self.bytes > self.limits.bytes {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        self.base = oldest.id;
        self.bytes -= oldest.cost();
        // All that these were for was before them, and is gone.
        forget(&mut self.newest, &oldest);
        forget(&mut self.edits, &oldest);
    }

    /// The events in `(after, until]`, unless some of them are not here any more.
    #[must_use]
    pub fn range(&self, after: i64, until: i64) -> Option<impl DoubleEndedIterator<Item = &Arc<Entry>>> {
        if !self.holds(after) {
            return None;
        }
        let start = self.entries.partition_point(|entry| entry.id <= after);
        let end = self.entries.partition_point(|entry| entry.id <= until);
        Some(self.entries.range(start..end.max(start)))
    }

    /// The first `limit` events in `(after, until]`, unless some are not here any more.
    #[must_use]
    pub fn page(&self, after: i64, until: i64, limit: usize) -> Option<Vec<Recent>> {
        Some(self.range(after, until)?.take(limit).map(|entry| self.recent(entry)).collect())
    }

    /// An entry of this ring, as it is shown now. Encodes nothing, so the ring may be locked.
    #[must_use]
    pub fn recent(&self, entry: &Arc<Entry>) -> Recent {
        let newest = entry.message_id.and_then(|message| self.newest.get(&message));
        let newest = newest.filter(|newest| newest.id > entry.id);
        let shown = newest.unwrap_or(entry);
        // What came after an edit was read with the edit in place.
        let edit = shown.quoted.and_then(|quoted| self.edits.get(&quoted)).filter(|edit| edit.id > shown.id);
        Recent { entry: Arc::clone(entry), newest: newest.cloned(), edit: edit.cloned() }
    }

    /// The chats that `user` leaves after `position`, as far as the messages in here were read; none when that is not
    /// known any more.
    #[must_use]
    pub fn left_by(&self, user: UserId, position: i64) -> Option<HashSet<ChatId>> {
        let told = self.range(position, self.head)?.filter_map(|entry| Departure::of(entry));
        let told = told.filter(|departure| departure.user == user).map(|departure| departure.chat);
        Some(told.chain(self.departures.left_by(user, self.head)).collect())
    }

    /// Where `user` was at `after`, told from where they were at `until`, unless that is too long ago.
    #[must_use]
    pub fn rewind(
        &self,
        user: UserId,
        mut at_until: Memberships,
        after: i64,
        until: i64,
    ) -> Option<Memberships> {
        for change in self.range(after, until)?.rev().filter_map(|entry| entry.route.change.as_ref()) {
            at_until.undo(change, user);
        }
        Some(at_until)
    }
}

/// Takes an entry out of what is known of its message, if it still stands there.
fn forget(known: &mut HashMap<MessageId, Arc<Entry>>, entry: &Arc<Entry>) {
    if let Some(message) = entry.message_id
        && known.get(&message).is_some_and(|known| Arc::ptr_eq(known, entry))
    {
        known.remove(&message);
    }
}
