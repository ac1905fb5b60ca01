//! The recent events, in memory: a storm of reconnections is served from here.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chat_core::ids::{MessageId, UserId};

use crate::{directory::Memberships, entry::Entry, frame::Frame};

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
    /// The ids of the entries about each message.
    messages: HashMap<MessageId, Vec<i64>>,
    /// The ids of the entries that quote each message.
    quotes: HashMap<MessageId, Vec<i64>>,
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
            messages: HashMap::new(),
            quotes: HashMap::new(),
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

    /// Adds the next event, and drops the oldest ones beyond the limits.
    pub fn push(&mut self, entry: Arc<Entry>) {
        if let Some(message) = entry.message_id {
            self.renew(message, &entry);
            self.messages.entry(message).or_default().push(entry.id);
        }
        if let Some(quoted) = entry.quoted {
            self.quotes.entry(quoted).or_default().push(entry.id);
        }
        self.head = entry.id;
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        while self.entries.len() > self.limits.events || self.bytes > self.limits.bytes {
            self.drop_oldest();
        }
    }

    /// What is replayed shows a message as it is now: what was edited or deleted is gone from here as well.
    fn renew(&mut self, message: MessageId, newest: &Entry) {
        for id in self.messages.get(&message).cloned().into_iter().flatten() {
            self.replace(id, |earlier| Some(earlier.with_data_of(newest.frame.as_ref()?)));
        }
        // And so do those that quote it.
        if let Some(quote) = &newest.as_quote {
            for id in self.quotes.get(&message).cloned().into_iter().flatten() {
                self.replace(id, |earlier| Some(earlier.with_quote(quote)));
            }
        }
    }

    fn replace(&mut self, id: i64, frame: impl FnOnce(&Frame) -> Option<Frame>) {
        let Ok(index) = self.entries.binary_search_by_key(&id, |entry| entry.id) else {
            return;
        };
        let entry = &mut self.entries[index];
        self.bytes -= entry.cost();
        let frame = entry.frame.as_ref().and_then(frame);
        *entry = Arc::new(Entry { frame, ..Entry::clone(entry) });
        self.bytes += entry.cost();
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        self.base = oldest.id;
        self.bytes -= oldest.cost();
        forget(&mut self.messages, oldest.message_id, oldest.id);
        forget(&mut self.quotes, oldest.quoted, oldest.id);
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
    pub fn page(&self, after: i64, until: i64, limit: usize) -> Option<Vec<Arc<Entry>>> {
        Some(self.range(after, until)?.take(limit).cloned().collect())
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

/// Takes an entry out of what is known about a message.
fn forget(entries: &mut HashMap<MessageId, Vec<i64>>, message: Option<MessageId>, id: i64) {
    if let Some(message) = message
        && let Some(ids) = entries.get_mut(&message)
    {
        ids.retain(|entry| *entry != id);
        if ids.is_empty() {
            entries.remove(&message);
        }
    }
}
