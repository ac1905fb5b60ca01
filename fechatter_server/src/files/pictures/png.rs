//! PNG (third edition), and APNG with it.

use super::{Parser, Picture, Step, be32};

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// A chunk's length and type before its data, and the checksum behind them.
const HEAD: usize = 8;
const FRAME: u64 = 12;
/// Of the chunks that a decoder need not know, those that change how the picture looks.
const SHOWN: [&[u8; 4]; 16] = [
    b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"hIST",
    b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT",
];

/// Goes from chunk to chunk.
#[derive(Default)]
pub(super) struct Png {
    place: Place,
    size: Option<(u32, u32)>,
}

#[derive(Default)]
enum Place {
    #[default]
    Start,
    Chunks,
    End,
}

impl Parser for Png {
    fn next(&mut self, there: &[u8]) -> Step {
        match self.place {
            Place::Start if there.len() < SIGNATURE.len() => Step::Need(SIGNATURE.len()),
            Place::Start if there.starts_with(SIGNATURE) => {
                self.place = Place::Chunks;
                Step::Keep(SIGNATURE.len() as u64)
            }
            Place::Start => Step::Broken,
            Place::Chunks if there.len() < HEAD => Step::Need(HEAD),
            Place::Chunks => self.chunk(there),
            Place::End => Step::End,
        }
    }

    fn picture(&self) -> Option<Picture> {
        self.size.map(|(width, height)| Picture::shown(width, height, 1))
    }
}

impl Png {
    fn chunk(&mut self, there: &[u8]) -> Step {
        let (length, kind) = (be32(there, 0), &there[4..HEAD]);
        let is_type = kind.iter().all(u8::is_ascii_alphabetic);
        if length > i32::MAX.unsigned_abs() || !is_type || (self.size.is_none() != (kind == b"IHDR")) {
            return Step::Broken;
        }
        if kind == b"IHDR" {
            if length != 13 {
                return Step::Broken;
            }
            if there.len() < HEAD + 8 {
                return Step::Need(HEAD + 8);
            }
            self.size = Some((be32(there, HEAD), be32(there, HEAD + 4)));
        } else if kind == b"IEND" {
            self.place = Place::End;
        }
        let whole = FRAME + u64::from(length);
        let is_critical = kind[0].is_ascii_uppercase();
        let kept = is_critical || SHOWN.iter().any(|shown| shown.as_slice() == kind);
        if kept { Step::Keep(whole) } else { Step::Drop(whole) }
    }
}
