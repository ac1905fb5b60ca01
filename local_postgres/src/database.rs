//! The one database in the cluster.

use sqlx::{Connection, PgConnection};

use crate::LocalPostgres;

/// Its name.
pub(crate) const DATABASE: &str = "fechatter";
/// `duplicate_database` (PostgreSQL manual, appendix A).
const EXISTS: &str = "42P04";

/// Makes the database unless it is there; answers its URL.
pub(crate) async fn ensure(postgres: &LocalPostgres) -> sqlx::Result<String> {
    let mut maintenance = PgConnection::connect(&postgres.url("postgres")).await?;
    let made = sqlx::raw_sql("create database fechatter").execute(&mut maintenance).await;
    maintenance.close().await?;
    match made {
        Err(error)
            if error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref()
                != Some(EXISTS) =>
        {
            Err(error)
        }
        _ => Ok(postgres.url(DATABASE)),
    }
}
