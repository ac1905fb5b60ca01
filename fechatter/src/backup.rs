//! Backups: a dump by PostgreSQL's own programs, and a manifest that says what must be in it.
//!
//! | File | What it is |
//! |---|---|
//! | `database.dump` | `pg_dump`'s custom format |
//! | `manifest.json` | versions, the place in the event log, rows of each table, the dump's SHA-256; written last |
//!
//! Everything is of one moment: the rows are counted in the very snapshot that is dumped. A backup holds no sessions
//! and no stream tickets, so that it holds nothing that anybody could sign in with but password hashes, and a restored
//! database has everybody sign in anew. It does not hold the log's epoch either: what restores it gives the log a new
//! one, so that a client that was further than the backup is told to reload. Until then no server can read the log.

mod files;
mod manifest;
mod programs;
mod store;

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use chat_core::{
    clock::Clock,
    database::{DatabaseSettings, MIGRATOR},
    store::Snapshot,
};
use fechatter_server::config::Settings;
use indicatif::{ProgressBar, ProgressStyle};
use local_postgres::LocalPostgres;
use secrecy::{ExposeSecret, SecretString};
use tokio::task::spawn_blocking;

use self::{
    files::Files,
    manifest::{DUMP, Manifest, sha256_of},
    programs::Client,
};
use crate::{
    database,
    doctor::Verdict,
    up::{self, start_postgres},
};

/// Tables whose rows are not in a backup.
const LEFT_OUT: [&str; 3] = ["sessions", "stream_tickets", "stream_epoch"];

/// Writes a backup into a new folder.
///
/// # Errors
/// A folder with something in it, a database that does not answer, or what `pg_dump` says.
pub async fn make(settings: &Settings, clock: &Clock, folder: &Path) -> anyhow::Result<()> {
    let database = database::settings(settings)?;
    let pool = database.pool_without_limits("fechatter backup")?;
    let mut snapshot = Snapshot::begin(&pool).await.context("the database does not answer")?;
    let server = store::server_version(&mut snapshot.tx).await?;
    let mut client = Client::find("pg_dump", server, &database)?;
    make_folder(folder)?;
    let file = folder.join(DUMP);

    let bar = progress("counting rows");
    let log = store::log(&mut snapshot.tx).await?;
    let tables = store::count_rows(&mut snapshot.tx, &LEFT_OUT).await?;
    let exported = store::export(&mut snapshot.tx).await?;
    bar.set_message("writing the dump");
    client.arguments(["--format=custom", "--no-owner", "--no-password"]);
    client.arguments(LEFT_OUT.map(|table| format!("--exclude-table-data=public.{table}")));
    client.arguments([format!("--snapshot={exported}"), format!("--file={}", file.display())]);
    let size = || fs::metadata(&file).map_or(0, |found| found.len());
    client.run(|| bar.set_position(size())).await?;
    // The rows were counted in it, and the dump read from it.
    drop(snapshot);

    bar.set_message("checking the dump");
    let (sha256, bytes) = spawn_blocking(move || sha256_of(&file)).await??;
    let manifest = Manifest {
        format: manifest::FORMAT,
        made_at: clock.now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema: log.schema,
        postgresql: server,
        log_position: log.position,
        dropped_through: log.dropped_through,
        tables,
        sha256,
        bytes,
    };
    manifest.write(folder)?;
    bar.finish_and_clear();
    writeln!(io::stdout(), "{}: {manifest}", folder.display())?;
    if manifest.files() > 0 {
        let files = up::file_settings(settings);
        let objects = if files.s3.is_on() {
            format!("the bucket {}", files.s3.bucket)
        } else {
            files.folder.join("objects").display().to_string()
        };
        writeln!(
            io::stdout(),
            "The bytes of its {} files are not in it: now copy {objects}, and keep {} in a safe place.",
            manifest.files(),
            files.key_file.display()
        )?;
    }
    Ok(())
}

/// Brings a backup back, into the empty database of the settings, or else into a private PostgreSQL in an empty data
/// folder.
///
/// # Errors
/// A backup that is not whole or of a newer schema, a database with something in it, what `pg_restore` says, or rows or
/// files that are not all there.
pub async fn restore(settings: &Settings, clock: &Clock, folder: &Path, verify: bool) -> anyhow::Result<()> {
    let manifest = Manifest::read(folder)?;
    let newest = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default();
    ensure!(
        manifest.schema <= newest,
        "the backup was made by a newer Fechatter ({}): restore it by that one or a later one",
        manifest.program
    );
    let bar = progress("checking the dump");
    let file = folder.join(DUMP);
    let (sha256, _) = spawn_blocking(move || sha256_of(&file)).await??;
    ensure!(sha256 == manifest.sha256, "{DUMP} is not the file that manifest.json was written for");

    let mut database = settings.database.clone();
    let private = if database.url.expose_secret().is_empty() {
        let postgres = start_private(settings).await?;
        database.url = SecretString::from(postgres.ensure_database().await?);
        Some(postgres)
    } else {
        None
    };
    let is_private = private.is_some();
    let restored = async {
        restore_into(&database, &manifest, folder, verify, &bar).await?;
        if manifest.files() == 0 {
            return Ok(None);
        }
        bar.set_message("looking at files");
        let files = match verify {
            // Their table may have another form there.
            true if manifest.schema < newest => Files::NotLookedAt("the schema is an older one".into()),
            true => files::look(settings, clock, &database).await?,
            false => Files::NotLookedAt("--verify was not given".into()),
        };
        anyhow::Ok(Some(files))
    };
    let restored = restored.await;
    if let Some(mut postgres) = private {
        spawn_blocking(move || postgres.stop()).await??;
    }
    let files = restored?;
    bar.finish_and_clear();
    tell(&manifest, files, is_private)
}

/// Says what was restored, and what is left to do.
fn tell(manifest: &Manifest, files: Option<Files>, is_private: bool) -> anyhow::Result<()> {
    writeln!(io::stdout(), "Restored {manifest}.")?;
    if let Some(Files::NotLookedAt(why)) = &files {
        writeln!(
            io::stdout(),
            "Its {} files were not looked at: {why}. When their objects and keys are in place and the schema is this \
             program's, `fechatter doctor --files` looks at each.",
            manifest.files()
        )?;
    }
    if !is_private {
        writeln!(
            io::stdout(),
            "Now run `fechatter migrate`, which gives the servers what they need, and start them."
        )?;
    }
    if let Some(Files::Found(found)) = files {
        ensure!(
            found.verdict != Verdict::Failure,
            "the database is restored, but not its {} files: {}",
            manifest.files(),
            found.says
        );
        writeln!(io::stdout(), "Files: {}.", found.says)?;
    }
    Ok(())
}

async fn restore_into(
    database: &DatabaseSettings,
    manifest: &Manifest,
    folder: &Path,
    verify: bool,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let pool = database.pool_without_limits("fechatter restore")?;
    let mut connection = pool.acquire().await.context("the database does not answer")?;
    let found = store::something_in(&mut connection).await?;
    if let Some(table) = found {
        bail!("the database is not empty: it has a table {table}; restore into a new one");
    }
    let server = store::server_version(&mut connection).await?;
    let mut client = Client::find("pg_restore", server.max(manifest.postgresql), database)?;
    bar.set_message("restoring");
    client.arguments([
        "--exit-on-error",
        "--single-transaction",
        "--no-owner",
        // Rights are given to roles, which may be others here: they come with the migrations.
        "--no-privileges",
        "--no-password",
    ]);
    client.arguments([folder.join(DUMP).display().to_string()]);
    client.run(|| bar.tick()).await?;

    if verify {
        bar.set_message("counting rows");
        let tables = store::count_rows(&mut connection, &LEFT_OUT).await?;
        manifest.compare(&tables, store::last_event(&mut connection).await?)?;
    }
    store::begin_log(&mut connection, manifest.dropped_through).await?;
    Ok(())
}

/// The private PostgreSQL of a data folder that has none yet; `fechatter up` finds it there.
async fn start_private(settings: &Settings) -> anyhow::Result<LocalPostgres> {
    let dir = settings.data_dir.join("postgres");
    fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("cannot make the folder {}", settings.data_dir.display()))?;
    start_postgres(dir).await
}

/// A folder for the owner alone.
fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    ensure!(
        entries.next().is_none(),
        "{} is not empty: each backup has a folder of its own",
        folder.display()
    );
    Ok(())
}

/// What people at a terminal see; nothing elsewhere.
fn progress(message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed} {bytes}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
