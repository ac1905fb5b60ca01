//! What the readiness check reads.

use chat_core::database::MIGRATOR;
use sqlx::PgPool;

/// The version of the newest migration that was applied; 0 for none.
pub(super) async fn applied_migrations(pool: &PgPool) -> sqlx::Result<i64> {
    // The table is the migrator's own, so it is not there when queries are checked.
    let newest: Option<i64> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations where success").fetch_one(pool).await?;
    Ok(newest.unwrap_or_default())
}

/// The version of the newest migration of this program.
pub(super) fn needed_migrations() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}
