//! Answers that are bytes of any type, whole or in part: ranges and validators (RFC 9110, sections 13 and 14).

use std::{convert::Infallible, ops::Range};

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use crate::{
    api::{Input, Operation, Output},
    problem::Problem,
};

/// What a request says about which part it wants, and what it has already.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    head_only: bool,
    range: Option<String>,
    if_range: Option<String>,
    if_none_match: Option<String>,
}

/// What a request is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Portion {
    /// All of it.
    Whole,
    /// These bytes of it, at least one.
    Part(Range<u64>),
    /// Nothing: the client has it.
    NotModified,
    /// Nothing: it has no such bytes.
    OutOfRange,
}

impl<S: Sync> FromRequestParts<S> for Wish {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            head_only: parts.method == Method::HEAD,
            range: only(&parts.headers, &header::RANGE),
            if_range: only(&parts.headers, &header::IF_RANGE),
            if_none_match: joined(&parts.headers, &header::IF_NONE_MATCH),
        })
    }
}

/// A field that makes sense only once; a repeated one is as good as none.
fn only(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    first.to_str().ok().map(str::to_owned)
}

/// A list, which may come in several fields (RFC 9110, section 5.3).
fn joined(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

impl Wish {
    /// What it gets of `size` bytes with the strong validator `etag`, which comes in quotes.
    ///
    /// A `Range` that is not understood, or names several ranges, is not looked at (RFC 9110, section 14.2, allows
    /// that of each): the answer is the whole.
    #[must_use]
    pub fn portion(&self, etag: &str, size: u64) -> Portion {
        let is_ours = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
        if self.if_none_match.as_ref().is_some_and(|tags| tags.split(',').map(str::trim).any(is_ours)) {
            return Portion::NotModified;
        }
        // Nothing is defined for HEAD with a range (RFC 9110, section 14.2).
        let range = self.range.as_deref().filter(|_| !self.head_only);
        // Compared strongly; a date is none of ours, for we give out none.
        let holds = self.if_range.as_ref().is_none_or(|tag| tag.trim() == etag);
        match range.filter(|_| holds).and_then(|range| parse(range, size)) {
            None => Portion::Whole,
            Some(range) if range.is_empty() => Portion::OutOfRange,
            Some(range) => Portion::Part(range),
        }
    }

    /// Whether only the head of an answer is wanted.
    #[must_use]
    pub fn head_only(&self) -> bool {
        self.head_only
    }
}

/// The one range of a `Range` field, within `size` bytes; empty when it names none of them. None for several, for other
/// units, and for what is no range at all.
fn parse(field: &str, size: u64) -> Option<Range<u64>> {
    let (unit, range) = field.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(size.saturating_sub(suffix)..size);
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    // The last one before the first is no range (RFC 9110, section 14.1.1).
    (first <= last).then(|| first.min(size)..last.saturating_add(1).min(size))
}

/// A number of any length: one that is too large is the largest.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Bytes of any type, or a part of them.
pub struct Content {
    /// What of it.
    pub portion: Portion,
    /// The bytes of the portion; empty where only the head is wanted.
    pub body: Body,
    /// The size of the whole.
    pub size: u64,
    /// Its strong validator, in quotes.
    pub etag: HeaderValue,
    /// Its media type.
    pub content_type: HeaderValue,
    /// How a browser is to show it (RFC 6266).
    pub disposition: HeaderValue,
}

impl IntoResponse for Content {
    fn into_response(self) -> Response {
        let (status, length) = match &self.portion {
            Portion::Whole => (StatusCode::OK, self.size),
            Portion::Part(range) => (StatusCode::PARTIAL_CONTENT, range.end - range.start),
            Portion::NotModified => return self.validated(StatusCode::NOT_MODIFIED.into_response()),
            Portion::OutOfRange => {
                let problem = Problem::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "range_not_satisfiable",
                    "It has no bytes in this range.",
                );
                return ranged(problem.into_response(), &format!("bytes */{}", self.size));
            }
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::CONTENT_DISPOSITION, self.disposition.clone());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // Whatever it is, it runs nothing, and is nobody's page.
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'"),
        );
        response = self.validated(response);
        if let Portion::Part(range) = &self.portion {
            let (first, last) = (range.start, range.end - 1);
            response = ranged(response, &format!("bytes {first}-{last}/{}", self.size));
        }
        *response.body_mut() = self.body;
        response
    }
}

impl Content {
    fn validated(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        // Kept by the one who asked, and asked for again each time: who may see it changes.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        response
    }
}

fn ranged(mut response: Response, range: &str) -> Response {
    if let Ok(range) = HeaderValue::from_str(range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response
}

impl Input for Wish {
    fn describe(operation: &mut Operation) {
        for (name, description) in [
            ("Range", "One range of bytes; several are answered with the whole."),
            ("If-Range", "The range counts only while this is the ETag."),
            ("If-None-Match", "ETags that the client has."),
        ] {
            operation.header_parameter(name, description);
        }
    }
}

impl Output for Content {
    fn describe(operation: &mut Operation) {
        for status in [200, 206] {
            operation.answers_bytes(status);
            operation.answers_header(
                status,
                "Content-Disposition",
                "`inline` for pictures, else `attachment`.",
            );
            operation.answers_header(status, "Accept-Ranges", "`bytes`.");
        }
        operation.answers_empty(304);
        for status in [200, 206, 304] {
            operation.answers_header(status, "ETag", "The SHA-256 of the whole.");
        }
        operation.refuses(&[416]);
        for status in [206, 416] {
            operation.answers_header(status, "Content-Range", "`bytes first-last/size`, or `bytes */size`.");
        }
    }
}

/// A `Content-Disposition` with this file name, in both forms (RFC 6266, appendix D; RFC 8187).
#[must_use]
pub fn disposition(kind: &'static str, name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        // attr-char (RFC 8187, section 3.2.1).
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for half in [byte >> 4, byte & 15] {
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
            }
        }
    }
    let value = format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    // All of it is printable ASCII.
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portion(range: &str, size: u64) -> Portion {
        Wish { range: Some(range.into()), ..Wish::default() }.portion("\"a\"", size)
    }

    #[test]
    fn one_range_is_answered() {
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-9", 0..10),
            ("bytes=2-5", 2..6),
            ("bytes=9-", 9..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("bytes=0-18446744073709551615", 0..10),
            ("bytes=-3", 7..10),
            ("bytes=-99", 0..10),
            ("BYTES = 1-2", 1..3),
        ] {
            assert_eq!(portion(range, 10), Portion::Part(expected), "{range}");
        }
    }

    #[test]
    fn what_is_no_single_range_is_the_whole() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=1-2,4-5",
            "bytes=+1-2",
            "bytes=1- 2",
            "lines=1-2",
            "bytes=1",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes=0x1-2",
        ] {
            assert_eq!(portion(range, 10), Portion::Whole, "{range}");
        }
        let ranges = format!("bytes={}", vec!["0-"; 10_000].join(","));
        assert_eq!(portion(&ranges, 10), Portion::Whole);
    }

    #[test]
    fn a_range_beyond_the_end_is_refused() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(portion(range, 10), Portion::OutOfRange, "{range}");
        }
    }

    #[test]
    fn validators_decide_before_ranges() {
        let wish = |if_none_match: Option<&str>, if_range: Option<&str>| Wish {
            range: Some("bytes=0-0".into()),
            if_none_match: if_none_match.map(Into::into),
            if_range: if_range.map(Into::into),
            head_only: false,
        };
        let portion = |wish: Wish| wish.portion("\"a\"", 10);
        for tags in ["\"a\"", "*", "W/\"a\"", "\"b\", \"a\""] {
            assert_eq!(portion(wish(Some(tags), None)), Portion::NotModified, "{tags}");
        }
        assert_eq!(portion(wish(Some("\"b\""), None)), Portion::Part(0..1));
        assert_eq!(portion(wish(None, Some("\"a\""))), Portion::Part(0..1));
        for tag in ["\"b\"", "W/\"a\"", "Sat, 01 Jan 2000 00:00:00 GMT"] {
            assert_eq!(portion(wish(None, Some(tag))), Portion::Whole, "{tag}");
        }
    }

    #[test]
    fn a_name_survives_the_header() {
        let value = disposition("attachment", "a \"b\" — ü%.txt");
        assert_eq!(
            value.to_str().ok(),
            Some(
                "attachment; filename=\"a _b_ _ __.txt\"; \
                 filename*=UTF-8''a%20%22b%22%20%E2%80%94%20%C3%BC%25.txt"
            )
        );
    }
}
