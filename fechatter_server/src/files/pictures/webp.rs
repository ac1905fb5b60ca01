//! WebP (RFC 9649). Its size stands at its beginning: what is left out leaves zeros.

use super::{Parser, Picture, Step, be16, le16, le32};

const HEAD: usize = 8;
/// The chunks that make the picture. Others may be there, and say what nobody needs to see it.
const SHOWN: [&[u8; 4]; 7] = [b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
/// What decoders pass over.
const UNKNOWN: &[u8; 4] = b"JUNK";
/// That there is Exif, and XMP, among the flags.
const EXIF_AND_XMP: u8 = 0b0000_1100;

/// Goes from chunk to chunk.
#[derive(Default)]
pub(super) struct Webp {
    /// Bytes to come, once begun.
    left: Option<u64>,
    /// What is left of the chunk behind its head, to be made zeros.
    blank: u64,
    size: Option<(u32, u32)>,
}

impl Parser for Webp {
    fn next(&mut self, there: &[u8]) -> Step {
        match self.left {
            None if there.len() < 12 => Step::Need(12),
            None if there.starts_with(b"RIFF") && &there[8..12] == b"WEBP" => {
                self.left = Some(u64::from(le32(there, 4)).saturating_sub(4));
                Step::Keep(12)
            }
            None => Step::Broken,
            Some(_) if self.blank > 0 => Step::Blank(std::mem::take(&mut self.blank)),
            Some(0) => Step::End,
            Some(_) if there.len() < HEAD => Step::Need(HEAD),
            Some(left) => self.chunk(there, left),
        }
    }

    fn picture(&self) -> Option<Picture> {
        self.size.map(|(width, height)| Picture::shown(width, height, 1))
    }
}

impl Webp {
    fn chunk(&mut self, there: &[u8], left: u64) -> Step {
        let (kind, length) = (&there[..4], u64::from(le32(there, 4)));
        let whole = HEAD as u64 + length + length % 2;
        if whole > left {
            return Step::Broken;
        }
        let needed = match kind {
            b"VP8X" | b"VP8 " => HEAD + 10,
            b"VP8L" => HEAD + 5,
            _ => HEAD,
        };
        if whole < needed as u64 {
            return Step::Broken;
        }
        if there.len() < needed {
            return Step::Need(needed);
        }
        self.left = Some(left - whole);
        if !SHOWN.iter().any(|shown| shown.as_slice() == kind) {
            self.blank = whole - HEAD as u64;
            return Step::Replace(HEAD, [UNKNOWN.as_slice(), &there[4..HEAD]].concat());
        }
        let size = canvas(kind, &there[HEAD..needed]);
        if kind != b"VP8X" {
            if size.is_none() && needed > HEAD {
                return Step::Broken;
            }
            self.size = self.size.or(size);
            return Step::Keep(whole);
        }
        self.size = size;
        let mut head = there[..needed].to_vec();
        head[HEAD] &= !EXIF_AND_XMP;
        // Nothing is defined behind it.
        self.blank = whole - needed as u64;
        Step::Replace(needed, head)
    }
}

/// The size that the first bytes of a chunk tell.
fn canvas(kind: &[u8], data: &[u8]) -> Option<(u32, u32)> {
    match kind {
        b"VP8X" => Some(((le32(data, 4) & 0xff_ffff) + 1, (le32(data, 6) >> 8) + 1)),
        // A key frame (RFC 6386, section 9.1).
        b"VP8 " if data[0] & 1 == 0 && data[3..6] == [0x9d, 0x01, 0x2a] => {
            Some((u32::from(le16(data, 6) & 0x3fff), u32::from(le16(data, 8) & 0x3fff)))
        }
        b"VP8L" if be16(data, 0) >> 8 == 0x2f => {
            let bits = le32(data, 1);
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        _ => None,
    }
}
