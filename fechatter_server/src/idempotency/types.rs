//! The header, and bodies that come with it.

use axum::{
    extract::{FromRequest, FromRequestParts, MatchedPath, Request},
    http::request::Parts,
};
use chat_core::{
    api::{Input, Operation},
    http::json::{parse, read},
    problem::{FieldError, Problem},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::path::{ParameterBuilder, ParameterIn},
};

/// The most characters of a key.
const KEY_MAX: usize = 64;

/// The `Idempotency-Key` header, when given.
pub struct IdempotencyKey(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.to_str().ok().filter(|key| (1..=KEY_MAX).contains(&key.len()));
        match key {
            Some(key) => Ok(Self(Some(key.to_owned()))),
            None => Err(Problem::invalid(vec![FieldError::new(
                "Idempotency-Key",
                "must be 1 to 64 ASCII characters",
            )])),
        }
    }
}

impl Input for IdempotencyKey {
    fn describe(operation: &mut Operation) {
        let header = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some(
                "The same key and body again answer with what the first request made; 1 to 64 ASCII characters.",
            ))
            .schema(Some(String::schema()));
        operation.parameters(vec![header.build()]);
        operation.refuses(&[400]);
    }
}

/// A JSON body that has been read and validated, with the key that its request came with.
pub struct Once<T> {
    /// The body.
    pub body: T,
    /// None: every such request creates.
    pub key: Option<RequestKey>,
}

/// A key, for one operation and one request.
pub struct RequestKey {
    pub(super) key: String,
    /// The operation, by the path of its route.
    pub(super) operation: String,
    /// SHA-256 of the path and the body.
    pub(super) request_hash: [u8; 32],
}

impl<T, S> FromRequest<S> for Once<T>
where
    T: DeserializeOwned + garde::Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(&mut parts, state).await?;
        let route = parts.extensions.get::<MatchedPath>().cloned();
        let path = parts.uri.path().to_owned();
        let bytes = read(Request::from_parts(parts, body), state).await?;
        let body = parse(&bytes)?;
        let key = key.map(|key| RequestKey {
            key,
            operation: route.map(|route| route.as_str().to_owned()).unwrap_or_default(),
            request_hash: hash(&path, &bytes),
        });
        Ok(Self { body, key })
    }
}

/// What JSON leaves open, white space and the order of fields, makes no other request.
fn hash(path: &str, body: &[u8]) -> [u8; 32] {
    let body = serde_json::from_slice::<Value>(body).map(|body| body.to_string()).unwrap_or_default();
    Sha256::new().chain_update(path).chain_update([0]).chain_update(body).finalize().into()
}

impl<T: ToSchema> Input for Once<T> {
    fn describe(operation: &mut Operation) {
        IdempotencyKey::describe(operation);
        operation.json_body::<T>();
        operation.refuses(&[409]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_is_known_however_it_is_written() {
        let first = hash("/a", br#"{"name": "x", "n": 1}"#);
        assert_eq!(first, hash("/a", br#"{"n":1,"name":"x"}"#));
        assert_ne!(first, hash("/b", br#"{"name": "x", "n": 1}"#));
        assert_ne!(first, hash("/a", br#"{"name": "y", "n": 1}"#));
    }
}
