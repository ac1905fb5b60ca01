//! `fechatter migrate`: the database's schema, and the rights of the servers' roles.

mod store;

use std::io::{self, Write};

use anyhow::{Context, anyhow};
use chat_core::database::{DatabaseSettings, MIGRATOR};
use clap::Args;
use serde::Serialize;
use sqlx::{
    PgConnection,
    migrate::{Migrate, MigrateError},
};

pub use self::store::Applied;
pub(crate) use self::store::checksums;

/// How to migrate.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct MigrateOptions {
    /// Make the roles `fechatter_server` and `notify_server`, without a login, unless they are there.
    #[arg(long)]
    pub roles: bool,
    /// Say what was done as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Migrated {
    /// The migrations applied now, in their order.
    pub applied: Vec<Applied>,
    /// The version of the schema.
    pub version: i64,
    /// The servers' roles, which have their rights now.
    pub roles: Vec<String>,
}

/// Brings the schema up to date, and says what was done.
///
/// # Errors
/// What [`migrate`] meets.
pub async fn run(settings: &DatabaseSettings, options: MigrateOptions) -> anyhow::Result<()> {
    let done = migrate(settings, options.roles).await?;
    let mut out = io::stdout().lock();
    if options.json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&done)?)?);
    }
    for Applied { version, description } in &done.applied {
        writeln!(out, "Applied {version:04} {description}.")?;
    }
    writeln!(out, "The schema is up to date.")?;
    if !done.roles.is_empty() {
        writeln!(out, "The rights are given: {}.", done.roles.join(", "))?;
    }
    Ok(())
}

/// Brings the schema of a database up to date, and the rights of the servers' roles with it. Of several at once, one
/// does it and the others wait.
///
/// # Errors
/// A database that does not answer, that a newer program has migrated, or whose migrations are not these.
pub async fn migrate(settings: &DatabaseSettings, make_roles: bool) -> anyhow::Result<Migrated> {
    let pool = settings.pool_without_limits("fechatter migrate")?;
    let mut connection = pool.acquire().await.context("the database does not answer")?;
    migrate_on(&mut connection, make_roles).await
}

/// [`migrate`], on a connection without time limits.
///
/// # Errors
/// What it meets.
pub async fn migrate_on(connection: &mut PgConnection, make_roles: bool) -> anyhow::Result<Migrated> {
    // The migrator's own lock, which it takes once more; it ends with the connection.
    connection.lock().await.map_err(explain)?;
    let before = store::applied(connection).await?;
    MIGRATOR.run(&mut *connection).await.map_err(explain)?;
    let mut applied = store::applied(connection).await?;
    let version = applied.last().map_or(0, |last| last.version);
    applied.retain(|migration| !before.contains(migration));
    if make_roles {
        store::make_roles(connection).await.context("the roles could not be made")?;
    }
    let roles = store::give_rights(connection).await.context("the rights could not be given")?;
    connection.unlock().await.map_err(explain)?;
    Ok(Migrated { applied, version, roles })
}

fn explain(error: MigrateError) -> anyhow::Error {
    match error {
        MigrateError::VersionMissing(version) => anyhow!(
            "the database has migration {version}, which this program does not know: it was migrated by a newer one, \
             so use that"
        ),
        MigrateError::VersionMismatch(version) => {
            anyhow!("migration {version} of the database is another than that of this program")
        }
        MigrateError::ExecuteMigration(error, version) => anyhow::Error::from(error)
            .context(format!("migration {version} failed, and nothing of it was kept")),
        other => other.into(),
    }
}
