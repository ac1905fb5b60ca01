//! Snapshots for those who open streams at the same time, taken together.
//!
//! A statement for each would make thousands wait for a connection to the database, most of them in vain. So
//! whoever comes while a statement is under way waits for the next one, and nobody waits for company.

use std::{mem, sync::Arc};

use chat_core::{clock::Clock, database::Pool, essential};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    store::{self, Snapshot},
    subscriber::Subscriber,
};

/// Snapshots in a statement.
const TOGETHER: usize = 256;
/// Statements under way at the same time.
const STATEMENTS: usize = 2;
/// Who may wait before others wait to wait.
const WAITING: usize = 1024;

/// The way to snapshots.
#[derive(Debug)]
pub struct Snapshots(mpsc::Sender<Wanted>);

/// A snapshot that somebody waits for.
#[derive(Debug)]
struct Wanted {
    subscriber: Subscriber,
    /// Where they want to read on.
    cursor: Option<i64>,
    answer: oneshot::Sender<Result<Snapshot, Error>>,
}

impl Snapshots {
    /// Takes snapshots from `pool` until `shutdown`.
    #[must_use]
    pub fn start(pool: &Pool, clock: &Clock, shutdown: &CancellationToken) -> Self {
        let (want, wanted) = mpsc::channel(WAITING);
        let wanted = Arc::new(Mutex::new(wanted));
        for _ in 0..STATEMENTS {
            let taking = take_on(Arc::clone(&wanted), pool.clone(), clock.clone());
            essential::spawn("snapshots", shutdown, taking);
        }
        Self(want)
    }

    /// The snapshot of a moment after the call.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Ending`].
    pub async fn take(&self, subscriber: Subscriber, cursor: Option<i64>) -> Result<Snapshot, Error> {
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted { subscriber, cursor, answer };
        self.0.send(wanted).await.map_err(|_| Error::Ending)?;
        answered.await.map_err(|_| Error::Ending)?
    }
}

async fn take_on(wanted: Arc<Mutex<mpsc::Receiver<Wanted>>>, pool: Pool, clock: Clock) {
    let mut together = Vec::new();
    loop {
        wanted.lock().await.recv_many(&mut together, TOGETHER).await;
        if together.is_empty() {
            return;
        }
        // Who has given up costs nothing.
        together.retain(|wanted| !wanted.answer.is_closed());
        if !together.is_empty() {
            answer(mem::take(&mut together), &pool, &clock).await;
        }
    }
}

async fn answer(together: Vec<Wanted>, pool: &Pool, clock: &Clock) {
    let asked: Vec<_> = together.iter().map(|wanted| (wanted.subscriber, wanted.cursor)).collect();
    let snapshots = take_together(pool, &asked, clock).await.unwrap_or_else(|error| {
        tracing::warn!(%error, waiting = together.len(), "snapshots could not be taken");
        Vec::new()
    });
    let snapshots = snapshots.into_iter().map(Ok).chain(std::iter::repeat_with(|| Err(Error::Unavailable)));
    for (wanted, snapshot) in together.into_iter().zip(snapshots) {
        // Who has given up meanwhile asks for nothing.
        drop(wanted.answer.send(snapshot));
    }
}

/// While thousands connect, a new connection to the database can take longer than the pool waits for it.
async fn take_together(
    pool: &Pool,
    asked: &[(Subscriber, Option<i64>)],
    clock: &Clock,
) -> sqlx::Result<Vec<Snapshot>> {
    match store::snapshots(pool, asked, clock.now()).await {
        Err(sqlx::Error::PoolTimedOut) => store::snapshots(pool, asked, clock.now()).await,
        taken => taken,
    }
}
