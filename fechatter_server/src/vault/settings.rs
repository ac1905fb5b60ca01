//! Where files lie, and which keys encrypt them.

use std::path::{Path, PathBuf};

use chat_core::settings::{Problems, hidden};
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::files::limits::FileLimits;

/// Where files lie, and which keys encrypt them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// A folder; empty without S3: `files` in the data folder.
    pub folder: PathBuf,
    /// An S3-compatible store in place of the folder.
    pub s3: S3Settings,
    /// The keys that wrap the files' own keys, in PEM.
    pub key_file: PathBuf,
    /// For how long a new key of a running site is left alone, in seconds.
    pub new_key_delay_s: u32,
    /// How large they may be, and how many.
    pub limits: FileLimits,
}

/// An S3-compatible store; none without a bucket.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// The bucket, which is there already.
    pub bucket: String,
    /// The URL of the store; empty: Amazon's of the region.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Who asks.
    pub access_key_id: String,
    /// By which secret.
    #[serde(serialize_with = "hidden")]
    pub secret_access_key: SecretString,
    /// The authority of the store's certificate, in PEM; empty: a public one.
    pub ca_file: PathBuf,
}

impl S3Settings {
    /// Whether files lie there.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.bucket.is_empty()
    }

    /// Whether requests leave this machine, if at all, by TLS.
    fn is_safe(&self) -> bool {
        match Url::parse(&self.endpoint) {
            Ok(url) if url.scheme() == "https" => true,
            Ok(url) if url.scheme() == "http" => match url.host() {
                Some(Host::Domain(name)) => name == "localhost",
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            },
            Ok(_) => false,
            Err(_) => self.endpoint.is_empty(),
        }
    }

    fn check(&self, problems: &mut Problems) {
        problems.unless(
            self.is_safe(),
            "files.s3.endpoint must be a URL with https; http is for this machine alone",
        );
        let secret = self.secret_access_key.expose_secret();
        problems.unless(
            !self.access_key_id.is_empty() && !secret.is_empty(),
            "files.s3.bucket needs files.s3.access_key_id and files.s3.secret_access_key",
        );
        problems.unless(!self.region.is_empty(), "files.s3.bucket needs files.s3.region");
    }
}

impl FileSettings {
    /// Notes what is wrong.
    pub(crate) fn check(&self, problems: &mut Problems) {
        let both = self.s3.is_on() && !self.folder.as_os_str().is_empty();
        problems.unless(!both, "files.folder and files.s3.bucket are both set: files lie in one of them");
        let delay = self.new_key_delay_s <= 86_400;
        problems.unless(delay, "files.new_key_delay_s must be from 0 to 86400");
        if self.s3.is_on() {
            self.s3.check(problems);
        }
        self.limits.check(problems);
    }

    /// Files without a place of their own lie in the data folder.
    pub(crate) fn settle(&mut self, data_dir: &Path) {
        if self.folder.as_os_str().is_empty() && !self.s3.is_on() {
            self.folder = data_dir.join("files");
        }
    }

    /// For how long a new key is left alone.
    #[must_use]
    pub fn new_key_delay(&self) -> TimeDelta {
        TimeDelta::seconds(self.new_key_delay_s.into())
    }
}
