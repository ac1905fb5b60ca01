//! Runs a command with a temporary PostgreSQL server, whose address is in `DATABASE_URL`.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Parser;
use local_postgres::LocalPostgres;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

/// Runs a command with a temporary PostgreSQL database, whose address is in `DATABASE_URL`.
#[derive(Parser)]
struct Arguments {
    /// Applies the migrations of this folder first.
    #[arg(long, value_name = "DIR")]
    migrations: Option<PathBuf>,
    /// The command and its arguments. Its exit code becomes this program's.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let postgres = LocalPostgres::temporary()?;
    let url = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(prepare(&postgres, arguments.migrations.as_deref()))?;

    let (program, rest) = arguments.command.split_first().context("a command is required")?;
    let status = Command::new(program)
        .args(rest)
        .env("DATABASE_URL", url)
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    // As a shell has it: 128 and the number of the signal.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn prepare(postgres: &LocalPostgres, migrations: Option<&Path>) -> anyhow::Result<String> {
    let url = postgres.ensure_database().await?;
    let Some(folder) = migrations else {
        return Ok(url);
    };
    let mut connection = PgConnection::connect(&url).await?;
    let migrator = Migrator::new(folder)
        .await
        .with_context(|| format!("cannot read the migrations in {}", folder.display()))?;
    migrator.run(&mut connection).await.context("a migration failed")?;
    connection.close().await?;
    Ok(url)
}
