//! Tasks without which a server is none: when one of them panics, the program ends, and its supervisor starts it again.
//!
//! A task that is gone would be noticed by nobody. Without the one that writes messages, say, every send would fail on a
//! server that says that it is ready.

use std::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

/// Whether one has panicked.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// An essential task has panicked.
#[derive(Debug, thiserror::Error)]
#[error("a task without which the server is none has panicked; the log says which")]
pub struct Panicked;

/// Runs `task` until its end or that of the server.
pub fn spawn(
    name: &'static str,
    shutdown: &CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let task = shutdown.clone().run_until_cancelled_owned(task);
    spawn_to_the_end(name, shutdown, task.map(drop));
}

/// [`spawn`], for a task that still has something to do when the server ends, and sees to its own end.
pub fn spawn_to_the_end(
    name: &'static str,
    shutdown: &CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        // Whatever it had is not looked at again.
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            tracing::error!(
                task = name,
                "a task without which the server is none has panicked; the server ends"
            );
            PANICKED.store(true, Ordering::Relaxed);
            shutdown.cancel();
        }
    });
}

/// What a program says when it ends: a supervisor starts it again only after a failure.
///
/// # Errors
/// An essential task has panicked.
pub fn verdict() -> Result<(), Panicked> {
    if PANICKED.load(Ordering::Relaxed) { Err(Panicked) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_server_and_an_end_does_not() {
        let shutdown = CancellationToken::new();
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        spawn("one that ends", &shutdown, async move { drop(ended) });
        assert!(end.await.is_err(), "it has come to its end");
        tokio::task::yield_now().await;
        assert!(!shutdown.is_cancelled());
        assert!(verdict().is_ok());

        spawn("one that panics", &shutdown, async { panic!("as this test wishes") });
        timeout(Duration::from_secs(10), shutdown.cancelled()).await.expect("the end of the server");
        assert!(verdict().is_err());
    }
}
