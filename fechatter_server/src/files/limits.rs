//! How large files may be, how many of them, and how many come and go at a time.

use chat_core::settings::Problems;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// Limits on files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileLimits {
    /// The largest file, in MiB.
    pub file_mib: u64,
    /// What the files of one person may take, in MiB.
    pub person_mib: u64,
    /// What the files of one workspace may take, in MiB.
    pub workspace_mib: u64,
    /// For how long a file without a message, and an object without a file, are kept, in hours.
    pub grace_hours: u32,
    /// Uploads at the same time.
    pub uploads: usize,
    /// Of one person.
    pub uploads_per_person: usize,
    /// Downloads at the same time.
    pub downloads: usize,
    /// Of one person.
    pub downloads_per_person: usize,
}

/// What `app.yml` says.
impl Default for FileLimits {
    fn default() -> Self {
        Self {
            file_mib: 100,
            person_mib: 10_240,
            workspace_mib: 102_400,
            grace_hours: 24,
            uploads: 32,
            uploads_per_person: 4,
            downloads: 256,
            downloads_per_person: 16,
        }
    }
}

impl FileLimits {
    /// Notes what is wrong.
    pub(crate) fn check(&self, problems: &mut Problems) {
        for (setting, mib) in [
            ("file_mib", self.file_mib),
            ("person_mib", self.person_mib),
            ("workspace_mib", self.workspace_mib),
        ] {
            let line = format!("files.limits.{setting} must be from 1 to 1073741824");
            problems.unless((1..=1024 * MIB).contains(&mib), &line);
        }
        let grace = (1..=8760).contains(&self.grace_hours);
        problems.unless(grace, "files.limits.grace_hours must be from 1 to 8760");
        for (setting, number) in [
            ("uploads", self.uploads),
            ("uploads_per_person", self.uploads_per_person),
            ("downloads", self.downloads),
            ("downloads_per_person", self.downloads_per_person),
        ] {
            let line = format!("files.limits.{setting} must be from 1 to 100000");
            problems.unless((1..=100_000).contains(&number), &line);
        }
    }

    /// Bytes of the largest file.
    #[must_use]
    pub fn file(&self) -> u64 {
        self.file_mib * MIB
    }

    /// Bytes that one person may have.
    #[must_use]
    pub fn person(&self) -> u64 {
        self.person_mib * MIB
    }

    /// Bytes that one workspace may have.
    #[must_use]
    pub fn workspace(&self) -> u64 {
        self.workspace_mib * MIB
    }

    /// For how long what nobody needs is kept.
    #[must_use]
    pub fn grace(&self) -> TimeDelta {
        TimeDelta::hours(self.grace_hours.into())
    }
}
