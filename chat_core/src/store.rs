//! Transactions, and the lookups that both servers make.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, error::DatabaseError};

use crate::{
    database::{Pool, Transaction},
    event::{Epoch, Position},
    ids::{SessionId, UserId},
    telemetry::pools::Beginning,
};

/// Starts a transaction that takes the ordering lock when it first writes what is an event, and not before.
pub async fn begin_unordered(pool: &Pool) -> sqlx::Result<Transaction> {
    begin(pool, "begin").await
}

/// Starts a transaction, in a task of its own: a caller may be given up at any moment, and a `begin` that is dropped
/// between its question and the answer would leave the transaction open on a connection that sqlx takes for clean.
/// Whoever came next would write into it, and believe that to be committed.
async fn begin(pool: &Pool, statement: &'static str) -> sqlx::Result<Transaction> {
    let pool = pool.clone();
    let beginning = tokio::spawn(async move {
        let _beginning = Beginning::new();
        pool.begin(statement).await
    });
    beginning.await.map_err(|_| sqlx::Error::WorkerCrashed)?
}

/// Starts a transaction that writes: under the event log's ordering lock, before any statement reads
/// what its write depends on.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn begin_write(pool: &Pool, actor: Option<UserId>) -> sqlx::Result<Transaction> {
    let mut tx = begin(pool, "begin").await?;
    sqlx::query!("select begin_write($1)", actor.map(|actor| actor.0)).execute(&mut *tx).await?;
    Ok(tx)
}

/// A read of one moment, and where in the event log that moment lies.
pub struct Snapshot {
    /// The read-only transaction.
    pub tx: Transaction,
    /// The exact cut: the snapshot shows every event up to here, and none after.
    pub position: Position,
}

impl Snapshot {
    /// Starts one (REPEATABLE READ: PostgreSQL manual, section 13.2.2).
    #[tracing::instrument(level = "debug", name = "begin_snapshot", skip_all)]
    pub async fn begin(pool: &Pool) -> sqlx::Result<Self> {
        let mut tx = begin(pool, "begin isolation level repeatable read read only").await?;
        let position = position(&mut *tx).await?;
        Ok(Self { tx, position })
    }
}

/// Where the log ends, as the current statement sees it.
pub async fn position(executor: impl PgExecutor<'_>) -> sqlx::Result<Position> {
    let row = sqlx::query!(
        r#"select epoch, coalesce((select max(id) from events), dropped_through) as "id!" from stream_epoch"#
    )
    .fetch_one(executor)
    .await?;
    Ok(Position { epoch: Epoch(row.epoch), id: row.id })
}

/// How far a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseState {
    /// The newest migration that was applied; 0 for none.
    pub schema: i64,
    /// The newest event of the log; 0 for none.
    pub head: i64,
}

/// How far the database is. The table of migrations is the migrator's own, so it is not there when queries are checked.
pub(crate) async fn database_state(connection: &mut PgConnection) -> sqlx::Result<DatabaseState> {
    let asked = sqlx::query_as(
        "select coalesce((select max(version) from _sqlx_migrations where success), 0),
            coalesce((select max(id) from events), 0)",
    );
    match asked.fetch_one(connection).await {
        Ok((schema, head)) => Ok(DatabaseState { schema, head }),
        Err(error) if is_no_such_table(&error) => Ok(DatabaseState { schema: 0, head: 0 }),
        Err(error) => Err(error),
    }
}

/// `undefined_table` (PostgreSQL manual, appendix A).
fn is_no_such_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("42P01")
}

/// Whether this session of this person is in force.
pub async fn session_is_active(
    pool: &Pool,
    session: SessionId,
    user: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from sessions s join users u on u.id = s.user_id
            where s.id = $1 and s.user_id = $2 and s.revoked_at is null and s.expires_at > $3
                and u.status = 'Active'
        ) as "active!"
        "#,
        session.0,
        user.0,
        now,
    )
    .fetch_one(pool)
    .await
}
