//! The database's pulse: a question twice a second, on a connection of its own.
//!
//! A frozen PostgreSQL, or a network that swallows what it carries, says nothing at all: neither a time limit of
//! PostgreSQL's own nor the pool's ends a statement that is under way. The pulse finds out, and nobody waits in vain.

use std::{pin::pin, time::Duration};

use sqlx::{ConnectOptions, PgConnection, error::DatabaseError, postgres::PgConnectOptions};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    essential,
    store::{self, DatabaseState},
};

/// How often it is felt.
const EVERY: Duration = Duration::from_millis(500);
/// For how long work is left alone, whatever the pulse: what needs no database is done by then.
const GRACE: Duration = Duration::from_secs(1);

/// What was felt last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing yet.
    Unknown,
    /// The database answers.
    Alive(DatabaseState),
    /// It cannot be reached, or refuses; whoever asks is told so at once.
    Unreachable,
    /// It was reached, and says nothing any more.
    Stalled,
}

/// Why work was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The database has stalled.
    Stalled,
    /// It took too long.
    TooLong,
}

/// A finger on the pulse, cheap to clone.
#[derive(Clone, Debug)]
pub struct Pulse(watch::Receiver<Beat>);

impl Pulse {
    /// Feels it until `shutdown`; an answer may take as long as `patience`.
    #[must_use]
    pub fn start(options: PgConnectOptions, patience: Duration, shutdown: &CancellationToken) -> Self {
        let (beats, last) = watch::channel(Beat::Unknown);
        essential::spawn("pulse", shutdown, feel(options, patience, beats));
        Self(last)
    }

    /// One that nobody feels, for unit tests.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self(watch::channel(Beat::Unknown).1)
    }

    /// What was felt last.
    #[must_use]
    pub fn last(&self) -> Beat {
        self.0.borrow().clone()
    }

    /// Does `work`, for as long as `limit`, and no longer than the database lives. The time `lost` while somebody else
    /// was waited for does not count.
    ///
    /// # Errors
    /// It was not done.
    pub async fn within<T>(
        &self,
        limit: Duration,
        lost: impl Fn() -> Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Late> {
        let begun = Instant::now();
        let mut work = pin!(work);
        // Nearly everything is done by then, and costs no more than a time limit.
        if let Ok(done) = timeout(GRACE.min(limit), work.as_mut()).await {
            return Ok(done);
        }
        let mut beats = self.0.clone();
        loop {
            let left = limit.saturating_add(lost()).saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Late::TooLong);
            }
            tokio::select! {
                biased;
                done = work.as_mut() => return Ok(done),
                Ok(_) = beats.wait_for(|beat| *beat == Beat::Stalled) => return Err(Late::Stalled),
                () = sleep(left) => {}
            }
        }
    }
}

async fn feel(options: PgConnectOptions, patience: Duration, beats: watch::Sender<Beat>) {
    // Who waits for a lock is answered, by this error: only silence is silence.
    let options = options.options([("lock_timeout", "500ms"), ("statement_timeout", "1s")]);
    let mut connection = None;
    loop {
        let felt = timeout(patience, ask(&mut connection, &options)).await;
        let last = beats.borrow().clone();
        let beat = match felt {
            Ok(Ok(state)) => Beat::Alive(state),
            Ok(Err(error)) if is_kept_waiting(&error) && matches!(last, Beat::Alive(_)) => last.clone(),
            Ok(Err(error)) => {
                if last != Beat::Unreachable {
                    tracing::warn!(%error, "the database does not answer as it should");
                }
                Beat::Unreachable
            }
            // Without a connection there was nobody to fall silent; but who had, still says nothing.
            Err(_) if connection.is_some() || last == Beat::Stalled => Beat::Stalled,
            Err(_) => Beat::Unreachable,
        };
        if !matches!(beat, Beat::Alive(_)) {
            connection = None;
        }
        if beat != last {
            if beat == Beat::Stalled {
                tracing::error!("the database has stalled; requests that wait for it are refused");
            }
            beats.send_replace(beat);
        }
        sleep(EVERY).await;
    }
}

/// `lock_not_available`, `query_canceled` (PostgreSQL manual, appendix A).
fn is_kept_waiting(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["55P03", "57014"].contains(&&*code))
}

async fn ask(
    connection: &mut Option<PgConnection>,
    options: &PgConnectOptions,
) -> sqlx::Result<DatabaseState> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.connect().await?),
    };
    store::database_state(connection).await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn work_ends_with_its_time_or_with_the_pulse() {
        let (beats, last) = watch::channel(Beat::Stalled);
        let pulse = Pulse(last);
        let (long, none) = (Duration::from_mins(10), || Duration::ZERO);
        // What needs no database is done whatever its pulse.
        assert_eq!(pulse.within(long, none, ready(1)).await, Ok(1));
        assert_eq!(pulse.within(long, none, pending::<()>()).await, Err(Late::Stalled));
        beats.send_replace(Beat::Unreachable);
        assert_eq!(pulse.within(Duration::from_millis(20), none, pending::<()>()).await, Err(Late::TooLong));
        let slow = sleep(GRACE + Duration::from_millis(100));
        assert_eq!(pulse.within(long, none, slow).await, Ok(()));
        // Nobody feels it any more: that is no reason to end anything.
        drop(beats);
        let slow = sleep(GRACE + Duration::from_millis(100));
        assert_eq!(pulse.within(long, none, slow).await, Ok(()));
    }
}
