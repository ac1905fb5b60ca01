//! The device that a session is opened from.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use chat_core::{
    api::{Input, Operation},
    http::client_address::ClientAddress,
};

use crate::state::AppState;

/// The longest `User-Agent` that is kept, in characters.
const USER_AGENT_MAX: usize = 256;

/// What a request tells of the device it comes from.
pub struct Device {
    /// `User-Agent`, cut.
    pub(super) user_agent: Option<String>,
    /// Where it is.
    pub(super) address: ClientAddress,
}

impl FromRequestParts<AppState> for Device {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let user_agent = parts
            .headers
            .get(header::USER_AGENT)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(USER_AGENT_MAX).collect());
        Ok(Self { user_agent, address: state.limits.gate.locate(parts) })
    }
}

impl Input for Device {
    fn describe(_: &mut Operation) {}
}
