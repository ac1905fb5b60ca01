//! GIF (89a).

use super::{Parser, Picture, Step, le16};

/// Programs' own blocks that change how the picture looks: how often it repeats, and its colours.
const SHOWN: [&[u8; 11]; 3] = [b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"];

/// Goes from block to block.
#[derive(Default)]
pub(super) struct Gif {
    place: Place,
    size: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Start,
    Blocks,
    /// In the pieces of a block, which are kept or not.
    Pieces(bool),
    End,
}

impl Parser for Gif {
    fn next(&mut self, there: &[u8]) -> Step {
        match self.place {
            Place::Start if there.len() < 13 => Step::Need(13),
            Place::Start if there.starts_with(b"GIF87a") || there.starts_with(b"GIF89a") => {
                self.size = Some((le16(there, 6).into(), le16(there, 8).into()));
                self.place = Place::Blocks;
                Step::Keep(13 + colours(there[10]))
            }
            Place::Start => Step::Broken,
            Place::Blocks => self.block(there),
            Place::Pieces(kept) => {
                if there[0] == 0 {
                    self.place = Place::Blocks;
                }
                pass(1 + u64::from(there[0]), kept)
            }
            Place::End => Step::End,
        }
    }

    fn picture(&self) -> Option<Picture> {
        self.size.map(|(width, height)| Picture::shown(width, height, 1))
    }
}

impl Gif {
    fn block(&mut self, there: &[u8]) -> Step {
        match there {
            [0x3b, ..] => {
                self.place = Place::End;
                Step::Keep(1)
            }
            [0x2c, ..] if there.len() < 10 => Step::Need(10),
            [0x2c, ..] => {
                self.place = Place::Pieces(true);
                // With the size of the codes.
                Step::Keep(11 + colours(there[9]))
            }
            [0x21] => Step::Need(2),
            [0x21, 0xff, ..] if there.len() < 14 => Step::Need(14),
            [0x21, label, ..] => {
                let kept = match label {
                    0xfe => false,
                    0xff => SHOWN.iter().any(|shown| there[3..14] == **shown),
                    _ => true,
                };
                self.place = Place::Pieces(kept);
                pass(2, kept)
            }
            _ => Step::Broken,
        }
    }
}

fn pass(bytes: u64, kept: bool) -> Step {
    if kept { Step::Keep(bytes) } else { Step::Drop(bytes) }
}

/// Bytes of the colours that these flags announce.
pub(super) fn colours(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
