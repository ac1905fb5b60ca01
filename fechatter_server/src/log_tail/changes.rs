//! When each person, chat and workspace last changed, for as long as anybody keeps what was read of them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chat_core::event::{Event, EventKind, Position};
use uuid::Uuid;

/// How long changes are remembered, at least: nothing that was read is kept for longer.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(30);

/// What an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The event.
    pub(super) id: i64,
    /// What was changed.
    pub(super) target: Target,
}

/// What was changed, as far as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing.
    Nothing,
    /// These people, chats and workspaces.
    Ids(Vec<Uuid>),
    /// Something that may be shown anywhere.
    Anything,
}

impl Change {
    pub(super) fn of(event: &Event) -> Self {
        Self { id: event.id, target: Target::of(event) }
    }
}

impl Target {
    fn of(event: &Event) -> Self {
        let user = event.user_id.map(|id| id.0);
        let chat = event.chat_id.map(|id| id.0);
        let workspace = event.workspace_id.map(|id| id.0);
        let ids = |ids: &[Option<Uuid>]| Self::Ids(ids.iter().flatten().copied().collect());
        match event.kind {
            EventKind::Message | EventKind::MessageUpdate | EventKind::MessageDelete => ids(&[chat]),
            // How somebody keeps their chats, and how far they read, is theirs alone.
            EventKind::Read => ids(&[user]),
            EventKind::ChatUpdate if event.fact_type() == "settings_changed" => ids(&[user]),
            EventKind::ChatUpdate => ids(&[chat, user]),
            EventKind::WorkspaceUpdate => ids(&[user.or(workspace)]),
            // No list shows them; that the chat has gone on, a reply's own event tells.
            // What a mention changed, the event of the edit has told.
            EventKind::Reaction
            | EventKind::Saved
            | EventKind::ThreadUpdate
            | EventKind::Mention
            | EventKind::SessionRevoked
            | EventKind::UserSuspended => Self::Nothing,
            EventKind::UserChanged | EventKind::Unknown => Self::Anything,
        }
    }
}

/// The last change of each id, in two spans of time: when the newer one is old enough, the older one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Changes {
    end: Option<Position>,
    spans: Option<[Span; 2]>,
}

#[derive(Debug)]
struct Span {
    /// Changes up to this event are not in it.
    after: i64,
    begun: Instant,
    changed: HashMap<Uuid, i64>,
}

impl Span {
    fn new(after: i64, begun: Instant) -> Self {
        Self { after, begun, changed: HashMap::new() }
    }
}

impl Changes {
    /// Up to where the log was taken in.
    pub(super) fn end(&self) -> Option<&Position> {
        self.end.as_ref()
    }

    /// Nothing is known of what was before `position`.
    pub(super) fn restart(&mut self, position: Position, now: Instant) {
        self.spans = Some([Span::new(position.id, now), Span::new(position.id, now)]);
        self.end = Some(position);
    }

    /// Takes in all changes that follow on `cursor`, unless something is missing in between.
    pub(super) fn extend(
        &mut self,
        cursor: &Position,
        changes: impl IntoIterator<Item = Change>,
        now: Instant,
    ) {
        let (Some(end), Some([newer, older])) = (&mut self.end, &mut self.spans) else { return };
        if end.epoch != cursor.epoch || end.id < cursor.id {
            return;
        }
        if now.duration_since(newer.begun) > REMEMBERED {
            *older = std::mem::replace(newer, Span::new(end.id, now));
        }
        for change in changes {
            match change.target {
                Target::Nothing => {}
                Target::Ids(ids) => {
                    for id in ids {
                        let last = newer.changed.entry(id).or_default();
                        *last = change.id.max(*last);
                    }
                }
                Target::Anything => {
                    *newer = Span::new(change.id.max(newer.after), now);
                    *older = Span::new(change.id.max(older.after), now);
                }
            }
            end.id = end.id.max(change.id);
        }
    }

    /// Whether none of `ids` has changed after `position`.
    pub(super) fn none_after(&self, position: &Position, ids: &[Uuid]) -> bool {
        let (Some(end), Some([newer, older])) = (&self.end, &self.spans) else { return false };
        if end.epoch != position.epoch || position.id < older.after {
            return false;
        }
        position.id >= end.id
            || ids.iter().all(|id| {
                let last = newer.changed.get(id).or_else(|| older.changed.get(id));
                last.is_none_or(|last| *last <= position.id)
            })
    }
}

#[cfg(test)]
mod tests {
    use chat_core::event::Epoch;

    use super::*;

    fn at(id: i64) -> Position {
        Position { epoch: Epoch("a".into()), id }
    }

    fn changes(log: &[(i64, Target)]) -> Vec<Change> {
        log.iter().map(|(id, target)| Change { id: *id, target: target.clone() }).collect()
    }

    #[test]
    fn only_what_changed_after_counts() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut tail = Changes::default();
        let now = Instant::now();
        assert!(!tail.none_after(&at(10), &[one]), "nothing is known yet");
        tail.restart(at(10), now);
        tail.extend(&at(10), changes(&[(11, Target::Ids(vec![one])), (12, Target::Nothing)]), now);
        assert_eq!(tail.end(), Some(&at(12)));
        assert!(!tail.none_after(&at(10), &[other, one]));
        assert!(tail.none_after(&at(10), &[other]));
        assert!(tail.none_after(&at(11), &[other, one]));
        assert!(!tail.none_after(&at(9), &[other]), "before what is known");
        let elsewhere = Position { epoch: Epoch("b".into()), id: 12 };
        assert!(!tail.none_after(&elsewhere, &[other]), "another log");
    }

    #[test]
    fn what_follows_on_something_unknown_is_left_to_the_next_look() {
        let one = Uuid::now_v7();
        let mut tail = Changes::default();
        let now = Instant::now();
        tail.restart(at(10), now);
        tail.extend(&at(12), changes(&[(13, Target::Ids(vec![one]))]), now);
        assert_eq!(tail.end(), Some(&at(10)));
        // A batch that overlaps with what a look has read is taken.
        tail.extend(&at(10), changes(&[(11, Target::Nothing), (12, Target::Ids(vec![one]))]), now);
        tail.extend(&at(11), changes(&[(12, Target::Ids(vec![one])), (13, Target::Nothing)]), now);
        assert_eq!(tail.end(), Some(&at(13)));
        assert!(tail.none_after(&at(12), &[one]));
    }

    #[test]
    fn changes_are_remembered_long_enough_and_no_longer() {
        let one = Uuid::now_v7();
        let mut tail = Changes::default();
        let now = Instant::now();
        tail.restart(at(10), now);
        tail.extend(&at(10), changes(&[(11, Target::Ids(vec![one]))]), now);
        let now = now + REMEMBERED + Duration::from_secs(1);
        tail.extend(&at(11), changes(&[(12, Target::Nothing)]), now);
        assert!(!tail.none_after(&at(10), &[one]), "still remembered");
        assert!(tail.none_after(&at(11), &[one]));
        let now = now + REMEMBERED + Duration::from_secs(1);
        tail.extend(&at(12), changes(&[(13, Target::Nothing)]), now);
        assert!(!tail.none_after(&at(10), &[]), "too long ago to tell");
        assert!(tail.none_after(&at(12), &[one]));
    }

    #[test]
    fn what_may_be_shown_anywhere_ends_everything() {
        let mut tail = Changes::default();
        let now = Instant::now();
        tail.restart(at(10), now);
        tail.extend(&at(10), changes(&[(11, Target::Anything), (12, Target::Nothing)]), now);
        assert!(!tail.none_after(&at(10), &[]));
        assert!(tail.none_after(&at(11), &[]));
    }
}
