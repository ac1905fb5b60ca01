//! What the end of the event log says has changed lately: by this a server knows whether what it read some time
//! ago still holds.

mod changes;

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
    time::Instant,
};

use chat_core::{
    database::Pool,
    essential,
    event::{Event, Position},
    feed::{ends_at, read_bare_after},
    store::position,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::changes::REMEMBERED;
use self::changes::{Change, Changes};

/// Changes read at once.
const PAGE: i64 = 1000;

/// The end of the event log; cheap to clone.
#[derive(Clone)]
pub(crate) struct LogTail {
    changes: Arc<RwLock<Changes>>,
    /// Those who want to know where the log ends.
    asking: mpsc::UnboundedSender<oneshot::Sender<Option<Position>>>,
}

impl LogTail {
    /// A tail that knows nothing yet. Its task ends with the last clone.
    pub(crate) fn start(pool: Pool, shutdown: &CancellationToken) -> Self {
        let changes = Arc::<RwLock<Changes>>::default();
        let (asking, asked) = mpsc::unbounded_channel();
        let looks = Looks { pool, changes: Arc::clone(&changes) };
        essential::spawn_to_the_end("log tail", shutdown, looks.run(asked));
        Self { changes, asking }
    }

    /// Takes in the events after `cursor`: what the feed brings need not be read again.
    pub(crate) fn follow(&self, cursor: &Position, events: &[Event]) {
        write(&self.changes).extend(cursor, events.iter().map(Change::of), Instant::now());
    }

    /// Takes in everything that was committed before the call; answers where the log ends.
    ///
    /// Callers share looks: all who come during one share the next. None when the database could not tell.
    pub(crate) async fn catch_up(&self) -> Option<Position> {
        let (answer, answered) = oneshot::channel();
        self.asking.send(answer).ok()?;
        answered.await.ok().flatten()
    }

    /// Whether nothing has happened to the person, chats and workspaces of these ids after `position`, as far as
    /// the log was taken in.
    pub(crate) fn unchanged_since(&self, position: &Position, ids: &[Uuid]) -> bool {
        self.changes.read().unwrap_or_else(PoisonError::into_inner).none_after(position, ids)
    }
}

/// The task that looks at the log when somebody asks.
struct Looks {
    pool: Pool,
    changes: Arc<RwLock<Changes>>,
}

impl Looks {
    async fn run(self, mut asked: mpsc::UnboundedReceiver<oneshot::Sender<Option<Position>>>) {
        let mut asking = Vec::new();
        while asked.recv_many(&mut asking, usize::MAX).await > 0 {
            // Requests that have arrived already may join.
            yield_now().await;
            while let Ok(answer) = asked.try_recv() {
                asking.push(answer);
            }
            let looked = self.look().await;
            if let Err(error) = &looked {
                tracing::warn!(%error, "the end of the event log could not be read");
            }
            let end = looked.ok().and_then(|()| self.position());
            for answer in asking.drain(..) {
                // Who asked may have gone.
                let _ = answer.send(end.clone());
            }
        }
    }

    async fn look(&self) -> sqlx::Result<()> {
        if let Some(cursor) = self.position()
            && ends_at(&self.pool, &cursor).await?
        {
            return Ok(());
        }
        loop {
            let Some(cursor) = self.position() else { return self.restart().await };
            let (log, events) = read_bare_after(&self.pool, cursor.id, PAGE).await?;
            if log.epoch != cursor.epoch || cursor.id < log.dropped_through {
                return self.restart().await;
            }
            let full = i64::try_from(events.len()) == Ok(PAGE);
            write(&self.changes).extend(&cursor, events.iter().map(Change::of), Instant::now());
            if !full {
                return Ok(());
            }
        }
    }

    async fn restart(&self) -> sqlx::Result<()> {
        let position = position(&self.pool).await?;
        write(&self.changes).restart(position, Instant::now());
        Ok(())
    }

    fn position(&self) -> Option<Position> {
        self.changes.read().unwrap_or_else(PoisonError::into_inner).end().cloned()
    }
}

fn write(changes: &RwLock<Changes>) -> RwLockWriteGuard<'_, Changes> {
    changes.write().unwrap_or_else(PoisonError::into_inner)
}
