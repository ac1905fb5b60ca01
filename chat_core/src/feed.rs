//! The event feed: a doorbell, and an ordered catch-up from the table.
//!
//! The table is the truth. The bell (LISTEN/NOTIFY, PostgreSQL manual, NOTIFY) only says when to look;
//! a poll every second covers a bell that was lost, and works alone where LISTEN cannot.

mod cursor;
mod lag;
mod progress;
mod row;
mod store;

use std::{sync::Arc, time::Duration};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    database::Pool,
    event::{Ephemeral, Event, Position},
};

use self::{
    cursor::{Continuation, Cursor},
    store::end,
};
pub use self::{
    lag::LagGauges,
    progress::FeedProgress,
    store::{LogState, ends_at, read_after, read_bare_after, read_end, rotate_epoch},
};

/// The channel that the triggers ring.
const CHANNEL: &str = "fechatter_events";
/// The channel of what is told at most once.
const EPHEMERAL: &str = "fechatter_ephemeral";
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
/// Events in a batch, at most.
pub const BATCH: usize = 1000;

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
    pool: Pool,
    bell: Arc<Notify>,
    listener: JoinHandle<()>,
    cursor: Option<Cursor>,
    detail: Detail,
    /// The least time from one look to the next.
    pace: Duration,
    /// When the next look is due at the earliest.
    due: Instant,
    progress: FeedProgress,
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
    pub fn start(pool: Pool, listen: PgConnectOptions) -> Self {
        Self::listening(pool, listen, None)
    }

    /// [`EventFeed::start`]; passes on what is ephemeral as well, unless `ephemeral` is full.
    #[must_use]
    pub fn with_ephemeral(pool: Pool, listen: PgConnectOptions, ephemeral: mpsc::Sender<Ephemeral>) -> Self {
        Self::listening(pool, listen, Some(ephemeral))
    }

    fn listening(pool: Pool, listen: PgConnectOptions, ephemeral: Option<mpsc::Sender<Ephemeral>>) -> Self {
        let bell = Arc::new(Notify::new());
        let ringer = Ringer { bell: Arc::clone(&bell), ephemeral };
        let listener = tokio::spawn(ringer.run(listen));
        let (pace, due) = (Duration::ZERO, Instant::now());
        let (detail, progress) = (Detail::Whole, FeedProgress::default());
        Self { pool, bell, listener, cursor: None, detail, pace, due, progress }
    }

    /// The feed for who needs neither messages nor persons: it costs much less to read.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.detail = Detail::Bare;
        self
    }

    /// The feed for who need not know at once: it looks no more often than once in `pace`, and finds more each time.
    #[must_use]
    pub fn paced(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Tells how far it has come.
    #[must_use]
    pub fn telling(mut self, progress: FeedProgress) -> Self {
        self.progress = progress;
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
            if !self.pace.is_zero() {
                sleep_until(self.due).await;
                self.due = Instant::now() + self.pace;
            }
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
        let now = Instant::now();
        let Some(cursor) = &self.cursor else {
            return self.restart(Gap::Start).await.map(Some);
        };
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let (log, events) = match self.detail {
            Detail::Whole => read_after(&self.pool, cursor.position.id, limit).await?,
            Detail::Bare => read_bare_after(&self.pool, cursor.position.id, limit).await?,
        };
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
        let Some(last) = events.last() else {
            self.progress.whole(cursor.position.id, now);
            return Ok(None);
        };
        if events.len() < BATCH {
            self.progress.whole(last.id, now);
        } else if let Ok(end) = end(&self.pool).await {
            self.progress.behind(last.id, end.position.id, now);
        }
        self.cursor =
            Some(Cursor { position: Position { epoch: log.epoch, id: last.id }, at: Some(last.at) });
        Ok(Some(Batch::Events(events)))
    }

    async fn restart(&mut self, reason: Gap) -> sqlx::Result<Batch> {
        let now = Instant::now();
        let cursor = end(&self.pool).await?;
        let position = cursor.position.clone();
        self.progress.whole(position.id, now);
        self.cursor = Some(cursor);
        Ok(Batch::Gap { reason, position })
    }
}

/// A listener that does not answer is dropped. sqlx says farewell to PostgreSQL then, in a task that ends when TCP gives
/// the connection up.
async fn answered<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(PATIENCE, answer).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn backoff(failures: usize) -> Duration {
    BACKOFF[failures.min(BACKOFF.len() - 1)]
}

/// Rings the bell for every notification, and after every reconnection, for as long as it lives.
struct Ringer {
    bell: Arc<Notify>,
    /// Where what is ephemeral goes.
    ephemeral: Option<mpsc::Sender<Ephemeral>>,
}

impl Ringer {
    async fn run(self, options: PgConnectOptions) {
        let mut failures = 0;
        loop {
            match self.listen(&options, &mut failures).await {
                Ok(()) => tracing::debug!("the listener lost its connection"),
                Err(error) => tracing::warn!(%error, "the listener failed; polling meanwhile"),
            }
            self.bell.notify_one();
            sleep(backoff(failures)).await;
            failures += 1;
        }
    }

    async fn listen(&self, options: &PgConnectOptions, failures: &mut usize) -> sqlx::Result<()> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        let channels = [CHANNEL, EPHEMERAL];
        let channels = channels.into_iter().take(1 + usize::from(self.ephemeral.is_some()));
        answered(listener.listen_all(channels)).await?;
        // Whatever was written while nobody listened.
        self.bell.notify_one();
        *failures = 0;
        loop {
            match timeout(HEARTBEAT, listener.try_recv()).await {
                Ok(Ok(Some(told))) if told.channel() == EPHEMERAL => self.pass_on(told.payload()),
                Ok(Ok(Some(_))) => self.bell.notify_one(),
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    answered(sqlx::query!("select 1 as alive").fetch_one(&mut listener)).await?;
                }
            }
        }
    }

    fn pass_on(&self, payload: &str) {
        match (serde_json::from_str(payload), &self.ephemeral) {
            // Full: it is the first to be dropped.
            (Ok(ephemeral), Some(sender)) => drop(sender.try_send(ephemeral)),
            // A newer version beside this one may say what this one does not know.
            (Err(error), _) => tracing::debug!(%error, "something ephemeral was not understood"),
            (Ok(_), None) => {}
        }
    }
}
