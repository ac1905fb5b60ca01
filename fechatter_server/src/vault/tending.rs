//! What is done now and then: a look whether the place can be written, and the end of uploads whose program died.

use std::{
    fs, io,
    path::{Path as FilePath, PathBuf},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3, path::Path};
use tokio::task::spawn_blocking;

use super::{
    Vault, VaultError,
    draft::Multipart,
    metrics::{Operation, measured},
    place::Place,
};

/// How often the place is tried.
const PROBE: Duration = Duration::from_mins(1);
/// Looks between two sweeps.
const SWEEP: u32 = 60;
/// No upload takes as long: what is older was left behind.
const LONGEST_UPLOAD: TimeDelta = TimeDelta::days(1);

/// Does it for as long as the server runs; never returns.
pub(crate) async fn tend(vault: Vault) {
    let mut ticks = tokio::time::interval(PROBE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for look in (0..SWEEP).cycle() {
        ticks.tick().await;
        let tried = vault.probe().await;
        let works = tried.is_ok();
        vault.standing().note(tried);
        if look == 0 && works {
            match vault.sweep(vault.0.clock.now() - LONGEST_UPLOAD).await {
                Ok(0) => {}
                Ok(uploads) => tracing::info!(uploads, "what ended programs had begun to upload is gone"),
                Err(error) => tracing::warn!(%error, "the sweep of uploads failed; it is tried in an hour"),
            }
        }
    }
}

impl Vault {
    /// Whether the place can be written.
    ///
    /// # Errors
    /// What it says.
    pub async fn probe(&self) -> Result<(), VaultError> {
        measured(Operation::Probe, self.0.place.probe()).await
    }

    /// Removes what uploads left that were last heard of before `before`; answers how many.
    ///
    /// # Errors
    /// What the place says; what was removed by then stays so.
    pub async fn sweep(&self, before: DateTime<Utc>) -> Result<u64, VaultError> {
        let sweep = async {
            match &self.0.place {
                Place::Folder(_, root) => {
                    let root = root.clone();
                    let swept = spawn_blocking(move || sweep_folder(&root, before)).await;
                    let swept = swept.map_err(|source| object_store::Error::JoinError { source })?;
                    swept.map_err(|source| {
                        VaultError::Place(object_store::Error::Generic {
                            store: "folder",
                            source: source.into(),
                        })
                    })
                }
                Place::S3(store) => sweep_s3(store, before).await,
            }
        };
        measured(Operation::Sweep, sweep).await
    }
}

/// Drafts lie beside the files that they become, and end in `#` and a number.
fn sweep_folder(root: &FilePath, before: DateTime<Utc>) -> io::Result<u64> {
    let mut swept = 0;
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = entry.file_name();
            let draft = name.to_str().and_then(|name| name.rsplit_once('#')).is_some_and(|(_, number)| {
                !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
            });
            if kind.is_dir() {
                folders.push(entry.path());
            } else if draft && DateTime::<Utc>::from(entry.metadata()?.modified()?) < before {
                fs::remove_file(entry.path())?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

async fn sweep_s3(store: &AmazonS3, before: DateTime<Utc>) -> Result<u64, VaultError> {
    let mut swept = 0;
    let mut notes = store.list(Some(&Path::from("uploads")));
    while let Some(found) = notes.try_next().await? {
        if found.last_modified >= before {
            continue;
        }
        let text = match store.get(&found.location).await.map_err(VaultError::from) {
            Ok(note) => note.bytes().await?,
            // Another server was faster.
            Err(VaultError::Missing(_)) => continue,
            Err(error) => return Err(error),
        };
        let upload =
            str::from_utf8(&text).ok().and_then(|text| Multipart::parse(found.location.clone(), text));
        match upload {
            Some(upload) => upload.abort(store).await?,
            None => store.delete(&found.location).await?,
        }
        swept += 1;
    }
    Ok(swept)
}
