//! `fechatter`: the one-command program, and the operator's commands.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use chat_core::{
    clock::Clock, database::MIGRATOR, http::listen::raise_file_limit, http::listen::shutdown_on_signal,
    telemetry,
};
use clap::{Parser, Subcommand};
use fechatter::{
    backup, epoch, health, openapi, permissions, settings_reference,
    up::Site,
    user::{self, UserCommand},
};
use fechatter_server::config::Settings;
use mimalloc::MiMalloc;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Team chat that a company runs itself.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A file of settings; without it, `app.yml` in this folder when it is there.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything: a private PostgreSQL, unless a database is named, and both servers on one port.
    Up,
    /// Bring the database's schema up to date.
    Migrate,
    /// Give the event log a new epoch, after a restore to an earlier time: every client reloads.
    RotateEpoch,
    /// Write everything into a folder, as it is at one moment, while the servers go on.
    Backup {
        /// A folder that is not there yet, or is empty.
        folder: PathBuf,
    },
    /// Bring a backup back into an empty database: every client reloads, and everybody signs in anew.
    Restore {
        /// The folder of the backup.
        folder: PathBuf,
        /// Count afterwards whether everything is there.
        #[arg(long)]
        verify: bool,
    },
    /// Ask a server whether it can serve; for health checks.
    Health {
        /// A URL of the operators' port, as `http://127.0.0.1:6689/readyz`.
        url: String,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// Print who may do what.
    Permissions,
    /// Print the reference of all settings.
    Settings,
    /// List, suspend, restore and delete accounts.
    #[command(subcommand)]
    User(UserCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fechatter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let file = arguments.config.or_else(|| Path::new("app.yml").exists().then(|| "app.yml".into()));
    let settings = || Settings::read(file.as_deref());
    match arguments.command.unwrap_or(Command::Up) {
        Command::Up => up(settings()?).await,
        Command::Migrate => migrate(&settings()?).await,
        Command::RotateEpoch => epoch::rotate(&settings()?).await,
        Command::Backup { folder } => backup::make(&settings()?, &Clock::system(), &folder).await,
        Command::Restore { folder, verify } => backup::restore(&settings()?, &folder, verify).await,
        Command::Health { url } => health::ask(&url).await,
        Command::User(command) => user::run(&settings()?, &Clock::system(), command).await,
        Command::Openapi => Ok(writeln!(io::stdout(), "{}", openapi::document()?)?),
        Command::Settings => Ok(write!(io::stdout(), "{}", settings_reference::page())?),
        Command::Permissions => Ok(write!(io::stdout(), "{}", permissions::page())?),
    }
}

async fn up(settings: Settings) -> anyhow::Result<()> {
    telemetry::init(&settings.log.filter);
    raise_file_limit();
    let shutdown = CancellationToken::new();
    tokio::spawn(shutdown_on_signal(shutdown.clone()));
    // A signal during the start ends it too; the database's watcher sees to the database.
    let start = Site::start(settings, Clock::system(), shutdown.clone());
    let Some(site) = shutdown.run_until_cancelled(start).await else { return Ok(()) };
    let site = site?;
    writeln!(io::stdout(), "{site}")?;
    site.serve().await
}

async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    telemetry::init(&settings.log.filter);
    // Migrations may take their time: no statement limit.
    let pool = settings.database.pool_without_limits("fechatter migrate")?;
    MIGRATOR.run(&pool).await?;
    writeln!(io::stdout(), "The schema is up to date.")?;
    Ok(())
}
