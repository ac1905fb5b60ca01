//! The operator's commands about the keys that encrypt files.

mod store;

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use anyhow::{Context, bail};
use chat_core::{clock::Clock, database::Pool};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use fechatter_server::{
    config::Settings,
    vault::{
        Vault,
        ring::{FileKeys, make_file_keys, remove, rotate},
        settings::FileSettings,
    },
};
use serde::Serialize;

use crate::{database, up};

/// What can be done with the keys that encrypt files: those of the settings, or else those of `fechatter up`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum FileKeysCommand {
    /// Make the first key, unless it is there.
    Make,
    /// List the keys, oldest first, and how many files need each.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Add a new key. Running servers take it up by themselves, and use it after `files.new_key_delay_s`.
    Rotate,
    /// Wrap the keys of all files anew, by the newest key that is in use. No file is read or written.
    Rewrap,
    /// Remove all keys but the newest, unless a file needs one of them.
    Prune,
}

/// A key, as it is listed.
#[derive(Serialize)]
struct KeyLine {
    id: String,
    /// Files whose own keys it wraps.
    files: i64,
    /// None for all but the newest.
    wraps_from: Option<DateTime<Utc>>,
}

/// Does it.
///
/// # Errors
/// Files that cannot be read or written, a database that does not answer, and keys that are needed.
pub async fn run(settings: &Settings, clock: &Clock, command: FileKeysCommand) -> anyhow::Result<()> {
    let files = up::file_settings(settings);
    let pool = || database::pool(settings, "fechatter keys files");
    match command {
        FileKeysCommand::Make => {
            make_file_keys(&files.key_file)?;
            say(&format!(
                "The keys of files are {}. Without them no file can be read.",
                files.key_file.display()
            ))
        }
        FileKeysCommand::List { json } => print(&list(&files, &pool()?).await?, json),
        FileKeysCommand::Rotate => {
            let id = rotate(&files, clock)?;
            let from = shown(FileKeys::read(&files)?.newest_wraps_from());
            say(&format!(
                "The new key is {id}; it is used from {from} on, and by `rewrap` for files from before."
            ))
        }
        FileKeysCommand::Rewrap => rewrap(&Vault::open(&files, clock)?, &pool()?).await,
        FileKeysCommand::Prune => prune(&files, &pool()?, clock).await,
    }
}

async fn list(files: &FileSettings, pool: &Pool) -> anyhow::Result<Vec<KeyLine>> {
    let ring = FileKeys::read(files)?;
    let mut needed = store::files_by_key(pool).await?;
    let newest = ring.ids().next_back().map(str::to_owned);
    let mut lines: Vec<_> = ring
        .ids()
        .map(|id| KeyLine {
            id: id.to_owned(),
            files: needed.remove(id).unwrap_or_default(),
            wraps_from: (newest.as_deref() == Some(id)).then(|| ring.newest_wraps_from()),
        })
        .collect();
    // Those that files need, and that are not there: with them begins what somebody should look at.
    let lost = needed.into_iter().map(|(id, files)| KeyLine {
        id: format!("{id} (missing)"),
        files,
        wraps_from: None,
    });
    lines.splice(0..0, lost);
    Ok(lines)
}

fn print(lines: &[KeyLine], json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(lines)?)?);
    }
    for KeyLine { id, files, wraps_from } in lines {
        let from = wraps_from.map(|from| format!(", wraps from {} on", shown(from))).unwrap_or_default();
        writeln!(out, "{id}  {files} files{from}")?;
    }
    Ok(())
}

/// Batch by batch, so that a file waits for a moment at most; what was done stays done.
async fn rewrap(vault: &Vault, pool: &Pool) -> anyhow::Result<()> {
    let current = vault.current_key_id().context("a ring holds a key")?;
    let (mut done, mut failed, mut after) = (0_u64, BTreeMap::<String, u64>::new(), None);
    loop {
        let batch = store::wrapped_by_others(pool, &current, after).await?;
        let Some(last) = batch.last() else { break };
        after = Some(last.id);
        let mut renewed = Vec::new();
        for stored in batch {
            match vault.rewrap(&stored) {
                Ok(key) => renewed.push((stored, key)),
                Err(error) => *failed.entry(error.to_string()).or_default() += 1,
            }
        }
        done += store::set_keys(pool, &renewed).await?;
    }
    say(&format!("{done} files are wrapped by {current} now."))?;
    for (error, files) in &failed {
        eprintln!("{files} files stay as they were: {error}");
    }
    if failed.is_empty() { Ok(()) } else { bail!("not all files could be wrapped anew") }
}

async fn prune(files: &FileSettings, pool: &Pool, clock: &Clock) -> anyhow::Result<()> {
    let ring = FileKeys::read(files)?;
    let old: Vec<_> = ring.ids().rev().skip(1).map(str::to_owned).collect();
    if old.is_empty() {
        return say("There is one key alone.");
    }
    let due = ring.others_end_at();
    if clock.now() < due {
        return say(&format!("Servers may use older keys until {}: nothing was removed.", shown(due)));
    }
    let needed = store::files_by_key(pool).await?;
    let needed: i64 = old.iter().filter_map(|id| needed.get(id)).sum();
    if needed > 0 {
        bail!("{needed} files need older keys: run `fechatter keys files rewrap` first");
    }
    remove(files, &old, clock)?;
    say(&format!("Removed {}.", old.len()))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
