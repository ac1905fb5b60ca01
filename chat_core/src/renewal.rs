//! Files that are replaced while a server runs, such as keys.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};

/// How often the files are looked at, unless it is said otherwise.
pub const LOOK: Duration = Duration::from_secs(2);

/// Calls `reload` whenever one of the files is another than it was, and once at the beginning; never returns.
///
/// When it fails, what was read before stays in force, the failure is logged, and it is tried again at every look.
pub async fn follow<E>(files: Vec<PathBuf>, reload: impl Fn() -> Result<(), E> + Send + Sync + 'static)
where
    E: std::fmt::Display + 'static,
{
    follow_every(LOOK, files, reload).await;
}

/// Like [`follow`], with so much time between two looks.
pub async fn follow_every<E>(
    look: Duration,
    files: Vec<PathBuf>,
    reload: impl Fn() -> Result<(), E> + Send + Sync + 'static,
) where
    E: std::fmt::Display + 'static,
{
    let (files, reload) = (Arc::new(files), Arc::new(reload));
    let mut loaded = None;
    let mut said = String::new();
    loop {
        let (files, reload) = (Arc::clone(&files), Arc::clone(&reload));
        let last = loaded.clone();
        let looking = spawn_blocking(move || {
            let seen: Vec<_> = files.iter().map(|file| stamp(file)).collect();
            if last.as_ref() == Some(&seen) {
                return Ok(seen);
            }
            reload().map(|()| seen).map_err(|error| format!("{error:#}"))
        });
        match looking.await {
            Ok(Ok(seen)) => {
                loaded = Some(seen);
                said.clear();
            }
            Ok(Err(error)) if error != said => {
                tracing::error!(%error, "files could not be read anew; what was read before stays in force");
                said = error;
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!(%error, "files could not be looked at"),
        }
        sleep(look).await;
    }
}

/// What no change of a file leaves as it was: its inode, the time of the last change of anything, and its length.
fn stamp(file: &Path) -> Option<(u64, i64, i64, u64)> {
    let found = fs::metadata(file).ok()?;
    Some((found.ino(), found.ctime(), found.ctime_nsec(), found.size()))
}
