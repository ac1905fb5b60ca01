//! What the migrations of a database are, and who may do what in it.

use sqlx::PgConnection;

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub struct Applied {
    /// Its number.
    pub version: i64,
    /// What it is about.
    pub description: String,
}

/// The migrator's own table is made with the first migration, so it is not there when queries are checked.
async fn begun(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(connection).await
}

/// The migrations that were applied, with their checksums.
pub(crate) async fn checksums(connection: &mut PgConnection) -> sqlx::Result<Vec<(i64, Vec<u8>)>> {
    if !begun(connection).await? {
        return Ok(Vec::new());
    }
    sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version")
        .fetch_all(connection)
        .await
}

/// The migrations that were applied, in their order.
pub(super) async fn applied(connection: &mut PgConnection) -> sqlx::Result<Vec<Applied>> {
    if !begun(connection).await? {
        return Ok(Vec::new());
    }
    sqlx::query_as("select version, description from _sqlx_migrations where success order by version")
        .fetch_all(connection)
        .await
}

/// Makes the roles of the servers, unless they are there.
pub(super) async fn make_roles(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(include_str!("make_roles.sql")).execute(connection).await?;
    Ok(())
}

/// Gives the servers' roles, those of them that exist, their rights and no others; answers which.
pub(super) async fn give_rights(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::raw_sql(include_str!("roles.sql")).execute(&mut *connection).await?;
    sqlx::query_scalar(
        "select rolname::text from pg_roles where rolname in ('fechatter_server', 'notify_server') order by 1",
    )
    .fetch_all(connection)
    .await
}
