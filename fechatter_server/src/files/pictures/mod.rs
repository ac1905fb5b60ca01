//! Pictures on their way into the vault: their dimensions are read, and what tells of places and people is left out.
//!
//! Nothing is decoded: a picture is passed on piece by piece, as its format cuts it, and no piece that is not wanted.
//! What turns out to be no well-formed picture goes on unchanged, and is then no picture to anybody.

mod exif;
mod gif;
mod heif;
mod jpeg;
mod png;
mod webp;

use bytes::{Buf, BytesMut};

/// The formats that browsers show inside a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    Gif,
    Webp,
}

impl Format {
    /// The format of this media type.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        Some(match content_type {
            "image/png" => Self::Png,
            "image/jpeg" => Self::Jpeg,
            "image/gif" => Self::Gif,
            "image/webp" => Self::Webp,
            _ => return None,
        })
    }

    fn parser(self) -> Box<dyn Parser> {
        match self {
            Self::Png => Box::<png::Png>::default(),
            Self::Jpeg => Box::<jpeg::Jpeg>::default(),
            Self::Gif => Box::<gif::Gif>::default(),
            Self::Webp => Box::<webp::Webp>::default(),
        }
    }
}

/// What a picture tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Pixels, as it is shown.
    pub(super) width: u32,
    pub(super) height: u32,
    /// How it is turned and mirrored to be shown: 1 to 8 (Exif 2.32, tag 0x0112).
    pub(super) orientation: u8,
}

impl Picture {
    /// The picture of these stored dimensions, which `orientation` may turn on its side.
    fn shown(width: u32, height: u32, orientation: u8) -> Self {
        let (width, height) = if orientation >= 5 { (height, width) } else { (width, height) };
        Self { width, height, orientation }
    }
}

/// What becomes of the bytes that come next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// It takes so many to tell.
    Need(usize),
    /// So many go on.
    Keep(u64),
    /// So many are left out.
    Drop(u64),
    /// So many go on as zeros.
    Blank(u64),
    /// So many, which are there, are left out for these.
    Replace(usize, Vec<u8>),
    /// The picture is over; what follows is left out.
    End,
    /// It is no such picture.
    Broken,
}

/// Cuts a format into pieces.
trait Parser: Send {
    /// What becomes of the next bytes, of which some are there, at least one.
    fn next(&mut self, there: &[u8]) -> Step;
    /// What is known of the picture by now.
    fn picture(&self) -> Option<Picture>;
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    Asking,
    Keeping(u64),
    Dropping(u64),
    Blanking(u64),
    /// It was over before.
    Ended,
    /// It turned out to be no picture.
    Passing,
}

/// Passes a picture on, cleaned.
pub(super) struct Cleaner {
    parser: Box<dyn Parser>,
    waiting: BytesMut,
    doing: Doing,
}

impl Cleaner {
    /// For a picture that begins like this format.
    pub(super) fn new(format: Format) -> Self {
        Self::with(format.parser())
    }

    /// For what is no picture to browsers, but may tell of places all the same.
    pub(super) fn for_others(content_type: &str) -> Option<Self> {
        let is_heif = ["image/heif", "image/heic", "image/avif"].contains(&content_type);
        is_heif.then(|| Self::with(Box::<heif::Heif>::default()))
    }

    fn with(parser: Box<dyn Parser>) -> Self {
        Self { parser, waiting: BytesMut::new(), doing: Doing::Asking }
    }

    /// Takes some more of it; answers with what goes on.
    pub(super) fn push(&mut self, bytes: &[u8]) -> BytesMut {
        self.waiting.extend_from_slice(bytes);
        let mut out = BytesMut::with_capacity(self.waiting.len());
        while !self.waiting.is_empty() && self.step(&mut out) {}
        out
    }

    /// Does one thing; whether there is more to do.
    fn step(&mut self, out: &mut BytesMut) -> bool {
        match self.doing {
            Doing::Keeping(left) => {
                let (now, left) = self.share(left);
                out.extend_from_slice(&self.waiting[..now]);
                self.done(now, left, Doing::Keeping);
            }
            Doing::Blanking(left) => {
                let (now, left) = self.share(left);
                out.resize(out.len() + now, 0);
                self.done(now, left, Doing::Blanking);
            }
            Doing::Dropping(left) => {
                let (now, left) = self.share(left);
                self.done(now, left, Doing::Dropping);
            }
            Doing::Ended => self.waiting.clear(),
            Doing::Passing => out.extend_from_slice(&self.waiting.split()),
            Doing::Asking => match self.parser.next(&self.waiting) {
                Step::Need(least) if least > self.waiting.len() => return false,
                // A parser that asks for what it has would ask for ever.
                Step::Need(_) | Step::Broken => self.doing = Doing::Passing,
                Step::Keep(bytes) => self.doing = Doing::Keeping(bytes),
                Step::Drop(bytes) => self.doing = Doing::Dropping(bytes),
                Step::Blank(bytes) => self.doing = Doing::Blanking(bytes),
                Step::Replace(bytes, by) => {
                    self.waiting.advance(bytes.min(self.waiting.len()));
                    out.extend_from_slice(&by);
                }
                Step::End => self.doing = Doing::Ended,
            },
        }
        true
    }

    fn share(&self, left: u64) -> (usize, u64) {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.waiting.len());
        (now, left - now as u64)
    }

    fn done(&mut self, now: usize, left: u64, rest: fn(u64) -> Doing) {
        self.waiting.advance(now);
        self.doing = if left == 0 { Doing::Asking } else { rest(left) };
    }

    /// What is left at the end of the bytes, and the picture; none when it was no well-formed one.
    pub(super) fn finish(self) -> (BytesMut, Option<Picture>) {
        let whole = self.waiting.is_empty() && !matches!(self.doing, Doing::Passing);
        let sized = self.parser.picture().filter(|picture| picture.width > 0 && picture.height > 0);
        (self.waiting, sized.filter(|_| whole))
    }
}

/// A number of two or four bytes at a place, the greatest byte first.
fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// The same, the least byte first.
fn le16(bytes: &[u8], at: usize) -> u16 {
    be16(bytes, at).swap_bytes()
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    be32(bytes, at).swap_bytes()
}

#[cfg(test)]
mod tests;
