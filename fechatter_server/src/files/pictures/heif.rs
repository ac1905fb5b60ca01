//! HEIF (ISO/IEC 23008-12), the container of HEIC and AVIF: what phones take pictures in. No browser is shown them here.
//!
//! A table at the beginning says where each part of the picture lies, by its place in the file, so nothing can be taken
//! out: what tells of places and people is overwritten by zeros. How the picture is turned is a property of its own.

use std::collections::BTreeMap;

use super::{Parser, Picture, Step};

/// A table that is longer is nobody's picture: that of a picture in a thousand tiles takes some 30 KB.
const TABLE_MAX: u64 = 1024 * 1024;
/// So is one with more items, or parts of them, that show nothing: a phone writes two or three.
const TELLING_MAX: usize = 1024;
/// The boxes of a file that are needed to show it (ISO/IEC 14496-12); a film behind the picture is not.
const SHOWN: [&[u8; 4]; 6] = [b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip"];
/// The items that show nothing: Exif, and XMP among what has a media type.
const EXIF: &[u8; 4] = b"Exif";
const TELLING: [&[u8; 4]; 3] = [EXIF, b"mime", b"uri "];
/// An Exif that tells nothing (ISO/IEC 23008-12, annex A.2.1, and TIFF 6.0, section 2): readers refuse a picture with one
/// that has no form.
const EMPTY_EXIF: &[u8; 18] = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0";

/// Goes from box to box.
#[derive(Default)]
pub(super) struct Heif {
    place: u64,
    /// Where the box ends in which it is, and whether that is shown.
    end: u64,
    shown: bool,
    /// What is to be overwritten, in the order of its beginnings; none before the table was read.
    telling: Option<Vec<Telling>>,
    /// How many of these end before `place`.
    passed: usize,
}

/// A part of the file that shows nothing.
#[derive(Clone, Copy)]
struct Telling {
    start: u64,
    end: u64,
    /// Whether an Exif begins with it.
    is_exif: bool,
}

impl Parser for Heif {
    fn next(&mut self, there: &[u8]) -> Step {
        if self.place == self.end {
            return self.enter(there);
        }
        let (until, kept) = match self.telling_from_here() {
            _ if !self.shown => (self.end, false),
            Some(exif)
                if exif.is_exif
                    && exif.start == self.place
                    && exif.end.min(self.end) - exif.start >= EMPTY_EXIF.len() as u64 =>
            {
                return self.empty_exif(there);
            }
            Some(telling) if telling.start <= self.place => (telling.end, false),
            Some(telling) => (telling.start, true),
            None => (self.end, true),
        };
        let bytes = until.min(self.end) - self.place;
        self.place += bytes;
        if kept { Step::Keep(bytes) } else { Step::Blank(bytes) }
    }

    fn picture(&self) -> Option<Picture> {
        None
    }
}

impl Heif {
    /// What is to be overwritten next, or already here.
    fn telling_from_here(&mut self) -> Option<Telling> {
        let rest = self.telling.as_deref().unwrap_or_default().get(self.passed..)?;
        self.passed += rest.iter().take_while(|telling| telling.end <= self.place).count();
        self.telling.as_ref()?.get(self.passed).copied()
    }

    fn empty_exif(&mut self, there: &[u8]) -> Step {
        if there.len() < EMPTY_EXIF.len() {
            return Step::Need(EMPTY_EXIF.len());
        }
        self.place += EMPTY_EXIF.len() as u64;
        Step::Replace(EMPTY_EXIF.len(), EMPTY_EXIF.to_vec())
    }

    fn enter(&mut self, there: &[u8]) -> Step {
        let mut reader = Reader(there);
        let Some((kind, size)) = reader.head() else {
            return Step::Need(if there.len() < 8 { 8 } else { 16 });
        };
        let head = (there.len() - reader.0.len()) as u64;
        // A box of no size is the last one.
        let size = if size == 0 { u64::MAX - self.place } else { size };
        let Some(end) = self.place.checked_add(size).filter(|_| size >= head) else { return Step::Broken };
        if kind == *b"meta" && self.telling.is_none() {
            let Some(whole) = usize::try_from(size).ok().filter(|_| size <= TABLE_MAX) else {
                return Step::Broken;
            };
            let Some(table) = there.get(..whole) else { return Step::Need(whole) };
            let Some(telling) = telling(&table[there.len() - reader.0.len()..], self.place + head) else {
                return Step::Broken;
            };
            self.telling = Some(telling);
        }
        self.shown = SHOWN.contains(&&kind);
        self.end = end;
        self.place += head;
        Step::Keep(head)
    }
}

/// Where the items lie that show nothing, by the content of the table, which lies at `place` itself.
fn telling(table: &[u8], place: u64) -> Option<Vec<Telling>> {
    let (mut items, mut locations, mut data) = (BTreeMap::new(), None, None);
    // Behind its version and flags.
    let mut boxes = Reader(table.get(4..)?);
    while !boxes.0.is_empty() {
        let (kind, content) = boxes.content()?;
        match &kind {
            b"iinf" => items = telling_items(content)?,
            b"iloc" => locations = Some(content),
            b"idat" => data = Some(place + (table.len() - boxes.0.len() - content.len()) as u64),
            _ => {}
        }
    }
    let mut found = match locations {
        Some(locations) => extents(locations, &items, data)?,
        None => Vec::new(),
    };
    found.sort_unstable_by_key(|telling| telling.start);
    Some(found)
}

/// The items that show nothing, by their ids, and whether they are Exif.
fn telling_items(content: &[u8]) -> Option<BTreeMap<u64, bool>> {
    let mut reader = Reader(content);
    let version = reader.number(4)? >> 24;
    reader.number(if version == 0 { 2 } else { 4 })?;
    let mut items = BTreeMap::new();
    while !reader.0.is_empty() {
        let mut entry = Reader(reader.content()?.1);
        let version = entry.number(4)? >> 24;
        // Older entries have no type; pictures have none of these.
        if version >= 2 {
            let id = entry.number(if version == 2 { 2 } else { 4 })?;
            entry.number(2)?;
            if TELLING.iter().any(|telling| entry.0.starts_with(*telling)) {
                *items.entry(id).or_default() |= entry.0.starts_with(EXIF);
            }
        }
    }
    Some(items).filter(|items| items.len() <= TELLING_MAX)
}

/// Where these items lie: in the file, or in the data of the table. The time goes by the bytes of `content`, whatever
/// numbers stand there.
fn extents(content: &[u8], items: &BTreeMap<u64, bool>, data: Option<u64>) -> Option<Vec<Telling>> {
    let mut reader = Reader(content);
    let version = reader.number(4)? >> 24;
    let sizes = Sizes::read(&mut reader, version)?;
    let mut found = Vec::new();
    for _ in 0..reader.number(if version < 2 { 2 } else { 4 })? {
        let id = reader.number(if version < 2 { 2 } else { 4 })?;
        let in_data = version > 0 && (reader.number(2)? & 0xf) == 1;
        reader.number(2)?;
        let base = reader.number(sizes.base)?;
        let mut is_exif = items.get(&id).copied();
        for _ in 0..sizes.extents(&mut reader)? {
            let (offset, length) = sizes.extent(&mut reader)?;
            let offset = base.checked_add(offset)?;
            // One of no length tells nothing, and is not where an Exif begins.
            if length > 0
                && let Some(is_exif) = is_exif.as_mut()
            {
                let start = offset.checked_add(if in_data { data? } else { 0 })?;
                let is_exif = std::mem::take(is_exif);
                found.push(Telling { start, end: start.checked_add(length)?, is_exif });
                if found.len() > TELLING_MAX {
                    return None;
                }
            }
        }
    }
    Some(found)
}

/// How many bytes each number takes that says where items lie (ISO/IEC 14496-12, section 8.11.3). One of none is 0.
struct Sizes {
    base: usize,
    index: usize,
    offset: usize,
    length: usize,
}

impl Sizes {
    fn read(reader: &mut Reader<'_>, version: u64) -> Option<Self> {
        let sizes = reader.number(2)?;
        let size = |shift: u64| usize::try_from((sizes >> shift) & 0xf).unwrap_or_default();
        let index = if version == 0 { 0 } else { size(0) };
        Some(Self { base: size(4), index, offset: size(12), length: size(8) })
    }

    /// How many extents an item has. One that takes no bytes is all of the file; only a bomb has more of these.
    fn extents(&self, reader: &mut Reader<'_>) -> Option<u64> {
        let extents = reader.number(2)?;
        let take_bytes = self.index + self.offset + self.length > 0;
        Some(extents).filter(|extents| *extents <= 1 || take_bytes)
    }

    /// The offset and the length of an extent.
    fn extent(&self, reader: &mut Reader<'_>) -> Option<(u64, u64)> {
        reader.number(self.index)?;
        Some((reader.number(self.offset)?, reader.number(self.length)?))
    }
}

/// Numbers, the greatest byte first, and boxes.
struct Reader<'bytes>(&'bytes [u8]);

impl<'bytes> Reader<'bytes> {
    fn number(&mut self, size: usize) -> Option<u64> {
        if size > 8 {
            return None;
        }
        let (number, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(number.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// The type of a box, and the size of all of it.
    fn head(&mut self) -> Option<([u8; 4], u64)> {
        let size = self.number(4)?;
        let (kind, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some((*kind, if size == 1 { self.number(8)? } else { size }))
    }

    /// The type of a box inside another, and what is in it.
    fn content(&mut self) -> Option<([u8; 4], &'bytes [u8])> {
        let before = self.0.len();
        let (kind, size) = self.head()?;
        let rest = usize::try_from(size).ok()?.checked_sub(before - self.0.len())?;
        let (content, behind) = self.0.split_at_checked(rest)?;
        self.0 = behind;
        Some((kind, content))
    }
}
