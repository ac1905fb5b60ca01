//! TLS: the certificate, and how it is renewed without a restart.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

use crate::renewal;

/// How often the files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// HTTP/2 by its name among the protocols that a client offers (RFC 9113, section 3.2).
pub(super) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// The certificate and its key; both empty for clear text.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate and those between it and its root, in PEM, its own first.
    pub certificate_file: PathBuf,
    /// The private key, in PEM, readable by its owner only.
    pub key_file: PathBuf,
}

impl TlsSettings {
    /// Whether clients are served by TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.certificate_file.as_os_str().is_empty()
    }

    /// Reads the files as a listener would.
    ///
    /// # Errors
    /// What keeps the listener from starting; the message names the file.
    pub fn check(&self) -> io::Result<()> {
        Tls::read(self).map(drop)
    }
}

/// TLS as a listener speaks it.
pub(super) struct Tls {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    certificate: Arc<Certificate>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificate and its key; none when clients are served in clear text.
    ///
    /// # Errors
    /// Only one of the two is set, or they cannot be used; the message names the file.
    pub(super) fn read(settings: &TlsSettings) -> io::Result<Option<Self>> {
        if settings.is_on() == settings.key_file.as_os_str().is_empty() {
            return Err(io::Error::other(
                "server.tls.certificate_file and server.tls.key_file belong together: one of them is not set",
            ));
        }
        if !settings.is_on() {
            return Ok(None);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificate = Arc::new(Certificate::new(read_pair(settings, &provider)?));
        // TLS 1.2 and 1.3.
        let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut config = versions.with_no_client_auth().with_cert_resolver(Arc::clone(&certificate) as _);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Some(Self { settings: settings.clone(), provider, certificate, config: Arc::new(config) }))
    }

    /// What shakes hands.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config).into()
    }

    /// Takes over what the files hold whenever they have changed; to be dropped in the end.
    ///
    /// New connections get the new certificate. What cannot be used is logged, and the last good pair stays.
    pub(super) async fn follow(self, look: Duration) {
        let Self { settings, provider, certificate, .. } = self;
        let files = vec![settings.certificate_file.clone(), settings.key_file.clone()];
        let renew = move || {
            certificate.replace(read_pair(&settings, &provider)?);
            tracing::info!("the TLS certificate was read");
            Ok::<_, io::Error>(())
        };
        renewal::follow_every(look, files, renew).await;
    }
}

/// The certificate in force.
#[derive(Debug)]
struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    fn new(pair: CertifiedKey) -> Self {
        Self(RwLock::new(Arc::new(pair)))
    }

    fn replace(&self, pair: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The certificate with its key, which must be that of the certificate.
fn read_pair(settings: &TlsSettings, provider: &CryptoProvider) -> io::Result<CertifiedKey> {
    let TlsSettings { certificate_file, key_file } = settings;
    let told = |what: &str, file: &Path, why: &dyn std::fmt::Display| {
        io::Error::other(format!("cannot use the {what} {}: {why}", file.display()))
    };
    let bad_certificate = |why: &dyn std::fmt::Display| told("TLS certificate", certificate_file, why);
    let bad_key = |why: &dyn std::fmt::Display| told("TLS key", key_file, why);

    let text = fs::read(certificate_file).map_err(|error| bad_certificate(&error))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| bad_certificate(&error))?;
    if chain.is_empty() {
        return Err(bad_certificate(&"it holds no certificate in PEM"));
    }
    let mode = fs::metadata(key_file).map_err(|error| bad_key(&error))?.permissions().mode();
    if mode & OTHERS != 0 {
        let why = format!("it is open to others than its owner (mode {:o}): chmod 600 it", mode & 0o777);
        return Err(bad_key(&why));
    }
    let key = fs::read(key_file).map_err(|error| bad_key(&error))?;
    // The parser's words could hold what stands in the file.
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| bad_key(&"it holds no private key in PEM"))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| told("TLS key with its certificate", key_file, &error))
}

#[cfg(test)]
pub(super) mod tests;
