//! The device that a session is opened from.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{header, request::Parts},
};
use chat_core::api::{Input, Operation};

/// The longest `User-Agent` that is kept, in characters.
const USER_AGENT_MAX: usize = 256;

/// What a request tells of the device it comes from.
pub struct Device {
    /// `User-Agent`, cut.
    pub(super) user_agent: Option<String>,
    /// The peer's address.
    pub(super) ip: Option<IpAddr>,
}

impl<S: Send + Sync> FromRequestParts<S> for Device {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let user_agent = parts
            .headers
            .get(header::USER_AGENT)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(USER_AGENT_MAX).collect());
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self { user_agent, ip: peer.map(|ConnectInfo(peer)| peer.ip().to_canonical()) })
    }
}

impl Input for Device {
    fn describe(_: &mut Operation) {}
}
