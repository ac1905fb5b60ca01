//! `fechatter doctor`: whether everything that Fechatter stands on is well.

mod files;
mod store;

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, bail};
use chat_core::{
    clock::Clock,
    database::{Lent, MIGRATOR},
};
use clap::Args;
use fechatter_server::{auth::issuer::key_files::KeyRing, config::Settings};
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use sqlx::PgConnection;

pub(crate) use self::files::look as look_at_files;
pub use self::store::objects as objects_of;
use crate::{database, schema, up};

/// Indexes, triggers and constraints of a database that is whole, a line each.
const OBJECTS: &str = include_str!("doctor/objects.txt");
/// The oldest PostgreSQL that is served.
const OLDEST: i32 = 150_000;
/// Milliseconds that the clocks may be apart without a word, and at all: tokens have a leeway of 30 seconds.
const SKEW_MS: (i64, i64) = (2_000, 15_000);
/// Mebibytes and percent of a disk that should be free, and that must be.
const ROOM: [(u64, u64); 2] = [(2_048, 10), (256, 2)];

/// How to look.
#[derive(Clone, Copy, Debug, Args)]
pub struct DoctorOptions {
    /// As a JSON array.
    #[arg(long)]
    json: bool,
    /// Look at every file, and at every object where files lie; otherwise at the newest files alone.
    #[arg(long)]
    files: bool,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It does not work, or will not for long.
    Failure,
}

/// A check, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// In words.
    pub says: String,
}

impl Finding {
    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, says: says.into() }
    }

    fn failure(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Failure, says: says.into() }
    }

    /// Fine, or else each of these.
    fn unless(check: &'static str, verdict: Verdict, wrong: &[String], fine: &str) -> Self {
        match wrong {
            [] => Self::ok(check, fine),
            wrong => Self { check, verdict, says: wrong.join("; ") },
        }
    }
}

/// Looks at everything, and says what it finds.
///
/// # Errors
/// At least one check that failed.
pub async fn run(file: Option<&Path>, clock: &Clock, options: DoctorOptions) -> anyhow::Result<()> {
    let findings = examine(file, clock, options.files).await;
    let mut out = io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?;
    } else {
        for Finding { check, verdict, says } in &findings {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Failure => "FAILURE",
            };
            writeln!(out, "{verdict:<8} {check:<10} {says}")?;
        }
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Failure).count() {
        0 => Ok(()),
        1 => bail!("a check failed"),
        many => bail!("{many} checks failed"),
    }
}

async fn examine(file: Option<&Path>, clock: &Clock, all_files: bool) -> Vec<Finding> {
    let settings = match Settings::read(file) {
        Ok(settings) => settings,
        Err(problems) => return vec![Finding::failure("settings", problems.to_string())],
    };
    let mut findings = vec![Finding::ok("settings", "can be read"), keys(&settings, clock), disk(&settings)];
    let mut connection = match connect(&settings).await {
        Ok(connection) => connection,
        Err(error) => {
            findings.push(Finding::failure("database", format!("{error:#}")));
            return findings;
        }
    };
    let schema = schema_version(&mut connection).await;
    let whole = matches!(&schema, Ok(finding) if finding.verdict == Verdict::Ok);
    findings.push(or_failure("database", server(&mut connection).await));
    findings.push(or_failure("schema", schema));
    findings.push(or_failure("clock", clocks(&mut connection, clock).await));
    // The rest would ask for tables that may not be there.
    if whole {
        findings.push(or_failure("objects", objects(&mut connection).await));
        findings.push(or_failure("log", log(&mut connection).await));
        findings.push(or_failure("rows", rows(&mut connection).await));
        findings.push(or_failure("files", files::look(&settings, clock, &mut connection, all_files).await));
    }
    findings
}

fn or_failure(check: &'static str, found: sqlx::Result<Finding>) -> Finding {
    found.unwrap_or_else(|error| {
        Finding::failure(
            check,
            format!("could not be looked at: {error} (run it as the owner of the schema)"),
        )
    })
}

async fn connect(settings: &Settings) -> anyhow::Result<Lent> {
    let pool = database::settings(settings)?.pool_without_limits("fechatter doctor")?;
    pool.acquire().await.context("the database does not answer")
}

fn keys(settings: &Settings, clock: &Clock) -> Finding {
    let mut auth = settings.auth.clone();
    if auth.private_key_file.as_os_str().is_empty() {
        (auth.private_key_file, auth.public_key_file) = up::key_files(settings);
        if !auth.private_key_file.exists() {
            return Finding::ok("keys", "none are set; `fechatter up` makes its own");
        }
    }
    match KeyRing::read(&auth) {
        Ok(ring) => {
            let days = (clock.now() - ring.changed_at).num_days();
            let (signing, verifying) = (ring.signing.len(), ring.verifying.len());
            Finding::ok("keys", format!("{signing} sign, {verifying} verify; changed {days} days ago"))
        }
        Err(error) => Finding::failure("keys", format!("{error:#}")),
    }
}

fn disk(settings: &Settings) -> Finding {
    let folder = &settings.data_dir;
    if !folder.exists() {
        return Finding::ok("disk", format!("{} is not there, so not used", folder.display()));
    }
    match statvfs(folder) {
        Ok(found) => {
            let mib = |blocks: u64| blocks.saturating_mul(found.fragment_size()) >> 20;
            room(&folder.display().to_string(), mib(found.blocks_available()), mib(found.blocks()))
        }
        Err(error) => Finding::failure("disk", format!("{}: {error}", folder.display())),
    }
}

/// What to say of so many free mebibytes. A large disk may be fuller than a small one.
fn room(folder: &str, free: u64, all: u64) -> Finding {
    let short =
        |(mib, percent): (u64, u64)| free < mib && free * 100 < all * percent.max(1) || free < mib / 4;
    let [little, none] = ROOM.map(short);
    let verdict = match (none, little) {
        (true, _) => Verdict::Failure,
        (_, true) => Verdict::Warning,
        _ => Verdict::Ok,
    };
    Finding { check: "disk", verdict, says: format!("{free} of {all} MiB are free at {folder}") }
}

async fn server(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let server = store::server(connection).await?;
    let way = match (&server.tls, &server.address) {
        (Some(version), _) => version.clone(),
        (None, Some(address)) => format!("clear text to {address}"),
        (None, None) => "a Unix socket".into(),
    };
    let mut wrong: Vec<_> = server
        .unsafe_settings
        .iter()
        .map(|name| format!("{name} is off: a 201 would not be durable"))
        .collect();
    if server.version_number < OLDEST {
        wrong.push(format!("PostgreSQL {} is too old: 15 is the oldest that is served", server.version));
    }
    let fine = format!("{} as {} on PostgreSQL {}, by {way}", server.database, server.role, server.version);
    Ok(Finding::unless("database", Verdict::Failure, &wrong, &fine))
}

async fn schema_version(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let applied = schema::checksums(connection).await?;
    let ours: Vec<_> = MIGRATOR.iter().map(|migration| (migration.version, &migration.checksum)).collect();
    let mut wrong = Vec::new();
    for (version, checksum) in &ours {
        match applied.iter().find(|(applied, _)| applied == version) {
            None => wrong.push(format!("migration {version} is missing: run `fechatter migrate`")),
            Some((_, found)) if found.as_slice() != &***checksum => {
                wrong.push(format!("migration {version} is another than that of this program"));
            }
            Some(_) => {}
        }
    }
    for (version, _) in &applied {
        if !ours.iter().any(|(known, _)| known == version) {
            wrong.push(format!("migration {version} is of a newer program"));
        }
    }
    let newest = ours.last().map_or(0, |(version, _)| *version);
    Ok(Finding::unless("schema", Verdict::Failure, &wrong, &format!("version {newest}")))
}

async fn clocks(connection: &mut PgConnection, clock: &Clock) -> sqlx::Result<Finding> {
    let before = clock.now();
    let there = store::now(connection).await?;
    let here = before + (clock.now() - before) / 2;
    let apart = (there - here).num_milliseconds();
    let verdict = match apart.abs() {
        ms if ms > SKEW_MS.1 => Verdict::Failure,
        ms if ms > SKEW_MS.0 => Verdict::Warning,
        _ => Verdict::Ok,
    };
    Ok(Finding {
        check: "clock",
        verdict,
        says: format!("the database's is {apart} ms ahead of this machine's"),
    })
}

async fn objects(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let there = store::objects(connection).await?;
    let missing = OBJECTS.lines().filter(|wanted| !there.iter().any(|name| name == wanted));
    let mut wrong: Vec<_> = missing.map(|name| format!("{name} is missing or not in force")).collect();
    let invalid = store::invalid_indexes(connection).await?;
    wrong.extend(invalid.iter().map(|name| format!("index {name} is invalid: reindex it")));
    let fine = format!("{} indexes, triggers and constraints are in force", OBJECTS.lines().count());
    Ok(Finding::unless("objects", Verdict::Failure, &wrong, &fine))
}

async fn log(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let log = store::log(connection).await?;
    let mut wrong = Vec::new();
    if log.newest > log.last_given {
        wrong.push(format!("event {} is beyond the last id given out, {}", log.newest, log.last_given));
    }
    let first = (log.dropped_through + 1) / log.partition_size;
    let ahead = log.last_given / log.partition_size + 1;
    let missing = (first..=ahead).filter(|part| !log.partitions.contains(part));
    wrong.extend(missing.map(|part| format!("partition events_{part} is missing")));
    let fine = format!("up to event {}, with room for {} more", log.newest, {
        let last = log.partitions.iter().max().copied().unwrap_or_default();
        (last + 1) * log.partition_size - 1 - log.last_given
    });
    Ok(Finding::unless("log", Verdict::Failure, &wrong, &fine))
}

async fn rows(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let counts = [
        (store::orphans(connection).await?, "rows belong to nothing"),
        (store::misnumbered_chats(connection).await?, "chats whose messages are not numbered through"),
        (store::miscounted_threads(connection).await?, "threads whose replies are not counted right"),
        (store::cursors_ahead(connection).await?, "members have read or joined beyond the last message"),
        (store::ownerless(connection).await?, "workspaces or chats with people and without an owner"),
        (store::half_deleted(connection).await?, "chats outlived their workspace"),
        (store::miscounted_reactions(connection).await?, "kinds of reactions are miscounted"),
        (
            store::sessions_of_suspended(connection).await?,
            "sessions in force of people who are suspended or deleted",
        ),
    ];
    let wrong: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    Ok(Finding::unless("rows", Verdict::Failure, &wrong, "belong together"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said() {
        let verdict = |free, all| room("x", free, all).verdict;
        assert_eq!(verdict(500_000, 1_000_000), Verdict::Ok);
        assert_eq!(verdict(5_000, 1_000_000), Verdict::Ok, "enough, whatever its part");
        assert_eq!(verdict(1_000, 1_000_000), Verdict::Warning);
        assert_eq!(verdict(1_000, 4_000), Verdict::Ok, "a quarter of a small one");
        assert_eq!(verdict(200, 1_000_000), Verdict::Failure);
        assert_eq!(verdict(50, 60), Verdict::Failure, "nothing can be done in so little");
    }
}
