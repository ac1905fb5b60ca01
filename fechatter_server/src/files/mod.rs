//! Files: what people upload, attach to messages and read again.
//!
//! The bytes lie encrypted in the [`vault`](crate::vault); a row of `files` holds what is known of them, and the key. A
//! file is its uploader's until a message claims it; from then on whoever may read the message may read the file.

pub(crate) mod collector;
mod detection;
mod download;
mod form;
pub mod handlers;
pub mod limits;
mod pictures;
mod places;
pub mod store;
mod thumbnails;
pub mod types;
mod upload;

use self::limits::FileLimits;
pub(crate) use self::{places::Places, thumbnails::Thumbnails};

/// What uploads and downloads share.
pub struct Transfers {
    /// Uploads under way.
    pub(crate) uploads: Places,
    /// Downloads under way.
    pub(crate) downloads: Places,
    /// Makes small pictures.
    pub(crate) thumbnails: Thumbnails,
}

impl Transfers {
    /// As many as the settings allow.
    #[must_use]
    pub fn new(limits: &FileLimits) -> Self {
        Self {
            uploads: Places::new(limits.uploads, limits.uploads_per_person),
            downloads: Places::new(limits.downloads, limits.downloads_per_person),
            thumbnails: Thumbnails::default(),
        }
    }
}
