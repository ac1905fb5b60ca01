//! Pools that give up a connection once it has fallen silent.
//!
//! A PostgreSQL that lost its power, or a firewall that forgot a connection, says nothing on it ever again. PostgreSQL's
//! own time limits end nothing then, TCP does so after a quarter of an hour or never, and a pool of sqlx keeps the place
//! of such a connection for as long as it waits for a sign of life. So everything that is asked here has a limit on this
//! side, a little longer than PostgreSQL's own; and what is not answered by then is closed without a word.

use std::{
    io,
    ops::{Deref, DerefMut},
    time::Duration,
};

use futures::{
    StreamExt, TryFutureExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTransactionManager, PgTypeInfo},
};
use sqlx_core::{sql_str::SqlSafeStr, transaction::TransactionManager};
use tokio::time::{error::Elapsed, timeout};

/// More than a transaction has.
const STATEMENTS: u32 = 10;

/// Connections to PostgreSQL, cheap to clone. Statements that are given to the pool itself have a time limit.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: PgPool,
    patience: Duration,
}

impl Pool {
    /// A pool of these connections, which are given up when PostgreSQL says nothing for as long as `patience`.
    #[must_use]
    pub fn new(connections: PgPool, patience: Duration) -> Self {
        Self { connections, patience }
    }

    /// A connection. What is asked on it has no limit but the caller's; given up by the caller, it has one again.
    ///
    /// # Errors
    /// None is free or can be made in time.
    pub async fn acquire(&self) -> sqlx::Result<Lent> {
        let connection = self.connections.acquire().await?;
        Ok(Lent { connection, patience: self.patience })
    }

    /// Begins a transaction. Not to be given up meanwhile: see [`crate::store`].
    pub(crate) async fn begin(&self, statement: &'static str) -> sqlx::Result<Transaction> {
        let mut lent = self.acquire().await?;
        let begun = PgTransactionManager::begin(&mut lent, Some(statement.into_sql_str()));
        let begun = timeout(self.patience, begun).await;
        let ((), lent) = lent.answered(begun)?;
        Ok(Transaction { lent, open: true })
    }

    /// Does `work`, one transaction on a connection of this pool, for as long as its statements may take together. For
    /// tasks of our own: a request has a limit already.
    ///
    /// # Errors
    /// What it meets.
    pub async fn in_time<T>(&self, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        timeout(self.patience * STATEMENTS, work).await.unwrap_or_else(|_| Err(silence()))
    }

    /// Connections that there are, those of them that are idle, and the most that there may be.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        let idle = u32::try_from(self.connections.num_idle()).unwrap_or(u32::MAX);
        (self.connections.size(), idle, self.connections.options().get_max_connections())
    }
}

/// A connection of a pool. It goes back there when it is dropped, unless it does not say by then that it is alive.
#[derive(Debug)]
pub struct Lent {
    connection: PoolConnection<Postgres>,
    patience: Duration,
}

impl Lent {
    /// What was answered within the time limit, and the connection. Without an answer it is closed.
    fn answered<T>(mut self, answer: Result<sqlx::Result<T>, Elapsed>) -> sqlx::Result<(T, Self)> {
        let Ok(answer) = answer else {
            // Made and not waited for, it gives the place free and closes the socket.
            drop(self.connection.return_to_pool());
            return Err(silence());
        };
        answer.map(|answer| (answer, self))
    }
}

fn silence() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "PostgreSQL says nothing any more"))
}

impl Drop for Lent {
    fn drop(&mut self) {
        // sqlx asks for a sign of life first, after whatever was given up, and would wait for it for ever.
        let (patience, returning) = (self.patience, self.connection.return_to_pool());
        tokio::spawn(async move { timeout(patience, returning).await });
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// A transaction. Dropped before its commit, it is undone.
#[derive(Debug)]
pub struct Transaction {
    lent: Lent,
    open: bool,
}

impl Transaction {
    /// Makes it durable and visible.
    ///
    /// # Errors
    /// What PostgreSQL says; without an answer nobody knows whether it was.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        PgTransactionManager::commit(&mut self.lent).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            // Only written down: it is sent when the connection goes back.
            PgTransactionManager::start_rollback(&mut self.lent);
        }
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.lent
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.lent
    }
}

/// One statement on any connection. Its rows come all at once, so that the limit is one on the whole.
impl<'p> Executor<'p> for &'_ Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let told = async move {
            let mut lent = pool.acquire().await?;
            let told = timeout(pool.patience, lent.fetch_many(query).try_collect::<Vec<_>>()).await;
            lent.answered(told)
        };
        stream::once(told.map_ok(|(told, _)| stream::iter(told.into_iter().map(Ok)))).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lent = pool.acquire().await?;
            let told = timeout(pool.patience, lent.fetch_optional(query)).await;
            lent.answered(told).map(|(row, _)| row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lent = pool.acquire().await?;
            let told = timeout(pool.patience, lent.prepare_with(sql, parameters)).await;
            lent.answered(told).map(|(statement, _)| statement)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lent = pool.acquire().await?;
            let told = timeout(pool.patience, lent.describe(sql)).await;
            lent.answered(told).map(|(description, _)| description)
        })
    }
}
