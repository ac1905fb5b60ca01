//! The event streams of Fechatter as a program of their own.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use chat_core::{
    clock::Clock,
    essential,
    http::listen::{Listeners, raise_file_limit, shutdown_on_signal},
    telemetry,
};
use clap::Parser;
use mimalloc::MiMalloc;
use notify_server::{App, config::Settings};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The settings of the folder, read when they are there.
const LOCAL_SETTINGS: &str = "notify.yml";

/// Follows the database's event log and streams it to clients.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Settings that override the built-in ones, in place of ./notify.yml.
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("notify_server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let local = || Some(Path::new(LOCAL_SETTINGS)).filter(|path| path.exists()).map(Path::to_owned);
    let settings = Settings::read(arguments.config.or_else(local).as_deref())?;
    let traces = telemetry::logs::init(&settings.log, &settings.telemetry)?;
    raise_file_limit();
    let listeners = Listeners::bind(&settings.server, settings.limits.clients())?;

    let shutdown = CancellationToken::new();
    let app = App::start(settings, Clock::system(), shutdown.clone())?;
    let (clients, operators) = (listeners.clients.local_addr()?, listeners.operators.local_addr()?);
    tracing::info!(%clients, %operators, "listening");
    tokio::spawn(shutdown_on_signal(shutdown.clone()));
    listeners.serve(app.router(), app.admin(), shutdown).await?;
    tracing::info!("ended");
    traces.end().await;
    Ok(essential::verdict()?)
}
