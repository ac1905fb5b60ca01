//! What the end of the event log says has changed lately: by this a server knows whether what it read some time
//! ago still holds.

mod changes;

use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use chat_core::{
    event::{Event, Position},
    feed::read_bare_after,
    store::position,
};
use sqlx::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

pub(crate) use self::changes::REMEMBERED;
use self::changes::{Change, Changes};

/// Changes read at once.
const PAGE: i64 = 1000;

/// The end of the event log; cheap to clone.
#[derive(Clone)]
pub(crate) struct LogTail(Arc<Shared>);

struct Shared {
    pool: PgPool,
    changes: RwLock<Changes>,
    /// Looks at the log that have begun.
    begun: AtomicU64,
    /// The number of the last look that has ended, and whether it succeeded.
    ended: Mutex<(u64, bool)>,
}

impl LogTail {
    /// A tail that knows nothing yet.
    pub(crate) fn new(pool: PgPool) -> Self {
        let changes = RwLock::new(Changes::default());
        Self(Arc::new(Shared { pool, changes, begun: AtomicU64::new(0), ended: Mutex::new((0, true)) }))
    }

    /// Takes in the events after `cursor`: what the feed brings need not be read again.
    pub(crate) fn follow(&self, cursor: &Position, events: &[Event]) {
        self.changes_mut().extend(cursor, events.iter().map(Change::of), Instant::now());
    }

    /// Takes in everything that was committed before the call; answers where the log ends.
    ///
    /// Callers share looks: who comes during one waits for the next, which begins after all of them have come.
    /// None when the database could not tell.
    pub(crate) async fn catch_up(&self) -> Option<Position> {
        let shared = &*self.0;
        let begun_before = shared.begun.load(Ordering::SeqCst);
        let mut ended = shared.ended.lock().await;
        if ended.0 <= begun_before {
            let number = shared.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let looked = self.look().await;
            if let Err(error) = &looked {
                tracing::warn!(%error, "the end of the event log could not be read");
            }
            *ended = (number, looked.is_ok());
        }
        let succeeded = ended.1;
        drop(ended);
        succeeded.then(|| self.position()).flatten()
    }

    /// Whether nothing has happened to the person, chats and workspaces of these ids after `position`, as far as
    /// the log was taken in.
    pub(crate) fn unchanged_since(&self, position: &Position, ids: &[Uuid]) -> bool {
        self.0.changes.read().unwrap_or_else(PoisonError::into_inner).none_after(position, ids)
    }

    fn position(&self) -> Option<Position> {
        self.0.changes.read().unwrap_or_else(PoisonError::into_inner).end().cloned()
    }

    fn changes_mut(&self) -> RwLockWriteGuard<'_, Changes> {
        self.0.changes.write().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self) -> sqlx::Result<()> {
        loop {
            let Some(cursor) = self.position() else { return self.restart().await };
            let (log, events) = read_bare_after(&self.0.pool, cursor.id, PAGE).await?;
            if log.epoch != cursor.epoch || cursor.id < log.dropped_through {
                return self.restart().await;
            }
            let full = i64::try_from(events.len()) == Ok(PAGE);
            self.follow(&cursor, &events);
            if !full {
                return Ok(());
            }
        }
    }

    async fn restart(&self) -> sqlx::Result<()> {
        let position = position(&mut *self.0.pool.acquire().await?).await?;
        self.changes_mut().restart(position, Instant::now());
        Ok(())
    }
}
