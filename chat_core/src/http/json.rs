//! Request bodies: JSON, read strictly and checked field by field.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use utoipa::ToSchema;

use super::body;
use crate::{
    api::{Input, Operation},
    problem::{FieldError, Problem},
};

/// A JSON body that has been read and validated.
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned + garde::Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        parse(&read(request, state).await?).map(Self)
    }
}

/// The bytes of a body that says that it is JSON.
///
/// # Errors
/// 400, 408, 413 and 415.
pub async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be JSON, with Content-Type: application/json.",
        ));
    }
    Bytes::from_request(request, state).await.map_err(unread)
}

impl<T: ToSchema> Input for Json<T> {
    fn describe(operation: &mut Operation) {
        operation.json_body::<T>();
    }
}

/// Reads and validates a JSON document; every error names its field.
///
/// # Errors
/// 400.
pub fn parse<T: DeserializeOwned + garde::Validate<Context = ()>>(bytes: &[u8]) -> Result<T, Problem> {
    refuse_nul(bytes)?;
    refuse_other_than_object(bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| unreadable(&error))?;
    json.end().map_err(|error| Problem::malformed(format!("The body is not one JSON document: {error}.")))?;
    validated(value)
}

/// Checks a value by its own rules.
///
/// # Errors
/// 400 with every field that is wrong.
pub fn validated<T: garde::Validate<Context = ()>>(value: T) -> Result<T, Problem> {
    match value.validate() {
        Ok(()) => Ok(value),
        Err(report) => Err(Problem::invalid(
            report.iter().map(|(path, error)| FieldError::new(path.to_string(), error.to_string())).collect(),
        )),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn unread(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large.")
    } else {
        body::unreadable(&rejection)
    }
}

fn unreadable(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if !inner.is_data() {
        return Problem::malformed(format!("The body is not valid JSON: {inner}."));
    }
    let text = inner.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    Problem::invalid(vec![FieldError::new(field_of(&error.path().to_string(), message), message)])
}

/// The field that an error is about: serde names unknown and missing ones in the message only.
pub(super) fn field_of(path: &str, message: &str) -> String {
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    let parent = if path == "." { "" } else { path };
    match named {
        Some(name) if parent.is_empty() || parent == name => name.to_owned(),
        Some(name) if parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        Some(name) => format!("{parent}.{name}"),
        None => path.to_owned(),
    }
}

/// Every body is an object; serde would read a struct from an array of its fields as well.
fn refuse_other_than_object(bytes: &[u8]) -> Result<(), Problem> {
    if bytes.trim_ascii_start().starts_with(b"{") || serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
        return Ok(());
    }
    Err(Problem::invalid(vec![FieldError::new(".", "must be a JSON object")]))
}

/// PostgreSQL's text holds no NUL (manual, section 8.3), so none is let in, wherever it stands.
///
/// In valid JSON a NUL can only be written as an escape.
fn refuse_nul(bytes: &[u8]) -> Result<(), Problem> {
    if !bytes.windows(6).any(|window| window == b"\\u0000") {
        return Ok(());
    }
    // An escaped backslash may stand before it; reading tells. What is not JSON fails later.
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Ok(()) };
    match path_to_nul(&value) {
        Some(field) => {
            Err(Problem::invalid(vec![FieldError::new(field, "must not contain a NUL character")]))
        }
        None => Ok(()),
    }
}

fn path_to_nul(value: &Value) -> Option<String> {
    let join = |head: String, tail: String| match tail.as_str() {
        "" => head,
        tail if tail.starts_with('[') => head + tail,
        tail => head + "." + tail,
    };
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| Some(join(format!("[{i}]"), path_to_nul(item)?)))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, item)| {
            if name.contains('\0') {
                return Some(name.replace('\0', ""));
            }
            Some(join(name.clone(), path_to_nul(item)?))
        }),
        _ => None,
    }
}

/// Tells a field that is null from one that is absent, as PATCH needs it:
/// `#[serde(default, deserialize_with = "present")]` on an `Option<Option<_>>`.
pub fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, garde::Validate)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[garde(length(chars, min = 1, max = 3))]
        name: String,
        #[serde(default)]
        #[garde(skip)]
        tags: Vec<String>,
    }

    fn field(json: &str) -> String {
        let problem =
            parse::<Body>(json.as_bytes()).map_or_else(|problem| problem, |body| panic!("{body:?}"));
        problem.errors.first().map_or_else(|| problem.code.to_owned(), |error| error.field.clone())
    }

    #[test]
    fn every_error_names_its_field() {
        assert_eq!(field(r#"{"name": 1}"#), "name");
        assert_eq!(field(r#"{"name": ""}"#), "name");
        assert_eq!(field(r#"{"name": "long"}"#), "name");
        assert_eq!(field("{}"), "name");
        assert_eq!(field(r#"{"name": "a", "colour": 1}"#), "colour");
        assert_eq!(field(r#"{"name": "a", "name": "b"}"#), "name");
        assert_eq!(field(r#"{"name": "a", "tags": ["b", 1]}"#), "tags[1]");
        assert_eq!(field(r#"{"name": "a\u0000"}"#), "name");
        assert_eq!(field(r#"{"name": "a", "tags": ["b", "\u0000"]}"#), "tags[1]");
        assert_eq!(field(r#" ["a", ["b"]]"#), ".");
        assert_eq!(field("null"), ".");
        assert_eq!(field(r#"{"name": "a"} x"#), "malformed");
        assert_eq!(field("{"), "malformed");
        assert_eq!(field(""), "malformed");
    }

    #[test]
    fn an_escaped_backslash_is_no_nul() {
        let body = parse::<Body>(br#"{"name": "a", "tags": ["\\u0000"]}"#);
        assert_eq!(body.map(|body| (body.name, body.tags)).ok(), Some(("a".into(), vec![r"\u0000".into()])));
    }
}
