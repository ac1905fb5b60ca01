//! The operator's commands about keys; those that sign access tokens are here.

use std::io::{self, Write};

use chat_core::{clock::Clock, token::key_id};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use fechatter_server::{
    auth::issuer::key_files::{KeyRing, Pruned, make, prune, rotate},
    config::{AuthSettings, Settings},
};
use serde::Serialize;

use crate::{
    file_keys::{self, FileKeysCommand},
    up,
};

/// What can be done with keys: those of the settings, or else those of `fechatter up`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum KeysCommand {
    /// Those that sign access tokens.
    #[command(flatten)]
    Signing(SigningKeysCommand),
    /// Make, list, rotate and prune the keys that encrypt files, and wrap files anew.
    #[command(subcommand)]
    Files(FileKeysCommand),
}

/// What can be done with the keys that sign access tokens.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum SigningKeysCommand {
    /// Make the first pair of keys, unless it is there.
    Make,
    /// List the keys, oldest first.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Add a new key. Running servers take it up by themselves, and sign with it after `auth.new_key_delay_s`.
    Rotate,
    /// Remove all keys but the newest, once every token that they signed has ended.
    Prune {
        /// Now, after a key was stolen: their tokens are refused within seconds, and clients refresh.
        #[arg(long)]
        now: bool,
    },
}

/// A key, as it is listed.
#[derive(Serialize)]
struct KeyLine {
    id: String,
    /// None for one that verifies only.
    signs_from: Option<DateTime<Utc>>,
    /// None for the newest.
    prune_from: Option<DateTime<Utc>>,
}

/// Does it.
///
/// # Errors
/// Files that cannot be read or written, and a rotation before the last one has come into force.
pub async fn run(settings: &Settings, clock: &Clock, command: KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::Signing(command) => signing(settings, clock, command),
        KeysCommand::Files(command) => file_keys::run(settings, clock, command).await,
    }
}

fn signing(settings: &Settings, clock: &Clock, command: SigningKeysCommand) -> anyhow::Result<()> {
    let mut auth = settings.auth.clone();
    if auth.private_key_file.as_os_str().is_empty() {
        (auth.private_key_file, auth.public_key_file) = up::key_files(settings);
    }
    let mut out = io::stdout().lock();
    match command {
        SigningKeysCommand::Make => {
            let (private, public) = (&auth.private_key_file, &auth.public_key_file);
            up::verifying_keys(&auth)?;
            make(private, public)?;
            writeln!(out, "The keys are {} and {}.", private.display(), public.display())?;
        }
        SigningKeysCommand::List { json } => print(&mut out, &list(&auth)?, json)?,
        SigningKeysCommand::Rotate => {
            let id = rotate(&auth, clock.now())?;
            let signs_from = KeyRing::read(&auth)?.newest_signs_from(&auth);
            writeln!(out, "The new key is {id}; it signs from {} on.", shown(signs_from))?;
        }
        SigningKeysCommand::Prune { now } => match prune(&auth, now, clock.now())? {
            Pruned::Nothing => writeln!(out, "There is one key alone.")?,
            Pruned::NotBefore(due) => {
                writeln!(
                    out,
                    "Tokens of older keys are in force until {}: nothing was removed.",
                    shown(due)
                )?;
            }
            Pruned::Keys(keys) => writeln!(out, "Removed {keys}.")?,
        },
    }
    Ok(())
}

fn list(auth: &AuthSettings) -> anyhow::Result<Vec<KeyLine>> {
    let ring = KeyRing::read(auth)?;
    let newest = ring.signing.last();
    let lines = ring.verifying.iter().map(|key| {
        let is_newest = newest.is_some_and(|newest| newest.public_key() == key);
        KeyLine {
            id: key_id(key),
            signs_from: is_newest.then(|| ring.newest_signs_from(auth)),
            prune_from: (!is_newest).then(|| ring.others_end_at(auth)),
        }
    });
    Ok(lines.collect())
}

fn print(out: &mut impl Write, lines: &[KeyLine], json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(lines)?)?);
    }
    for KeyLine { id, signs_from, prune_from } in lines {
        match (signs_from, prune_from) {
            (Some(from), _) => writeln!(out, "{id}  signs from {} on", shown(*from))?,
            (_, Some(until)) => writeln!(out, "{id}  verifies until {}", shown(*until))?,
            (None, None) => writeln!(out, "{id}")?,
        }
    }
    Ok(())
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
