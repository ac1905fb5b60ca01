//! JPEG (ITU-T T.81, annex B).

use memchr::memchr;

use super::{Parser, Picture, Step, be16, exif};

const EXIF: &[u8] = b"Exif\0\0";
const ICC: &[u8] = b"ICC_PROFILE\0";

/// Goes from marker to marker.
#[derive(Default)]
pub(super) struct Jpeg {
    place: Place,
    size: Option<(u32, u32)>,
    orientation: Option<u8>,
}

#[derive(Default)]
enum Place {
    #[default]
    Start,
    Segments,
    /// In compressed data.
    Scan,
    End,
}

impl Parser for Jpeg {
    fn next(&mut self, there: &[u8]) -> Step {
        match self.place {
            Place::Start if there.len() < 2 => Step::Need(2),
            Place::Start if there.starts_with(&[0xff, 0xd8]) => {
                self.place = Place::Segments;
                Step::Keep(2)
            }
            Place::Start => Step::Broken,
            Place::Segments => self.segment(there),
            Place::Scan => self.scan(there),
            Place::End => Step::End,
        }
    }

    fn picture(&self) -> Option<Picture> {
        let (width, height) = self.size?;
        Some(Picture::shown(width, height, self.orientation.unwrap_or(1)))
    }
}

impl Jpeg {
    fn scan(&mut self, there: &[u8]) -> Step {
        match memchr(0xff, there) {
            None => Step::Keep(there.len() as u64),
            Some(0) => match there.get(1) {
                None => Step::Need(2),
                // A byte of the data, or a mark to begin again at.
                Some(0x00 | 0xd0..=0xd7) => Step::Keep(2),
                Some(0xff) => Step::Keep(1),
                Some(_) => {
                    self.place = Place::Segments;
                    Step::Keep(0)
                }
            },
            Some(marker) => Step::Keep(marker as u64),
        }
    }

    fn segment(&mut self, there: &[u8]) -> Step {
        let marker = match there {
            [0xff, 0xff, ..] => return Step::Drop(1),
            [0xff, marker, ..] => *marker,
            [0xff] => return Step::Need(2),
            _ => return Step::Broken,
        };
        match marker {
            0x01 | 0xd0..=0xd8 => return Step::Keep(2),
            // Behind the end hide other pictures, with an Exif of their own, and films.
            0xd9 => {
                self.place = Place::End;
                return Step::Keep(2);
            }
            _ => {}
        }
        if there.len() < 4 {
            return Step::Need(4);
        }
        let length = usize::from(be16(there, 2)) + 2;
        match marker {
            _ if length < 4 || marker == 0 => Step::Broken,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => self.frame(there, length),
            0xda => {
                self.place = Place::Scan;
                Step::Keep(length as u64)
            }
            0xe1..=0xed | 0xef | 0xfe if there.len() < length => Step::Need(length),
            0xe1 => self.exif(&there[4..length], length),
            // Among the rest are JFIF, colour profiles and how Adobe's colours are coded: they are part of the picture.
            0xe2..=0xed | 0xef | 0xfe if marker != 0xe2 || !there[4..length].starts_with(ICC) => {
                Step::Drop(length as u64)
            }
            _ => Step::Keep(length as u64),
        }
    }

    fn frame(&mut self, there: &[u8], length: usize) -> Step {
        if length < 10 {
            return Step::Broken;
        }
        if there.len() < 9 {
            return Step::Need(9);
        }
        // More frames are those of a hierarchical picture, the first of which is the smallest.
        let size = (be16(there, 7).into(), be16(there, 5).into());
        self.size = self.size.max(Some(size));
        Step::Keep(length as u64)
    }

    fn exif(&mut self, content: &[u8], length: usize) -> Step {
        let told = content.strip_prefix(EXIF).and_then(exif::orientation);
        let Some(orientation) = told.filter(|_| self.orientation.is_none()) else {
            return Step::Drop(length as u64);
        };
        self.orientation = Some(orientation);
        let tiff = exif::telling(orientation);
        let mut segment = vec![0xff, 0xe1, 0, 0];
        segment.extend(EXIF);
        segment.extend(tiff);
        segment[3] = u8::try_from(segment.len() - 2).unwrap_or_default();
        Step::Replace(length, segment)
    }
}
