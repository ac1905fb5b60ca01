//! Work that keeps a core busy for long: the hashing of passwords, and small pictures. Everything else goes before it.

use std::{io, sync::Arc, thread, time::Duration};

use futures::TryFutureExt;
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

/// Does work of one kind, cheap to clone: so much of it at a time that one core is left to everybody else, where there
/// are several.
#[derive(Clone)]
pub(crate) struct Background {
    name: &'static str,
    patience: Duration,
    size: usize,
    cores: Arc<Semaphore>,
    standing_back: Arc<Semaphore>,
}

/// The right to have one piece of work done.
pub(crate) struct Core(
    #[expect(dead_code, reason = "gives the core back when it is dropped")] OwnedSemaphorePermit,
);

impl Background {
    /// For work that is done within `patience`, by far, on a core that has nothing else to do.
    pub(crate) fn new(name: &'static str, patience: Duration) -> Self {
        let size = thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
        let semaphore = || Arc::new(Semaphore::new(size));
        Self { name, patience, size, cores: semaphore(), standing_back: semaphore() }
    }

    /// A core, if one is free.
    pub(crate) fn try_take(&self) -> Option<Core> {
        Arc::clone(&self.cores).try_acquire_owned().ok().map(Core)
    }

    /// A core, as soon as one is free: who came first has it first.
    pub(crate) async fn take(&self) -> io::Result<Core> {
        Arc::clone(&self.cores).acquire_owned().await.map(Core).map_err(io::Error::other)
    }

    /// How many cores are taken.
    pub(crate) fn taken(&self) -> usize {
        self.size.saturating_sub(self.cores.available_permits())
    }

    /// Does `work` on a thread of its own, to the end, even when nobody waits for it any more: while a core has nothing
    /// else to do, and so without being in anybody's way.
    ///
    /// On a machine that is never idle, that would be never. When its patience ends before the work does, it is begun
    /// once more, on a thread that has a small share of its own, and what is done first counts. The other thread cannot
    /// be stopped; until the machine has had time for it, what comes next is begun with that share at once.
    ///
    /// # Errors
    /// There was no thread to be had, or the work panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        core: Core,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> io::Result<T> {
        let (name, patience, work) = (self.name, self.patience, Arc::new(work));
        let place = Arc::clone(&self.standing_back).try_acquire_owned();
        // A task, because patience ends also for what nobody waits for any more: it has a core that others wait for.
        let watched = tokio::spawn(async move {
            let _core = core;
            let Ok(place) = place else { return spawn(name, priority::yield_to_others, (), work)?.await };
            let mut standing_back = spawn(name, priority::stand_back, place, Arc::clone(&work))?;
            if let Ok(worked) = timeout(patience, &mut standing_back).await {
                return worked;
            }
            let yielding = spawn(name, priority::yield_to_others, (), work)?;
            select! { worked = standing_back => worked, worked = yielding => worked }
        });
        watched.await?
    }
}

/// Starts a thread that holds `place` to its end. An ordinary user cannot raise its priority again, so it is used for
/// nothing else.
fn spawn<T: Send + 'static>(
    name: &'static str,
    prioritise: fn(),
    place: impl Send + 'static,
    work: Arc<impl Fn() -> T + Send + Sync + 'static>,
) -> io::Result<impl Future<Output = io::Result<T>> + Unpin> {
    let (done, worked) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        prioritise();
        let result = work();
        drop((work, place));
        // Whoever asked may have gone.
        let _ = done.send(result);
    })?;
    Ok(worked.map_err(|_| io::Error::other("the work panicked")))
}

/// Priorities of single threads (Linux manual, sched(7)); other systems have none, or those of whole processes.
#[cfg(target_os = "linux")]
mod priority {
    use thread_priority::{
        Error, NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };

    /// Nice 10 on the crate's scale from 0 to 99: a tenth of the time that others have.
    const LOWERED: u8 = 22;

    /// Runs only where nothing else would, and makes way at once: a thread that is merely nice keeps others waiting to
    /// the end of its slice, some milliseconds, and that several times a request.
    pub(super) fn stand_back() {
        lower(ThreadPriority::Min, NormalThreadSchedulePolicy::Idle);
    }

    /// Has a tenth of the time that others have, where there is too little for all.
    pub(super) fn yield_to_others() {
        let Ok(lowered) = ThreadPriorityValue::try_from(LOWERED) else { return };
        lower(ThreadPriority::Crossplatform(lowered), NormalThreadSchedulePolicy::Other);
    }

    fn lower(priority: ThreadPriority, policy: NormalThreadSchedulePolicy) {
        let policy = ThreadSchedulePolicy::Normal(policy);
        let lowered: Result<(), Error> = set_thread_priority_and_policy(thread_native_id(), priority, policy);
        if let Err(error) = lowered {
            tracing::debug!(%error, "the priority of a thread stays");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod priority {
    pub(super) fn stand_back() {}

    pub(super) fn yield_to_others() {}
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    };

    use super::*;

    const LONG: Duration = Duration::from_mins(10);
    const SHORT: Duration = Duration::from_millis(1);

    async fn run<T: Send + 'static>(
        patience: Duration,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> io::Result<T> {
        let background = Background::new("test", patience);
        background.run(background.take().await?, work).await
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        assert!(run(LONG, || assert!(thread::panicking(), "as it should")).await.is_err());
        assert_eq!(run(LONG, || 7).await.ok(), Some(7));
    }

    /// Work that ends at once, but for the first time it is done.
    fn stuck_at_first<T: 'static>(
        work: fn() -> T,
    ) -> (mpsc::Sender<()>, impl Fn() -> T + Send + Sync + 'static) {
        let (go_on, gate) = mpsc::channel();
        let (times, gate) = (AtomicU32::new(0), Mutex::new(gate));
        let work = move || {
            if times.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = gate.lock().map(|gate| gate.recv());
            }
            work()
        };
        (go_on, work)
    }

    #[tokio::test]
    async fn work_that_gets_no_time_is_begun_once_more() -> io::Result<()> {
        let (_go_on, work) = stuck_at_first(|| 7);
        assert_eq!(run(SHORT, work).await?, 7);
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn work_has_a_lower_priority_than_who_waits_for_it() -> io::Result<()> {
        const OTHER: i32 = 0;
        const IDLE: i32 = 5;
        /// The policy of this thread, and how nice it is (Linux manual, `proc_pid_stat(5)`).
        fn priority() -> Option<(i32, i32)> {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            let fields: Vec<_> = rest.split_whitespace().collect();
            let field = |number: usize| fields.get(number - 3)?.parse().ok();
            Some((field(41)?, field(19)?))
        }
        let ours = priority();
        assert_eq!(run(LONG, priority).await?.map(|(policy, _)| policy), Some(IDLE));
        let (_go_on, work) = stuck_at_first(priority);
        assert_eq!(run(SHORT, work).await?, Some((OTHER, 10)));
        assert_eq!(priority(), ours);
        Ok(())
    }
}
