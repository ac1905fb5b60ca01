//! Ids in paths.

use std::str::FromStr;

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use crate::{
    api::{Input, Operation},
    problem::{FieldError, Problem},
};

/// The id called `name` in the path of a request.
///
/// # Errors
/// 400 when it is not a UUID.
pub async fn path_id<T: FromStr>(parts: &mut Parts, name: &'static str) -> Result<T, Problem> {
    let params: RawPathParams = parts.extract().await.map_err(|_| not_an_id(name))?;
    let text = params.iter().find_map(|(key, value)| (key == name).then_some(value)).unwrap_or_default();
    text.parse().map_err(|_| not_an_id(name))
}

fn not_an_id(name: &'static str) -> Problem {
    Problem::invalid(vec![FieldError::new(name, "must be a UUID")])
}

/// A part of a path, and the type of what it names.
pub trait PathPart {
    /// The id's type.
    type Id: FromStr + Send;
    /// Its name between the braces.
    const NAME: &'static str;
}

/// The id that `P` names, for what is not itself guarded by a proof.
pub struct PathId<P: PathPart>(pub P::Id);

impl<P: PathPart, S: Send + Sync> FromRequestParts<S> for PathId<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        path_id(parts, P::NAME).await.map(Self)
    }
}

impl<P: PathPart> Input for PathId<P> {
    fn describe(operation: &mut Operation) {
        operation.refuses(&[404]);
    }
}
