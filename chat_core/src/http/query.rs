//! Query strings, read as strictly as bodies.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, openapi::path::ParameterIn};

use crate::{
    api::{Input, Operation},
    problem::{FieldError, Problem},
};

use super::json::{field_of, validated};

/// Query parameters that have been read and validated.
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned + garde::Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or_default();
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).collect();
        for (index, (name, value)) in pairs.iter().enumerate() {
            if name.contains('\0') || value.contains('\0') {
                let field = name.replace('\0', "");
                return Err(Problem::invalid(vec![FieldError::new(
                    field,
                    "must not contain a NUL character",
                )]));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::invalid(vec![FieldError::new(
                    name.as_ref(),
                    "is given more than once",
                )]));
            }
        }
        let query = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
        let value: T = serde_path_to_error::deserialize(query).map_err(|error| {
            let message = error.inner().to_string();
            Problem::invalid(vec![FieldError::new(field_of(&error.path().to_string(), &message), message)])
        })?;
        validated(value).map(Self)
    }
}

impl<T: IntoParams> Input for Query<T> {
    fn describe(operation: &mut Operation) {
        operation.parameters(T::into_params(|| Some(ParameterIn::Query)));
        operation.refuses(&[400]);
    }
}
