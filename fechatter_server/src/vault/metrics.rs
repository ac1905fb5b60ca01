//! What operators see of the storage of files.

use std::{
    sync::{LazyLock, Mutex, PoisonError},
    time::Instant,
};

use chat_core::telemetry::metrics::{counter, gauge, histogram};
use metrics::{Counter, Gauge, Histogram};

use super::VaultError;

/// What is asked of the folder or of S3.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// A part of an object, or the last of it.
    Write,
    /// Until an object begins to come.
    Read,
    /// The removal of an object.
    Remove,
    /// A look whether the place can be written.
    Probe,
    /// The removal of what uploads of ended programs left.
    Sweep,
}

impl Operation {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Write, "write"),
        (Self::Read, "read"),
        (Self::Remove, "remove"),
        (Self::Probe, "probe"),
        (Self::Sweep, "sweep"),
    ];
}

/// Plain bytes of files.
pub(super) struct Traffic {
    pub(super) written: Counter,
    pub(super) read: Counter,
}

pub(super) static TRAFFIC: LazyLock<Traffic> = LazyLock::new(|| {
    let bytes = |direction| {
        let help = "Bytes of files that were stored and read, before encryption.";
        counter("fechatter_files_bytes_total", &[("direction", direction)], help)
    };
    Traffic { written: bytes("in"), read: bytes("out") }
});

static OPERATIONS: LazyLock<[(Histogram, Counter); 5]> = LazyLock::new(|| {
    Operation::ALL.map(|(_, name)| {
        let labels = [("operation", name)];
        let took = "Time of an operation of the storage of files at its folder or S3.";
        let failed = "Operations of the storage of files that failed.";
        let errors = counter("fechatter_files_errors_total", &labels, failed);
        errors.increment(0);
        (histogram("fechatter_files_operation_seconds", &labels, took), errors)
    })
});

/// Does it, and notes how long it took and whether it failed.
pub(super) async fn measured<T>(
    operation: Operation,
    doing: impl Future<Output = Result<T, VaultError>>,
) -> Result<T, VaultError> {
    let began = Instant::now();
    let done = doing.await;
    let (took, errors) = &OPERATIONS[operation as usize];
    took.record(began.elapsed());
    if done.is_err() {
        errors.increment(1);
    }
    done
}

/// Whether the place of files could be written when it was last tried.
pub struct Standing {
    problem: Mutex<Option<String>>,
    writable: Gauge,
}

impl Default for Standing {
    fn default() -> Self {
        LazyLock::force(&TRAFFIC);
        LazyLock::force(&OPERATIONS);
        let help =
            "1 when the place of files could be written when it was last tried, within the last minute.";
        let writable = gauge("fechatter_files_writable", &[], help);
        writable.set(1.0);
        Self { problem: Mutex::default(), writable }
    }
}

impl Standing {
    /// Why it could not; none when it could.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how it went.
    pub(super) fn note(&self, tried: Result<(), VaultError>) {
        let problem = tried.err().map(|error| error.to_string());
        self.writable.set(if problem.is_none() { 1.0 } else { 0.0 });
        let mut last = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match (&problem, &*last) {
            (Some(error), None) => tracing::error!(error, "the place of files cannot be written"),
            (None, Some(_)) => tracing::info!("the place of files can be written again"),
            _ => {}
        }
        *last = problem;
    }
}
