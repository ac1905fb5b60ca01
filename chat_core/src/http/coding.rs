//! Content codings: JSON that is kept encoded is kept as gzip too.

use std::{convert::Infallible, io::Write};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::api::{Input, Operation};

/// What is shorter fits into a packet as it is.
const WORTHWHILE: usize = 1400;

/// Whether the client takes gzip (RFC 9110, section 12.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptsGzip(pub bool);

impl AcceptsGzip {
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut codings = values.flat_map(|value| value.split(',')).map(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight =
                weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            (name.trim(), weight.unwrap_or(1.0))
        });
        Self(codings.any(|(name, weight)| name.eq_ignore_ascii_case("gzip") && weight > 0.0))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AcceptsGzip {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

impl Input for AcceptsGzip {
    fn describe(_: &mut Operation) {}
}

/// The bytes as gzip (RFC 1952), when that is worth it. Quickly rather than as small as can be.
pub(super) fn gzip(plain: &[u8]) -> Option<Bytes> {
    if plain.len() < WORTHWHILE {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    // Room that is not used would count for as long as it is kept.
    let mut coded = encoder.finish().ok()?;
    coded.shrink_to_fit();
    Some(coded.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::http::HeaderValue;
    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn a_client_takes_what_it_says() {
        let takes = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            AcceptsGzip::of(&headers).0
        };
        for text in ["gzip", "deflate, GZIP ", "br;q=1.0, gzip;q=0.5", "gzip; q=1"] {
            assert!(takes(text), "{text}");
        }
        for text in ["", "br", "gzip;q=0", "gzip; q=0.000, br", "identity", "x-gzip-not", "*;q=0"] {
            assert!(!takes(text), "{text}");
        }
        assert!(!AcceptsGzip::of(&HeaderMap::new()).0);
    }

    #[test]
    fn what_is_coded_can_be_read() -> std::io::Result<()> {
        assert_eq!(gzip(b"short"), None);
        let plain = b"a chat in a list of chats".repeat(1000);
        let coded = gzip(&plain).unwrap_or_default();
        assert!(coded.len() < plain.len() / 10, "{} bytes", coded.len());
        let mut read = Vec::new();
        GzDecoder::new(&*coded).read_to_end(&mut read)?;
        assert_eq!(read, plain);
        Ok(())
    }
}
