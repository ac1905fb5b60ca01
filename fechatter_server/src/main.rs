//! `fechatter_server`: the REST API, on a database that is there.

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
use fechatter_server::{App, config::Settings, docs};
use mimalloc::MiMalloc;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The REST API of Fechatter.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A file of settings; without it, `app.yml` in this folder when it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fechatter_server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let file = arguments.config.or_else(|| Path::new("app.yml").exists().then(|| "app.yml".into()));
    let settings = Settings::read(file.as_deref())?;
    let traces = telemetry::logs::init(&settings.log, &settings.telemetry)?;
    raise_file_limit();

    let shutdown = CancellationToken::new();
    let listeners = Listeners::bind(&settings.server, settings.limits.clients())?;
    let app = App::start(settings, Clock::system(), &shutdown)?;
    tracing::info!(
        clients = %listeners.clients.local_addr()?,
        operators = %listeners.operators.local_addr()?,
        "listening"
    );
    tokio::spawn(shutdown_on_signal(shutdown.clone()));
    listeners.serve(docs::with_docs(app.api()), app.admin(), shutdown).await?;
    traces.end().await;
    Ok(essential::verdict()?)
}
