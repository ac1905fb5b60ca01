//! What a file is, by its bytes; what its uploader says of it counts for nothing.

use bytes::{Bytes, BytesMut};
use infer::MatcherType;

use super::pictures::{Cleaner, Format, Picture};

/// Bytes that are looked at.
const HEAD: usize = 8 * 1024;
/// What nobody knows better, and what no browser does anything with.
const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain";

/// Looks at a file that passes by, and cleans it when it is a picture.
pub(super) enum Content {
    /// Not enough has come to tell.
    Unknown(BytesMut),
    /// A picture of this type.
    Picture(&'static str, Format, Cleaner),
    /// Something of this type, from which what tells of places is taken where that is known.
    Other(&'static str, Option<Cleaner>),
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Its media type.
    pub(super) content_type: &'static str,
    /// What a well-formed picture tells of itself.
    pub(super) picture: Option<(Format, Picture)>,
}

impl Default for Content {
    fn default() -> Self {
        Self::Unknown(BytesMut::new())
    }
}

impl Content {
    /// Takes some more of it; answers with what is to be stored.
    pub(super) fn push(&mut self, bytes: Bytes) -> Bytes {
        match self {
            Self::Unknown(head) => {
                head.extend_from_slice(&bytes);
                if head.len() < HEAD { Bytes::new() } else { self.decide() }
            }
            Self::Picture(_, _, cleaner) | Self::Other(_, Some(cleaner)) => cleaner.push(&bytes).freeze(),
            Self::Other(_, None) => bytes,
        }
    }

    fn decide(&mut self) -> Bytes {
        let Self::Unknown(head) = self else { return Bytes::new() };
        let head = head.split().freeze();
        let content_type = content_type(&head);
        match Format::of(content_type) {
            None => {
                let mut cleaner = Cleaner::for_others(content_type);
                let clean = cleaner.as_mut().map(|cleaner| cleaner.push(&head).freeze());
                *self = Self::Other(content_type, cleaner);
                clean.unwrap_or(head)
            }
            Some(format) => {
                let mut cleaner = Cleaner::new(format);
                let clean = cleaner.push(&head).freeze();
                *self = Self::Picture(content_type, format, cleaner);
                clean
            }
        }
    }

    /// What is left to be stored at its end, and what it is.
    pub(super) fn finish(mut self) -> (Bytes, Kind) {
        let clean = self.decide();
        match self {
            Self::Unknown(_) => (clean, Kind { content_type: BYTES, picture: None }),
            Self::Other(content_type, cleaner) => {
                let rest = cleaner.map(|cleaner| cleaner.finish().0).unwrap_or_default();
                ([clean, rest.freeze()].concat().into(), Kind { content_type, picture: None })
            }
            Self::Picture(content_type, format, cleaner) => {
                let (rest, picture) = cleaner.finish();
                let picture = picture.map(|picture| (format, picture));
                // What is no well-formed picture is not shown as one: what it tells was not left out.
                let content_type = if picture.is_some() { content_type } else { BYTES };
                ([clean, rest.freeze()].concat().into(), Kind { content_type, picture })
            }
        }
    }
}

/// The media type of what begins like this. Whatever a browser could run is text to it.
fn content_type(head: &[u8]) -> &'static str {
    match infer::get(head) {
        Some(kind) if kind.matcher_type() != MatcherType::Text => kind.mime_type(),
        _ if is_text(head) => TEXT,
        _ => BYTES,
    }
}

fn is_text(head: &[u8]) -> bool {
    let valid = match str::from_utf8(head) {
        Ok(text) => text,
        // The last character may go on behind the head.
        Err(error) if error.error_len().is_none() && head.len() >= HEAD => {
            str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty() && !valid.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> (Vec<u8>, Kind) {
        let mut content = Content::default();
        let mut stored = content.push(Bytes::copy_from_slice(bytes)).to_vec();
        let (rest, kind) = content.finish();
        stored.extend_from_slice(&rest);
        (stored, kind)
    }

    #[test]
    fn bytes_tell_the_type_and_pass_unchanged() {
        for (bytes, expected) in [
            (b"<!DOCTYPE html><script>alert(1)</script>".to_vec(), TEXT),
            (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec(), TEXT),
            (b"<?xml version='1.0'?><svg/>".to_vec(), TEXT),
            (b"#!/bin/sh\n".to_vec(), TEXT),
            ("grüße".repeat(3000).into_bytes(), TEXT),
            (vec![0; 10], BYTES),
            (vec![0xff; 9000], BYTES),
            (b"%PDF-1.7\n".to_vec(), "application/pdf"),
            (b"PK\x03\x04 and so on".to_vec(), "application/zip"),
            // It begins like a picture, and is none.
            (b"\x89PNG\r\n\x1a\n<script>".to_vec(), BYTES),
            (b"\xff\xd8\xff\xe1 nonsense".to_vec(), BYTES),
            (b"GIF89a/*".to_vec(), BYTES),
        ] {
            let (stored, kind) = kind(&bytes);
            assert_eq!(kind.content_type, expected, "{:?}", String::from_utf8_lossy(&bytes));
            assert_eq!(stored, bytes);
            assert_eq!(kind.picture, None);
        }
    }
}
