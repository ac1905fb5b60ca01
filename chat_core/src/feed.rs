//! The event feed: a doorbell, and an ordered catch-up from the table.
//!
//! The table is the truth. The bell (LISTEN/NOTIFY, PostgreSQL manual, NOTIFY) only says when to look;
//! a poll every second covers a bell that was lost, and works alone where LISTEN cannot.

mod cursor;
mod row;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    types::Json,
};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    event::{Epoch, Event, Position},
    ids::{ChatId, MessageId, UserId, WorkspaceId},
    message::{MessageKind, SystemNote},
};

use self::{
    cursor::{Continuation, Cursor},
    row::Row,
};

/// The channel that the triggers ring.
const CHANNEL: &str = "fechatter_events";
/// How long to wait for the bell before looking anyway.
const POLL: Duration = Duration::from_secs(1);
/// How often a silent listener is asked for a sign of life: a half-open socket never reports itself.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long connecting, or an answer to the heartbeat, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Waits between attempts after a failure.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// Events in a batch.
const BATCH: i64 = 1000;

/// What the feed yields.
#[derive(Debug)]
pub enum Batch {
    /// The next events, in commit order, at least one.
    Events(Vec<Event>),
    /// What came before is not connected with what comes next: start anew from here.
    Gap {
        /// Why.
        reason: Gap,
        /// From where the feed goes on.
        position: Position,
    },
}

/// Why there is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The feed has just started.
    Start,
    /// Another log is in place of the one that was read, or its end was cut off.
    Epoch,
    /// The events in between have been dropped.
    Expired,
}

/// All events from now on, in commit order, each once.
pub struct EventFeed {
    pool: PgPool,
    bell: Arc<Notify>,
    listener: JoinHandle<()>,
    cursor: Option<Cursor>,
    detail: Detail,
}

/// What an event is joined with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// The message and the person that it names.
    Whole,
    /// Nothing.
    Bare,
}

impl Drop for EventFeed {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl EventFeed {
    /// A feed that reads from `pool` and listens by a connection of its own.
    #[must_use]
    pub fn start(pool: PgPool, listen: PgConnectOptions) -> Self {
        let bell = Arc::new(Notify::new());
        let listener = tokio::spawn(ring(listen, Arc::clone(&bell)));
        Self { pool, bell, listener, cursor: None, detail: Detail::Whole }
    }

    /// The feed for who needs neither messages nor persons: it costs much less to read.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.detail = Detail::Bare;
        self
    }

    /// The next batch; the first one is the gap [`Gap::Start`].
    ///
    /// Waits as long as it takes: failures are logged and tried again. Not cancellation safe in that a
    /// batch can be lost with the future; keep one feed to one loop.
    pub async fn next(&mut self) -> Batch {
        let mut failures = 0;
        loop {
            // Made before the look, so that a ring during it is not missed.
            let bell = Arc::clone(&self.bell);
            let rung = bell.notified();
            match self.look().await {
                Ok(Some(batch)) => return batch,
                Ok(None) => {
                    failures = 0;
                    // Elapsed: look without having been rung.
                    let _ = timeout(POLL, rung).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the event log could not be read");
                    sleep(backoff(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    async fn look(&mut self) -> sqlx::Result<Option<Batch>> {
        let Some(cursor) = &self.cursor else {
            return self.restart(Gap::Start).await.map(Some);
        };
        let (log, events) = read(&self.pool, cursor.position.id, BATCH, self.detail).await?;
        match cursor.judge(&log) {
            Continuation::Whole => {}
            Continuation::Expired => return self.restart(Gap::Expired).await.map(Some),
            Continuation::OtherLog => return self.restart(Gap::Epoch).await.map(Some),
            Continuation::Cut => {
                // Clients hold positions of the lost end, which only the epoch tells from those of the new one.
                tracing::error!(
                    position = %cursor.position,
                    "the event log has lost its end: it gets a new epoch"
                );
                rotate_epoch(&self.pool, &cursor.position.epoch).await?;
                return self.restart(Gap::Epoch).await.map(Some);
            }
        }
        let Some(last) = events.last() else { return Ok(None) };
        self.cursor =
            Some(Cursor { position: Position { epoch: log.epoch, id: last.id }, at: Some(last.at) });
        Ok(Some(Batch::Events(events)))
    }

    async fn restart(&mut self, reason: Gap) -> sqlx::Result<Batch> {
        let cursor = end(&self.pool).await?;
        let position = cursor.position.clone();
        self.cursor = Some(cursor);
        Ok(Batch::Gap { reason, position })
    }
}

/// The end of the log.
async fn end(pool: &PgPool) -> sqlx::Result<Cursor> {
    let row = sqlx::query!(
        r#"
        select s.epoch, coalesce(e.id, s.dropped_through) as "id!", e.at as "at?"
        from stream_epoch s left join lateral (select id, at from events order by id desc limit 1) e on true
        "#
    )
    .fetch_one(pool)
    .await?;
    Ok(Cursor { position: Position { epoch: Epoch(row.epoch), id: row.id }, at: row.at })
}

/// Gives the log a new epoch, unless its epoch is not `known` any more; answers the epoch that it has then.
///
/// Every stream is told `reset` soon after, and every position that a client holds is of another log from then on.
///
/// # Errors
/// What PostgreSQL says; on a standby that nothing can be written.
pub async fn rotate_epoch(pool: &PgPool, known: &Epoch) -> sqlx::Result<Epoch> {
    sqlx::query!("select rotate_epoch($1)", known.0).execute(pool).await?;
    end(pool).await.map(|cursor| cursor.position.epoch)
}

fn backoff(failures: usize) -> Duration {
    BACKOFF[failures.min(BACKOFF.len() - 1)]
}

/// Rings the bell for every notification, and after every reconnection, for as long as it lives.
async fn ring(options: PgConnectOptions, bell: Arc<Notify>) {
    let mut failures = 0;
    loop {
        match listen(&options, &bell, &mut failures).await {
            Ok(()) => tracing::debug!("the listener lost its connection"),
            Err(error) => tracing::warn!(%error, "the listener failed; polling meanwhile"),
        }
        bell.notify_one();
        sleep(backoff(failures)).await;
        failures += 1;
    }
}

async fn listen(options: &PgConnectOptions, bell: &Notify, failures: &mut usize) -> sqlx::Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    // Whatever was written while nobody listened.
    bell.notify_one();
    *failures = 0;
    loop {
        match timeout(HEARTBEAT, listener.try_recv()).await {
            Ok(Ok(Some(_))) => bell.notify_one(),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                timeout(PATIENCE, sqlx::query!("select 1 as alive").fetch_one(&mut listener))
                    .await
                    .map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
        }
    }
}

/// What the log said of itself, in the statement that read the events.
#[derive(Clone, Debug)]
pub struct LogState {
    /// Which log.
    pub epoch: Epoch,
    /// Events up to here have been dropped.
    pub dropped_through: i64,
    /// When the event of the cursor was written; none when the log has no event of that id.
    pub cursor_at: Option<DateTime<Utc>>,
}

/// The first `limit` events after `cursor`, joined with what they name, and the log's state at that moment.
pub async fn read_after(pool: &PgPool, cursor: i64, limit: i64) -> sqlx::Result<(LogState, Vec<Event>)> {
    read(pool, cursor, limit, Detail::Whole).await
}

async fn read(
    pool: &PgPool,
    cursor: i64,
    limit: i64,
    detail: Detail,
) -> sqlx::Result<(LogState, Vec<Event>)> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select s.epoch, s.dropped_through,
            (select at from events where id = $1) as cursor_at,
            e.id as "id?", e.kind as "kind?", e.at as "at?",
            e.workspace_id as "workspace_id?: WorkspaceId", e.chat_id as "chat_id?: ChatId",
            e.user_id as "user_id?: UserId", e.actor_id as "actor_id?: UserId",
            e.message_id as "message_id?: MessageId", e.data as "data?",
            m.seq as "seq?", m.kind as "message_kind?: MessageKind", m.content as "content?",
            m.system as "system?: Json<SystemNote>", m.deleted_by as "deleted_by?: UserId",
            m.reply_to as "reply_to?: MessageId", m.client_id as "client_id?",
            m.created_at as "created_at?", m.edited_at as "edited_at?",
            m.version as "version?", m.deleted_at as "deleted_at?",
            p.id as "person_id?: UserId", p.full_name as "person_name?",
            p.username as "person_username?", p.avatar_url as "person_avatar_url?"
        from stream_epoch s
        left join lateral (select * from events where id > $1 order by id limit $2) e on true
        left join lateral (
            select * from messages where $3 and chat_id = e.chat_id and id = e.message_id limit 1
        ) m on true
        left join lateral (
            select * from users where $3 and id = coalesce(m.sender_id,
                case when e.data ->> 'type' = 'member_added' then e.user_id end) limit 1
        ) p on true
        order by e.id
        "#,
        cursor,
        limit,
        detail == Detail::Whole,
    )
    .fetch_all(pool)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let log = LogState {
        epoch: Epoch(first.epoch.clone()),
        dropped_through: first.dropped_through,
        cursor_at: first.cursor_at,
    };
    Ok((log, rows.into_iter().filter_map(Row::into_event).collect()))
}
