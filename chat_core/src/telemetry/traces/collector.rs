//! The client that speaks with the collector.

use std::{
    error::Error,
    fs,
    iter::successors,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use axum::http::{Request, Response};
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError};
use reqwest::{Certificate, blocking::Client};

use super::{TraceError, TraceSettings};

/// How long the collector may take for what it is sent: what OTLP's exporters have by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends what the exporter has, and says why it cannot: the exporter keeps that to itself.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client,
    /// Whether the last attempt failed, so that it is said once.
    is_away: AtomicBool,
}

impl Collector {
    /// That of the settings, which is not connected with yet.
    ///
    /// # Errors
    /// Authorities that cannot be read, or none.
    pub(super) fn of(settings: &TraceSettings) -> Result<Self, TraceError> {
        let authorities = authorities(settings)?;
        let build = || {
            let builder = Client::builder().timeout(PATIENCE);
            match authorities {
                Some(authorities) => builder.tls_certs_only(authorities),
                None => builder,
            }
            .build()
        };
        // It waits, which a thread of the asynchronous runtime must not.
        let made = thread::scope(|scope| scope.spawn(build).join());
        let made = made.map_err(|_| TraceError::Client("it panicked".into()))?;
        let client = made.map_err(|error| TraceError::Client(whole(&error)))?;
        Ok(Self { client, is_away: AtomicBool::new(false) })
    }

    fn note(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let was_away = self.is_away.swap(sent.is_err(), Ordering::Relaxed);
        if let Err(error) = sent
            && !was_away
        {
            tracing::warn!(error = whole(&**error), "the collector takes no traces");
        }
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sending<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let sent = self.client.send_bytes(request).await;
            self.note(&sent);
            sent
        })
    }
}

/// Who may have signed the collector's certificate; none: whom this machine trusts.
fn authorities(settings: &TraceSettings) -> Result<Option<Vec<Certificate>>, TraceError> {
    let file = &settings.ca_file;
    if file.as_os_str().is_empty() {
        // Clear text needs nobody, and a machine that trusts nobody can send it.
        return Ok(settings.otlp_endpoint.starts_with("http://").then(Vec::new));
    }
    let wrong = |why| TraceError::Authorities { file: file.display().to_string(), why };
    let text = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    match Certificate::from_pem_bundle(&text) {
        Ok(authorities) if !authorities.is_empty() => Ok(Some(authorities)),
        _ => Err(wrong("it holds no certificate in PEM".into())),
    }
}

/// An error with what caused it.
fn whole(error: &(dyn Error + 'static)) -> String {
    let parts: Vec<_> = successors(Some(error), |error| (*error).source()).map(ToString::to_string).collect();
    parts.join(": ")
}
