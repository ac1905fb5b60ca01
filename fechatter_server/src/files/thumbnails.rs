//! Small pictures of pictures.

use std::{io::Cursor, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use image::{
    DynamicImage, ImageFormat, ImageReader, ImageResult, Limits, codecs::jpeg::JpegEncoder,
    metadata::Orientation,
};
use tokio::time::timeout;

use super::pictures::{Format, Picture};
use crate::{
    background::Background,
    vault::{StoredFile, Vault, VaultError},
};

/// The longer side of a small picture, in pixels.
const SIDE: u32 = 512;
/// The largest picture that one is made of: what it takes in memory grows with its pixels.
const PIXELS: u64 = 40_000_000;
/// The largest file, in bytes: it is in memory while it is decoded.
const BYTES: u64 = 32 * 1024 * 1024;
/// What decoding may take: four bytes a pixel, and as much again for what some formats need meanwhile.
const MEMORY: u64 = 2 * 4 * PIXELS;
/// How long a picture waits for a core, and for its decoding; then it has no small one.
const WAIT: Duration = Duration::from_secs(30);
const WORK: Duration = Duration::from_secs(20);
/// How long its decoding may take on a core that has nothing else to do: several times as long as the largest takes.
const PATIENCE: Duration = Duration::from_secs(5);
const QUALITY: u8 = 80;

/// Makes small pictures, in the background.
#[derive(Clone)]
pub(crate) struct Thumbnails(Background);

/// A small picture.
pub(super) struct Thumbnail {
    pub(super) bytes: Bytes,
    pub(super) content_type: &'static str,
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self(Background::new("picture", PATIENCE))
    }
}

impl Thumbnails {
    /// A small picture of a stored one; none when it is too large, not as it should be, or too much is going on.
    pub(super) async fn of(
        &self,
        vault: &Vault,
        stored: &StoredFile,
        (format, picture): (Format, Picture),
    ) -> Option<Thumbnail> {
        let pixels = u64::from(picture.width) * u64::from(picture.height);
        if pixels > PIXELS || stored.size > BYTES {
            return None;
        }
        let core = timeout(WAIT, self.0.take()).await.ok()?.ok()?;
        let bytes = match read(vault, stored).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, file_id = %stored.id, "a picture could not be read again");
                return None;
            }
        };
        // Who waits may give up; the work itself cannot, and keeps its core until it is done.
        let work = self.0.run(core, move || draw(&bytes, format, picture.orientation));
        match timeout(WORK, work).await {
            Ok(Ok(Ok(thumbnail))) => Some(thumbnail),
            Ok(Ok(Err(error))) => {
                tracing::debug!(%error, file_id = %stored.id, "a picture cannot be decoded");
                None
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(file_id = %stored.id, "a picture took too long to decode, or more than it may");
                None
            }
        }
    }
}

async fn read(vault: &Vault, stored: &StoredFile) -> Result<BytesMut, VaultError> {
    let whole = vault.read(stored, 0..stored.size).await?;
    let empty = BytesMut::with_capacity(usize::try_from(stored.size).unwrap_or_default());
    whole
        .try_fold(empty, async |mut all, bytes| {
            all.extend_from_slice(&bytes);
            Ok(all)
        })
        .await
}

fn draw(bytes: &[u8], format: Format, orientation: u8) -> ImageResult<Thumbnail> {
    let format = match format {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Gif => ImageFormat::Gif,
        Format::Webp => ImageFormat::WebP,
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits);
    let mut whole = reader.decode()?;
    // Never larger than it was.
    if whole.width() > SIDE || whole.height() > SIDE {
        whole = whole.thumbnail(SIDE, SIDE);
    }
    if let Some(orientation) = Orientation::from_exif(orientation) {
        whole.apply_orientation(orientation);
    }
    let mut small = Cursor::new(Vec::new());
    let content_type = if whole.color().has_alpha() {
        DynamicImage::ImageRgba8(whole.to_rgba8()).write_to(&mut small, ImageFormat::Png)?;
        "image/png"
    } else {
        whole.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut small, QUALITY))?;
        "image/jpeg"
    };
    Ok(Thumbnail { bytes: small.into_inner().into(), content_type })
}
