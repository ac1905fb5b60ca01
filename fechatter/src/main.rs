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
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::{Shell, generate};
use fechatter::{
    epoch, openapi, permissions, purge,
    up::Site,
    user::{self, UserCommand},
    workspace::{self, WorkspaceCommand},
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
    /// Print the OpenAPI document.
    Openapi,
    /// Print who may do what.
    Permissions,
    /// Open, list, suspend, restore and delete accounts, and reset their passwords.
    #[command(subcommand)]
    User(UserCommand),
    /// List workspaces.
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// Remove at once what the servers remove every minute: expired sessions, invites and events, and chats and
    /// workspaces that were deleted `chats.purge_after_days` ago.
    Purge {
        /// As a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the completion of this command line for a shell.
    Completion {
        /// Which one.
        shell: Shell,
    },
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
        Command::User(command) => user::run(&settings()?, &Clock::system(), command).await,
        Command::Workspace(command) => workspace::run(&settings()?, command).await,
        Command::Purge { json } => purge::run(&settings()?, &Clock::system(), json).await,
        Command::Completion { shell } => {
            generate(shell, &mut Arguments::command(), "fechatter", &mut io::stdout());
            Ok(())
        }
        Command::Openapi => Ok(writeln!(io::stdout(), "{}", openapi::document()?)?),
        Command::Permissions => Ok(write!(io::stdout(), "{}", permissions::page())?),
    }
}

async fn up(settings: Settings) -> anyhow::Result<()> {
    let traces = telemetry::logs::init(&settings.log, &settings.telemetry)?;
    raise_file_limit();
    let shutdown = CancellationToken::new();
    tokio::spawn(shutdown_on_signal(shutdown.clone()));
    // A signal during the start ends it too; the database's watcher sees to the database.
    let start = Site::start(settings, Clock::system(), shutdown.clone());
    let Some(site) = shutdown.run_until_cancelled(start).await else { return Ok(()) };
    let site = site?;
    writeln!(io::stdout(), "{site}")?;
    let served = site.serve().await;
    traces.end().await;
    served
}

async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let traces = telemetry::logs::init(&settings.log, &settings.telemetry)?;
    // Migrations may take their time: no statement limit.
    let pool = settings.database.pool_without_limits("fechatter migrate")?;
    MIGRATOR.run(&pool).await?;
    traces.end().await;
    writeln!(io::stdout(), "The schema is up to date.")?;
    Ok(())
}
