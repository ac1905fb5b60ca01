//! Work that keeps a core busy for long: the hashing of passwords, and small pictures. It yields to everything else.

use std::{io, thread};

use tokio::sync::oneshot;

/// How much its priority is lowered: to a tenth of the time that others have, where there is too little for all (Linux
/// manual, sched(7)).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// How much of it is to be done at a time: one core is left to everybody else, where there are several.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// Does `work` on a thread of its own, to the end, even when nobody waits for it any more.
///
/// # Errors
/// There was no thread to be had, or the work panicked.
pub(crate) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, worked) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        yield_to_others();
        // Whoever asked may have gone.
        let _ = done.send(work());
    })?;
    worked.await.map_err(|_| io::Error::other("the work panicked"))
}

/// Lowers the priority of this thread. An ordinary user cannot raise it again, so that no thread will do that is used for
/// other work later.
fn yield_to_others() {
    // Of the thread alone (Linux manual, setpriority(2)); other systems lower that of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the priority of a thread stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn work_has_a_lower_priority_than_who_waits_for_it() -> io::Result<()> {
        let priority = || rustix::process::getpriority_process(None);
        let ours = priority()?;
        assert_eq!(run("test", priority).await??, (ours + NICE).min(19));
        assert_eq!(priority()?, ours);
        Ok(())
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        assert!(run("test", || assert!(thread::panicking(), "as it should")).await.is_err());
        assert_eq!(run("test", || 7).await.ok(), Some(7));
    }
}
