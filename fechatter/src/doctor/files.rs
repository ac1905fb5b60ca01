//! Whether every file can be read.

use std::pin::pin;

use chat_core::clock::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use fechatter_server::{
    config::Settings,
    vault::{StoredFile, Vault, VaultError},
};
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgConnection;

use super::{Finding, Verdict, store};
use crate::up;

/// Files that are looked at without being asked for more, and in one go.
const NEWEST: i64 = 200;
/// Files that are read at a time.
const AT_ONCE: usize = 8;
/// For how much longer than the collector leaves it an object may be without a row.
const MARGIN: TimeDelta = TimeDelta::days(1);

/// What is wrong, by how many files it is true of.
#[derive(Default)]
struct Wrong {
    missing: u64,
    damaged: u64,
    without_key: u64,
    failed: u64,
    /// The last failure of the place.
    failure: String,
    /// Objects that nothing names.
    unnamed: u64,
}

/// Reads the end of the newest files, or of `all`, which takes its object whole, its key, and its ring's.
pub(crate) async fn look(
    settings: &Settings,
    clock: &Clock,
    connection: &mut PgConnection,
    all: bool,
) -> sqlx::Result<Finding> {
    let files = up::file_settings(settings);
    let newest = store::files_before(connection, None, NEWEST).await?;
    let unused = !files.key_file.exists() || (!files.s3.is_on() && !files.folder.exists());
    if newest.is_empty() && unused {
        return Ok(Finding::ok("files", "there are none yet"));
    }
    let vault = match Vault::open(&files, clock) {
        Ok(vault) => vault,
        Err(error) => return Ok(Finding::failure("files", format!("{error:#}"))),
    };
    if let Err(error) = vault.probe().await {
        return Ok(Finding::failure("files", error.to_string()));
    }
    let (mut wrong, mut looked_at, mut batch) = (Wrong::default(), 0, newest);
    while let Some(oldest) = batch.last().map(|stored| stored.id) {
        looked_at += batch.len();
        read_ends(&vault, connection, &batch, &mut wrong).await?;
        batch = if all { store::files_before(connection, Some(oldest), NEWEST).await? } else { Vec::new() };
    }
    if all
        && let Err(error) =
            count_unnamed(&vault, connection, clock.now() - files.limits.grace() - MARGIN, &mut wrong).await?
    {
        return Ok(Finding::failure("files", error.to_string()));
    }
    Ok(wrong.finding(looked_at, all))
}

async fn read_ends(
    vault: &Vault,
    connection: &mut PgConnection,
    batch: &[StoredFile],
    wrong: &mut Wrong,
) -> sqlx::Result<()> {
    let ends = stream::iter(batch).map(async |stored| (stored, read_end(vault, stored).await));
    let ends: Vec<_> = ends.buffer_unordered(AT_ONCE).collect().await;
    for (stored, read) in ends {
        match read {
            Ok(()) => {}
            // It may have been deleted meanwhile.
            Err(VaultError::Missing(_)) if !store::file_is_there(connection, stored.id).await? => {}
            Err(VaultError::Missing(_)) => wrong.missing += 1,
            Err(VaultError::UnknownKey(_)) => wrong.without_key += 1,
            Err(VaultError::Place(error)) => {
                wrong.failed += 1;
                wrong.failure = error.to_string();
            }
            Err(VaultError::Damaged(_) | VaultError::Range { .. } | VaultError::Cryptography) => {
                wrong.damaged += 1;
            }
        }
    }
    Ok(())
}

async fn read_end(vault: &Vault, stored: &StoredFile) -> Result<(), VaultError> {
    let end = vault.read(stored, stored.size.saturating_sub(1)..stored.size).await?;
    end.try_for_each(async |_| Ok(())).await
}

/// Counts the objects from before then that neither a file nor a note of a removed one names.
async fn count_unnamed(
    vault: &Vault,
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    wrong: &mut Wrong,
) -> sqlx::Result<Result<(), VaultError>> {
    let old = vault.list().try_filter_map(async |(location, since)| Ok((since < before).then_some(location)));
    let mut batches = pin!(old.try_chunks(500));
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => wrong.unnamed += store::unnamed_objects(connection, &batch).await?.unsigned_abs(),
            Err(error) => return Ok(Err(error.1)),
        }
    }
    Ok(Ok(()))
}

impl Wrong {
    fn finding(&self, looked_at: usize, all: bool) -> Finding {
        let lost = [
            (self.missing, "files have no object: bring the objects of the backup back"),
            (self.damaged, "files cannot be read: their objects are not what was stored"),
            (self.without_key, "files need a key that files.key_file lacks"),
            (self.failed, "files could not be looked at"),
        ];
        let mut says: Vec<_> = lost
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if self.failed > 0 {
            says.push(self.failure.clone());
        }
        let verdict = match (says.is_empty(), self.unnamed) {
            (false, _) => Verdict::Failure,
            (true, 0) => Verdict::Ok,
            (true, _) => Verdict::Warning,
        };
        if self.unnamed > 0 {
            says.push(format!("{} objects belong to no file", self.unnamed));
        }
        if says.is_empty() {
            let which = if all { "all" } else { "the newest" };
            says.push(format!("{which} {looked_at} can be read, and the place be written"));
        }
        Finding { check: "files", verdict, says: says.join("; ") }
    }
}
