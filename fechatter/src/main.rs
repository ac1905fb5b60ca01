//! `fechatter`: the one-command program, and the operator's commands.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use chat_core::{
    clock::Clock, essential, http::listen::raise_file_limit, http::listen::shutdown_on_signal, telemetry,
};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::{Shell, generate};
use fechatter::{
    backup,
    config::{self, ConfigCommand},
    doctor::{self, DoctorOptions},
    epoch, health,
    keys::{self, KeysCommand},
    openapi, permissions, purge,
    schema::{self, MigrateOptions},
    settings_reference,
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
    /// Bring the database's schema up to date, and the rights of the servers' roles.
    Migrate(MigrateOptions),
    /// Give the event log a new epoch, after a restore to an earlier time: every client reloads.
    RotateEpoch,
    /// Write the database into a folder, as it is at one moment, while the servers go on; files are copied apart.
    Backup {
        /// A folder that is not there yet, or is empty.
        folder: PathBuf,
    },
    /// Bring a backup back into an empty database: every client reloads, and everybody signs in anew.
    Restore {
        /// The folder of the backup.
        folder: PathBuf,
        /// Count afterwards whether everything is there, and look at each file if their place is on this machine.
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
    /// Look whether all is well: settings, keys, disk, the database's schema, log and rows.
    Doctor(DoctorOptions),
    /// Check the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make, list, rotate and prune the keys that sign access tokens, and those that encrypt files.
    #[command(subcommand)]
    Keys(KeysCommand),
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
    // Boxed: the start of both servers keeps much at hand.
    match Box::pin(run(Arguments::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fechatter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let named = arguments.config;
    let file = named.clone().or_else(|| Path::new("app.yml").exists().then(|| "app.yml".into()));
    let settings = || Settings::read(file.as_deref());
    match arguments.command.unwrap_or(Command::Up) {
        Command::Up => Box::pin(up(settings()?)).await,
        Command::Migrate(options) => {
            let settings = settings()?;
            let traces = telemetry::logs::init(&settings.log, &settings.telemetry)?;
            let migrated = schema::run(&settings.database, options).await;
            traces.end().await;
            migrated
        }
        Command::RotateEpoch => epoch::rotate(&settings()?).await,
        Command::Doctor(options) => doctor::run(file.as_deref(), &Clock::system(), options).await,
        Command::Config(command) => config::run(named, &command),
        Command::Keys(command) => keys::run(&settings()?, &Clock::system(), command).await,
        Command::Backup { folder } => backup::make(&settings()?, &Clock::system(), &folder).await,
        Command::Restore { folder, verify } => {
            backup::restore(&settings()?, &Clock::system(), &folder, verify).await
        }
        Command::Health { url } => health::ask(&url).await,
        Command::User(command) => user::run(&settings()?, &Clock::system(), command).await,
        Command::Workspace(command) => workspace::run(&settings()?, command).await,
        Command::Purge { json } => purge::run(&settings()?, &Clock::system(), json).await,
        Command::Completion { shell } => {
            generate(shell, &mut Arguments::command(), "fechatter", &mut io::stdout());
            Ok(())
        }
        Command::Openapi => Ok(writeln!(io::stdout(), "{}", openapi::document()?)?),
        Command::Settings => Ok(write!(io::stdout(), "{}", settings_reference::page())?),
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
    let Some(site) = shutdown.run_until_cancelled(start).await else { return Ok(essential::verdict()?) };
    let site = site?;
    writeln!(io::stdout(), "{site}")?;
    let served = site.serve().await;
    traces.end().await;
    served?;
    Ok(essential::verdict()?)
}
