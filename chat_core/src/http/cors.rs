//! Pages of other origins, which may call the API only when they are named in the settings.

use std::{str::FromStr, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, Uri, header, uri::Scheme};
use serde::{Serialize, Serializer};
use tower_http::cors::CorsLayer;

use super::answer::X_EVENT_ID;

/// How long a browser may remember the answer to a preflight; browsers cap it at two hours or less.
const MAX_AGE: Duration = Duration::from_hours(1);
/// What pages may send, beyond what any page may (Fetch standard, section 2.2.2).
const SENT: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
];
/// What pages may read.
const SHOWN: [HeaderName; 5] = [
    X_EVENT_ID,
    header::RETRY_AFTER,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-request-id"),
];

/// An origin as a browser writes it (RFC 6454, section 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.to_str().unwrap_or_default())
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origin = text.parse().ok().and_then(|uri| normal(&uri)).filter(|normal| normal == text);
        let value = origin.and_then(|origin| HeaderValue::from_str(&origin).ok());
        value.map(Self).ok_or_else(|| {
            format!("server.cors_origins: {text:?} is not an origin such as https://chat.example.com")
        })
    }
}

/// The origin of a URI, without the port that its scheme has by default.
fn normal(uri: &Uri) -> Option<String> {
    let (scheme, host) = (uri.scheme()?, uri.host()?.to_ascii_lowercase());
    let default = match uri.port_u16() {
        Some(80) => Some(&Scheme::HTTP),
        Some(443) => Some(&Scheme::HTTPS),
        _ => None,
    };
    let known = [Scheme::HTTP, Scheme::HTTPS].contains(scheme);
    match uri.port_u16().filter(|_| default != Some(scheme)) {
        _ if !known || host.contains('*') => None,
        Some(port) => Some(format!("{scheme}://{host}:{port}")),
        None => Some(format!("{scheme}://{host}")),
    }
}

/// Lets pages of these origins call, without cookies or other credentials of the browser's; none without origins.
pub(super) fn layer(origins: &[Origin]) -> Option<CorsLayer> {
    let origins: Vec<_> = origins.iter().map(|Origin(origin)| origin.clone()).collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers(SENT)
            .expose_headers(SHOWN)
            .max_age(MAX_AGE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in [
            "https://chat.example.com",
            "http://localhost:5173",
            "https://chat.example.com:8443",
            "http://192.0.2.1",
            "http://[2001:db8::1]:8080",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "chat.example.com",
            "https://*.example.com",
            "https://chat.example.com/",
            "https://chat.example.com/path",
            "https://chat.example.com?x",
            "https://Chat.example.com",
            "https://chat.example.com:443",
            "http://localhost:80",
            "https://ann@chat.example.com",
            "ftp://example.com",
            "https://a.example, https://b.example",
        ] {
            let told = bad.parse::<Origin>().err().unwrap_or_default();
            assert!(told.starts_with("server.cors_origins: "), "{bad}: {told}");
        }
    }
}
