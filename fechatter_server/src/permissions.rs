//! The permission matrix, served.

use chat_core::{
    http::answer::Found,
    permission::{Matrix, matrix},
};

use crate::error::Error;

/// Every cell of the matrix.
pub async fn list() -> Result<Found<Matrix>, Error> {
    Ok(Found(matrix()))
}
