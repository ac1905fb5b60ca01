//! Lists of chats, kept for as long as nothing in them has changed.
//!
//! What is kept is served only once the end of the event log has been read and shows no change of the person or of
//! any chat of theirs since; so it is what the database would answer at that moment. The time limit merely bounds
//! what a change from outside the log could leave behind.

use std::sync::Arc;

use chat_core::{
    event::Position,
    http::{
        answer::{Encoded, ListedEncoded},
        coding::AcceptsGzip,
    },
    ids::{UserId, WorkspaceId},
};
use moka::future::Cache;
use uuid::Uuid;

use crate::{
    chats::types::ChatList,
    log_tail::{LogTail, REMEMBERED},
};

/// Whose list, and of which workspace alone.
pub(crate) type Key = (UserId, Option<WorkspaceId>);

/// The lists of many people; cheap to clone.
#[derive(Clone)]
pub(crate) struct ChatLists {
    lists: Cache<Key, Arc<Kept>>,
    tail: LogTail,
}

/// A list, with what it takes to judge it.
pub(crate) struct Kept {
    /// The list holds everything up to here, and perhaps more.
    pub(crate) since: Position,
    /// What the list shows is of this moment, not before `since`.
    pub(crate) shows: Position,
    /// The person, the workspace, and all chats of theirs, hidden ones too.
    pub(crate) ids: Vec<Uuid>,
    /// The list.
    pub(crate) body: Encoded<ChatList>,
}

impl Kept {
    fn size(&self) -> u32 {
        let bytes = self.body.size() + self.ids.len() * size_of::<Uuid>() + size_of::<Self>();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    fn listed(&self, end: Position, accepts_gzip: AcceptsGzip) -> ListedEncoded<ChatList> {
        // Another request may have read the list after this one read the end.
        let position = if self.shows.id > end.id { self.shows.clone() } else { end };
        ListedEncoded { body: self.body.clone(), position, accepts_gzip }
    }
}

impl ChatLists {
    /// No lists yet, and never more than `most_bytes` of them.
    pub(crate) fn new(most_bytes: u64, tail: LogTail) -> Self {
        let lists = Cache::builder()
            .max_capacity(most_bytes)
            .weigher(|_, kept: &Arc<Kept>| kept.size())
            .time_to_live(REMEMBERED)
            .build();
        Self { lists, tail }
    }

    /// Where the log ends now; none when the database could not tell.
    pub(crate) async fn end(&self) -> Option<Position> {
        self.tail.catch_up().await
    }

    /// The list that is kept, if it still holds at `end`.
    pub(crate) async fn get(
        &self,
        key: &Key,
        end: &Position,
        accepts_gzip: AcceptsGzip,
    ) -> Option<ListedEncoded<ChatList>> {
        let kept = self.lists.get(key).await?;
        let holds = self.tail.unchanged_since(&kept.since, &kept.ids);
        holds.then(|| kept.listed(end.clone(), accepts_gzip))
    }

    /// Keeps a list, and answers with it.
    pub(crate) async fn keep(
        &self,
        key: Key,
        kept: Kept,
        accepts_gzip: AcceptsGzip,
    ) -> ListedEncoded<ChatList> {
        let listed = kept.listed(kept.shows.clone(), accepts_gzip);
        self.lists.insert(key, Arc::new(kept)).await;
        listed
    }
}
