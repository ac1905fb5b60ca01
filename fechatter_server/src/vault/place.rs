//! Where objects lie: a folder, or an S3-compatible store.
//!
//! | name | what |
//! |---|---|
//! | `objects/<two digits>/<file's id>` | the file, sealed |
//! | `uploads/<file's id>` | on S3: a note of an upload of several parts while it goes on, so that it can be ended when the program dies |
//! | `probe/<any id>` | a look whether the place can be written |

use std::{
    fs::{self, DirBuilder},
    ops::Range,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use chat_core::ids::FileId;
use chrono::{DateTime, Utc};
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error as StoreError, GetOptions, GetRange, ObjectStore,
    ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    local::LocalFileSystem,
    path::Path,
};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{
    VaultError,
    seal::SEALED,
    settings::{FileSettings, S3Settings},
};

/// Where the objects are; nothing else is ever listed.
const OBJECTS: &str = "objects";
/// Until S3 must have taken up a connection, and may say nothing.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);
/// How often, and for how long, a request that failed is tried again.
const RETRIES: usize = 3;
const RETRY: Duration = Duration::from_secs(30);
/// Bytes that are read from a folder at a time.
const WINDOW: u64 = 16 * SEALED as u64;

/// A folder or a bucket.
#[derive(Clone)]
pub(super) enum Place {
    /// By its path.
    Folder(Arc<LocalFileSystem>, PathBuf),
    /// On S3.
    S3(Arc<AmazonS3>),
}

impl Place {
    /// The place that the settings name; a folder is made, and tried.
    pub(super) fn open(settings: &FileSettings) -> anyhow::Result<Self> {
        if settings.s3.is_on() {
            return Ok(Self::S3(Arc::new(s3(&settings.s3).context("files.s3 cannot be used")?)));
        }
        let folder = &settings.folder;
        let open = || {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let root = folder.canonicalize()?;
            let trial = root.join(format!("trial-{}", Uuid::now_v7()));
            fs::write(&trial, b"can be written")?;
            fs::remove_file(&trial)?;
            Ok::<_, std::io::Error>(root)
        };
        let root = open().with_context(|| format!("files cannot be kept in {}", folder.display()))?;
        let store = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
        Ok(Self::Folder(Arc::new(store), root))
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::Folder(store, _) => &**store,
            Self::S3(store) => &**store,
        }
    }

    /// Bytes of an object's part: sealed chunks that S3 takes, 5 MiB at least and all of one size.
    pub(super) fn part(&self) -> usize {
        match self {
            Self::Folder(..) => 16 * SEALED,
            Self::S3(_) => 80 * SEALED,
        }
    }

    /// The name of a file's object.
    pub(super) fn path_of(id: FileId) -> Path {
        let id = id.to_string();
        // The last digits of a UUIDv7 are random, so that folders fill evenly.
        Path::from_iter([OBJECTS, &id[id.len() - 2..], &id])
    }

    /// The object of this name, as [`Self::path_of`] gives them.
    fn path(location: &str) -> Result<Path, VaultError> {
        let path = Path::parse(location).ok().filter(|path| path.as_ref() == location);
        let path = path.filter(|path| path.parts().next().is_some_and(|part| part.as_ref() == OBJECTS));
        path.ok_or_else(|| VaultError::Missing(location.to_owned()))
    }

    /// Bytes of an object; none when it is not there.
    pub(super) async fn size(&self, location: &str) -> Result<Option<u64>, VaultError> {
        let path = Self::path(location)?;
        match self.store().head(&path).await.map_err(VaultError::from) {
            Ok(found) => Ok(Some(found.size)),
            Err(VaultError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A part of an object, which is `whole` bytes long.
    pub(super) async fn read(
        &self,
        location: &str,
        whole: u64,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, VaultError>>, VaultError> {
        let path = Self::path(location)?;
        let other_size = VaultError::Damaged("it is of another size");
        match self {
            Self::Folder(store, _) => {
                if store.head(&path).await?.size != whole {
                    return Err(other_size);
                }
                Ok(windows(Arc::clone(store), path, range))
            }
            Self::S3(store) => {
                let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
                let found = match store.get_opts(&path, options).await {
                    Ok(found) => found,
                    // A part beyond the end is refused: then the object is not what it was.
                    Err(error) => {
                        let size = store.head(&path).await.map(|found| found.size);
                        return Err(if size.is_ok_and(|size| size != whole) {
                            other_size
                        } else {
                            error.into()
                        });
                    }
                };
                if found.meta.size != whole {
                    return Err(other_size);
                }
                Ok(found.into_stream().map_err(VaultError::from).boxed())
            }
        }
    }

    /// Removes an object, if it is there.
    pub(super) async fn remove(&self, location: &str) -> Result<(), VaultError> {
        let Ok(path) = Self::path(location) else { return Ok(()) };
        match self.store().delete(&path).await.map_err(VaultError::from) {
            Ok(()) | Err(VaultError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Every object, with the time when it became whole.
    pub(super) fn list(
        &self,
    ) -> impl Stream<Item = Result<(String, DateTime<Utc>), VaultError>> + Send + 'static + use<> {
        let found = self.store().list(Some(&Path::from(OBJECTS)));
        found.map_ok(|found| (found.location.into(), found.last_modified)).map_err(VaultError::from)
    }

    /// Writes something, and removes it again.
    pub(super) async fn probe(&self) -> Result<(), VaultError> {
        let path = Path::from_iter(["probe", &Uuid::now_v7().to_string()]);
        self.store().put(&path, Bytes::from_static(b"can be written").into()).await?;
        Ok(self.store().delete(&path).await?)
    }
}

/// A part of a file, in pieces that are read one after the other.
fn windows(
    store: Arc<LocalFileSystem>,
    path: Path,
    range: Range<u64>,
) -> BoxStream<'static, Result<Bytes, VaultError>> {
    let pieces = stream::try_unfold(range, move |left| {
        let (store, path) = (Arc::clone(&store), path.clone());
        async move {
            if left.is_empty() {
                return Ok(None);
            }
            let until = left.end.min(left.start + WINDOW);
            let piece = store.get_range(&path, left.start..until).await?;
            Ok(Some((piece, until..left.end)))
        }
    });
    pieces.boxed()
}

fn s3(settings: &S3Settings) -> anyhow::Result<AmazonS3> {
    let mut client = ClientOptions::new()
        // A download takes as long as its reader does.
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
        .with_connect_timeout(CONNECT)
        .with_allow_http(settings.endpoint.starts_with("http://"));
    let authority = &settings.ca_file;
    if !authority.as_os_str().is_empty() {
        let pem = fs::read(authority).with_context(|| format!("cannot read {}", authority.display()))?;
        for certificate in Certificate::from_pem_bundle(&pem)? {
            client = client.with_root_certificate(certificate);
        }
    }
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES,
            retry_timeout: RETRY,
        })
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_access_key_id(&settings.access_key_id)
        .with_secret_access_key(settings.secret_access_key.expose_secret());
    if !settings.endpoint.is_empty() {
        builder = builder.with_endpoint(settings.endpoint.trim_end_matches('/'));
    }
    Ok(builder.build()?)
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        match error {
            // S3 says the same of a bucket that is not there, and then nothing is known of the object.
            StoreError::NotFound { path, source } if !source.to_string().contains("NoSuchBucket") => {
                Self::Missing(path)
            }
            error => Self::Place(error),
        }
    }
}
