//! The permission matrix, served.

use chat_core::{
    http::answer::Found,
    permission::{Matrix, matrix},
};

use crate::{
    error::Error,
    limits::{AsksWithoutToken, Visitor},
};

/// Every cell of the matrix.
pub async fn list(_: Visitor<AsksWithoutToken>) -> Result<Found<Matrix>, Error> {
    Ok(Found(matrix()))
}
