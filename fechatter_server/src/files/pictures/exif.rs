//! The one thing in Exif that a picture cannot be shown without.

use super::{be16, be32, le16, le32};

/// The tag of the orientation, and the type of its value (TIFF 6.0, section 2; Exif 2.32, section 4.6.4).
const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;

/// How numbers are read: the greatest byte first, or the least.
type Two = fn(&[u8], usize) -> u16;
type Four = fn(&[u8], usize) -> u32;

/// The orientation that these TIFF data tell, 1 to 8.
pub(super) fn orientation(tiff: &[u8]) -> Option<u8> {
    let (two, four): (Two, Four) = match tiff.get(..4)? {
        b"MM\0*" => (be16, be32),
        b"II*\0" => (le16, le32),
        _ => return None,
    };
    let directory = tiff.get(usize::try_from(four(tiff, 4)).ok()?..)?;
    let entries = directory.get(2..)?.chunks_exact(12).take(usize::from(two(directory, 0)));
    let entry = entries.into_iter().find(|entry| two(entry, 0) == ORIENTATION && two(entry, 2) == SHORT)?;
    u8::try_from(two(entry, 8)).ok().filter(|value| (1..=8).contains(value))
}

/// TIFF data that tell the orientation and nothing else.
pub(super) fn telling(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01".to_vec();
    tiff.extend(ORIENTATION.to_be_bytes());
    tiff.extend(SHORT.to_be_bytes());
    tiff.extend([0, 0, 0, 1, 0, orientation, 0, 0]);
    // No further directory.
    tiff.extend([0; 4]);
    tiff
}
