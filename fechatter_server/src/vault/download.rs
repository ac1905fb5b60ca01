//! A file on its way out.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{
    StoredFile, Vault, VaultError,
    metrics::TRAFFIC,
    seal::{CHUNK, Cipher, Layout},
};

/// Chunks that come, and what of them was asked for.
struct Download {
    sealed: BoxStream<'static, Result<Bytes, VaultError>>,
    /// What has come of the next chunk.
    buffer: BytesMut,
    cipher: Cipher,
    layout: Layout,
    /// The numbers of the chunks that are still to come.
    chunks: Range<u64>,
    range: Range<u64>,
}

/// See [`Vault::read`].
pub(super) async fn begin(
    vault: &Vault,
    stored: &StoredFile,
    range: Range<u64>,
) -> Result<impl Stream<Item = Result<Bytes, VaultError>> + Send + 'static + use<>, VaultError> {
    let size = stored.size;
    let (Some(whole), true) = (Layout::of(size).sealed_size(), range.start <= range.end && range.end <= size)
    else {
        return Err(VaultError::Range { from: range.start, to: range.end, size });
    };
    let layout = Layout::of(size);
    let cipher = vault.key_of(stored)?.cipher(stored.id)?;
    // An empty file has a chunk all the same, which is checked.
    let chunks = if range.is_empty() && size > 0 {
        0..0
    } else {
        range.start / CHUNK as u64..range.end.div_ceil(CHUNK as u64).max(1)
    };
    let sealed = match chunks.clone().last() {
        None => stream::empty().boxed(),
        Some(last) => {
            let bytes = layout.sealed(chunks.start).start..layout.sealed(last).end;
            vault.0.place.read(&stored.location, whole, bytes).await?
        }
    };
    let download = Download { sealed, buffer: BytesMut::new(), cipher, layout, chunks, range };
    let plain = stream::try_unfold(download, |mut download| async move {
        let next = download.next().await?;
        Ok(next.map(|bytes| (bytes, download)))
    });
    Ok(plain.try_filter(|bytes| std::future::ready(!bytes.is_empty())))
}

impl Download {
    /// What was asked for of the next chunk.
    async fn next(&mut self) -> Result<Option<Bytes>, VaultError> {
        let Some(index) = self.chunks.next() else { return Ok(None) };
        let sealed = self.layout.sealed(index);
        let length = usize::try_from(sealed.end - sealed.start).map_err(|_| VaultError::Cryptography)?;
        while self.buffer.len() < length {
            let more = self.sealed.try_next().await?;
            self.buffer.extend_from_slice(&more.ok_or(VaultError::Damaged("it ends early"))?);
        }
        let chunk = self.buffer.split_to(length);
        let plain = self.cipher.open(index, index == self.layout.last(), chunk)?;
        let at = self.layout.plain(index);
        let place = |byte: u64| usize::try_from(byte.clamp(at.start, at.end) - at.start).unwrap_or_default();
        let asked = plain.slice(place(self.range.start)..place(self.range.end));
        TRAFFIC.read.increment(asked.len() as u64);
        Ok(Some(asked))
    }
}
