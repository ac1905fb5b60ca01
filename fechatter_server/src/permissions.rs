//! The permission matrix, served.

use std::sync::LazyLock;

use chat_core::{
    http::answer::{Encoded, FoundEncoded},
    permission::{Matrix, matrix},
};

use crate::{
    error::Error,
    limits::{AsksWithoutToken, Visitor},
};

/// Encoded once: anybody may ask for it.
static MATRIX: LazyLock<serde_json::Result<Encoded<Matrix>>> = LazyLock::new(|| Encoded::of(&matrix()));

/// Every cell of the matrix.
pub async fn list(_: Visitor<AsksWithoutToken>) -> Result<FoundEncoded<Matrix>, Error> {
    match &*MATRIX {
        Ok(encoded) => Ok(FoundEncoded(encoded.clone())),
        Err(error) => Err(Error::Internal(error.to_string())),
    }
}
