//! What backups ask the database.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection};

/// Where the log stands, and of which schema it is.
pub(super) struct Log {
    /// The version of the newest migration.
    pub(super) schema: i64,
    /// The id of the last event.
    pub(super) position: i64,
    /// Up to which id events have been dropped.
    pub(super) dropped_through: i64,
}

/// The major version of the server.
pub(super) async fn server_version(connection: &mut PgConnection) -> sqlx::Result<u32> {
    let number = sqlx::query_scalar!(r#"select current_setting('server_version_num')::int as "number!""#)
        .fetch_one(connection);
    Ok(number.await?.unsigned_abs() / 10_000)
}

/// Where the log stands in this snapshot.
pub(super) async fn log(connection: &mut PgConnection) -> sqlx::Result<Log> {
    // The table is the migrator's own, so it is not there when queries are checked.
    let schema = sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
        .fetch_one(&mut *connection);
    let schema = schema.await?;
    let position = last_event(connection).await?;
    let dropped_through =
        sqlx::query_scalar!("select dropped_through from stream_epoch").fetch_one(connection).await?;
    Ok(Log { schema, position, dropped_through })
}

/// The id of the log's last event; 0 without one.
pub(super) async fn last_event(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select coalesce(max(id), 0) as "id!" from events"#).fetch_one(connection).await
}

/// The rows of each table, partitions as one, but for those that are `left_out`.
pub(super) async fn count_rows(
    connection: &mut PgConnection,
    left_out: &[&str],
) -> sqlx::Result<BTreeMap<String, i64>> {
    let left_out: Vec<_> = left_out.iter().map(|table| (*table).to_owned()).collect();
    let tables = sqlx::query!(
        r#"
        select relname::text as "name!", quote_ident(relname) as "quoted!"
        from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
            and relname <> all ($1)
        "#,
        &left_out
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut rows = BTreeMap::new();
    for table in tables {
        // A name of our own schema, quoted by PostgreSQL.
        let count = AssertSqlSafe(format!("select count(*) from public.{}", table.quoted));
        rows.insert(table.name, sqlx::query_scalar(count).fetch_one(&mut *connection).await?);
    }
    Ok(rows)
}

/// Lets another session read this transaction's snapshot (PostgreSQL manual, section 9.27.5).
pub(super) async fn export(connection: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar!(r#"select pg_export_snapshot() as "snapshot!""#).fetch_one(connection).await
}

/// A table that is there, if there is one.
pub(super) async fn something_in(connection: &mut PgConnection) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"
        select relname::text as "name!" from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')
        order by relname limit 1
        "#
    )
    .fetch_optional(connection)
    .await
}

/// Begins a restored log anew: with an epoch that nobody has seen.
pub(super) async fn begin_log(connection: &mut PgConnection, dropped_through: i64) -> sqlx::Result<()> {
    sqlx::query!("insert into stream_epoch (dropped_through) values ($1)", dropped_through)
        .execute(connection)
        .await?;
    Ok(())
}
