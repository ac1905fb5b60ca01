//! The end of files that nobody needs.
//!
//! A file goes in three steps, and a program that dies between any two of them goes on where it was. First its row: under
//! the ordering lock, so that no message claims it meanwhile; the row leaves a note of its object behind, and with it goes
//! the key. Then the object. Then the note, and what the file counted against the quotas. So an object that a row names is
//! never removed, and one that is to be removed is named by a note until it is gone. An object that neither names was
//! left by a program that died before it wrote its row: it is swept.

mod store;

use std::future::ready;

use chat_core::database::Pool;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};

use super::limits::FileLimits;
use crate::vault::{Vault, VaultError};

/// Objects that are looked at in one go.
const BATCH: usize = 500;

/// Why the collector could not go on; it does so in its next round.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The place where files lie.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Removes the objects of files that nobody claimed, or whose message is gone, once the grace is over; answers how many.
pub(crate) async fn collect(
    pool: &Pool,
    vault: &Vault,
    limits: &FileLimits,
    now: DateTime<Utc>,
) -> Result<u64, CollectError> {
    let over = now - limits.grace();
    while pool.in_time(store::give_up_unclaimed(pool, over)).await? > 0 {}
    let mut removed = 0;
    loop {
        let due = store::due(pool, over).await?;
        if due.is_empty() {
            return Ok(removed);
        }
        for location in &due {
            vault.remove(location).await?;
        }
        removed += pool.in_time(store::note_removed(pool, &due)).await?;
    }
}

/// Removes the objects that nothing names, older than the grace; answers how many.
///
/// A file is written down within the time limit of a request after its object is whole: far sooner than any grace.
pub(crate) async fn sweep(
    pool: &Pool,
    vault: &Vault,
    limits: &FileLimits,
    now: DateTime<Utc>,
) -> Result<u64, CollectError> {
    let over = now - limits.grace();
    let old =
        vault.list().try_filter_map(move |(location, since)| ready(Ok((since < over).then_some(location))));
    let mut batches = std::pin::pin!(old.try_chunks(BATCH));
    let mut swept = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| error.1)?;
        for location in store::unnamed(pool, &batch).await? {
            vault.remove(&location).await?;
            swept += 1;
        }
    }
    Ok(swept)
}
