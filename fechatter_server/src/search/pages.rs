//! Pages of results.

use std::collections::HashMap;

use chat_core::{
    http::page::cut,
    ids::{MessageId, UserId},
};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    finding::{Finding, Hit, Within},
    folding::folded_text,
    query::Query,
    store::{self, Called},
    types::{ChatFacts, Cursor, SearchMessages, SearchPage, SearchResult, Sort},
};
use crate::messages::{store::readable_at, views::store as views};

/// The newest matches among which the best are found.
const COMPARED: usize = 1_000;

/// Who asks for what.
pub(super) struct Asked<'search> {
    pub(super) reader: UserId,
    pub(super) query: &'search Query,
    pub(super) search: &'search SearchMessages,
    pub(super) cursor: Option<Cursor>,
}

impl Asked<'_> {
    /// The page, in the snapshot of the connection.
    pub(super) async fn page(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> sqlx::Result<SearchPage> {
        let within = self.within(connection).await?;
        let limit = self.search.limit;
        let wanted = usize::try_from(limit).unwrap_or_default();
        let (below, wanted) = match self.cursor {
            Some(Cursor::Newest(last)) => (last.0, wanted + 1),
            Some(Cursor::Best { newest, .. }) => (next(newest.0), COMPARED),
            None if self.search.sort == Sort::Best => (Uuid::max(), COMPARED),
            None => (Uuid::max(), wanted + 1),
        };
        let mut hits = Finding::new(self.query, &within, below, wanted, now).run(connection).await?;
        let newest = hits.first().map(|hit| hit.id);
        if self.search.sort == Sort::Best {
            hits.sort_by_key(|hit| std::cmp::Reverse(rank(hit)));
        }
        if let Some(Cursor::Best { score, last, .. }) = self.cursor {
            hits.retain(|hit| rank(hit) < (score, last));
        }
        let has_more = cut(&mut hits, limit);
        let next_cursor =
            hits.last().filter(|_| has_more).map(|last| self.cursor_after(newest, last).shown());
        let results = self.results(connection, hits).await?;
        Ok(SearchPage { results, has_more, next_cursor })
    }

    fn cursor_after(&self, newest: Option<MessageId>, last: &Hit) -> Cursor {
        match (self.search.sort, self.cursor) {
            (Sort::Newest, _) => Cursor::Newest(last.id),
            (Sort::Best, Some(Cursor::Best { newest, .. })) => {
                Cursor::Best { newest, score: last.found.score, last: last.id }
            }
            (Sort::Best, _) => {
                Cursor::Best { newest: newest.unwrap_or(last.id), score: last.found.score, last: last.id }
            }
        }
    }

    /// Where to look.
    async fn within(&self, connection: &mut PgConnection) -> sqlx::Result<Within> {
        let filters = &self.query.filters;
        let readable = store::readable(connection, self.reader, self.search.workspace_id).await?;
        let mut messages: HashMap<_, _> = readable.iter().map(|chat| (chat.id, chat.last_seq)).collect();
        if !filters.places.is_empty() {
            let ids: Vec<_> = messages.keys().copied().collect();
            let meant = store::called(connection, self.reader, &ids).await?;
            let meant: Vec<_> =
                meant.iter().filter(|chat| self.is_meant(chat)).map(|chat| chat.id.0).collect();
            messages.retain(|id, _| meant.contains(id));
        }
        let senders = if filters.from.is_empty() {
            None
        } else {
            let mut senders = store::people(connection, &filters.from).await?;
            senders.extend(filters.from.iter().any(|handle| handle == "me").then_some(self.reader.0));
            Some(senders)
        };
        Ok(Within {
            reader: self.reader,
            messages: messages.values().sum(),
            chats: messages.into_keys().collect(),
            senders,
            since: filters.since,
            before: filters.before,
            has_file: filters.has_file,
            mentions_me: filters.mentions_me,
        })
    }

    /// Whether one of the `in:` filters means this chat.
    fn is_meant(&self, chat: &Called) -> bool {
        let name = folded_text(&chat.name);
        self.query.filters.places.iter().any(|place| {
            let peer = place.strip_prefix('@').map(str::to_lowercase);
            peer.is_some_and(|handle| chat.peer.as_ref() == Some(&handle))
                || folded_text(place) == name
                || place.parse().is_ok_and(|id: Uuid| id == chat.id.0)
        })
    }

    async fn results(
        &self,
        connection: &mut PgConnection,
        hits: Vec<Hit>,
    ) -> sqlx::Result<Vec<SearchResult>> {
        let found: Vec<_> = hits.iter().map(|hit| (hit.chat_id, hit.id)).collect();
        let mut messages = readable_at(connection, self.reader, &found).await?;
        views::complete(connection, self.reader, &mut messages).await?;
        let chats: Vec<_> = found.iter().map(|(chat, _)| chat.0).collect();
        let chats = store::called(connection, self.reader, &chats).await?;
        let chats: HashMap<_, _> = chats.into_iter().map(|chat| (chat.id, ChatFacts::from(chat))).collect();
        let mut highlights: HashMap<_, _> =
            hits.into_iter().map(|hit| (hit.id, hit.found.highlights)).collect();
        let results = messages.into_iter().filter_map(|message| {
            let chat = chats.get(&message.chat_id)?.clone();
            let highlights = highlights.remove(&message.id).unwrap_or_default();
            Some(SearchResult { message, chat, highlights })
        });
        Ok(results.collect())
    }
}

/// The best first; of equally good ones the newest.
fn rank(hit: &Hit) -> (u32, MessageId) {
    (hit.found.score, hit.id)
}

/// The id after this one.
fn next(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_add(1))
}
