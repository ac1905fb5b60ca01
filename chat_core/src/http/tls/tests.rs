use std::os::unix::fs::OpenOptionsExt;

use pem::Pem;
use rcgen::generate_simple_self_signed;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite, duplex},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::*;

pub(in crate::http) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Files with a certificate for `localhost`.
pub(in crate::http) struct Files {
    pub(in crate::http) settings: TlsSettings,
    _folder: TempDir,
}

/// A certificate and its key, in PEM.
struct Pair {
    certificate: CertificateDer<'static>,
    texts: [String; 2],
}

impl Pair {
    fn make() -> Result<Self, rcgen::Error> {
        let made = generate_simple_self_signed(["localhost".to_owned()])?;
        let text = |tag: &str, der: &[u8]| pem::encode(&Pem::new(tag, der));
        let texts =
            [text("CERTIFICATE", made.cert.der()), text("PRIVATE KEY", made.signing_key.serialized_der())];
        Ok(Self { certificate: made.cert.der().clone(), texts })
    }
}

impl Files {
    /// Files in a folder of their own, and a client that trusts the certificate in them.
    pub(in crate::http) fn make(
        protocols: &[&[u8]],
    ) -> Result<(Self, TlsConnector), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let settings = TlsSettings {
            certificate_file: folder.path().join("certificate.pem"),
            key_file: folder.path().join("key.pem"),
        };
        let files = Self { settings, _folder: folder };
        let pair = Pair::make()?;
        files.write(&pair)?;
        Ok((files, trusting(&pair, protocols)?))
    }

    fn write(&self, pair: &Pair) -> io::Result<()> {
        let [certificate, key] = &pair.texts;
        replace(&self.settings.certificate_file, certificate, 0o644)?;
        replace(&self.settings.key_file, key, 0o600)
    }
}

/// Puts a new file in the place of another.
fn replace(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let draft = file.with_extension("draft");
    let mut open = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    io::Write::write_all(&mut open, text.as_bytes())?;
    fs::rename(draft, file)
}

/// A client that trusts this certificate alone, and offers these protocols.
fn trusting(pair: &Pair, protocols: &[&[u8]]) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(pair.certificate.clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config).into())
}

/// Shakes hands with `localhost`.
pub(in crate::http) async fn shake_hands<T: AsyncRead + AsyncWrite + Unpin>(
    client: &TlsConnector,
    transport: T,
) -> io::Result<tokio_rustls::client::TlsStream<T>> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    client.connect(name, transport).await
}

/// Whether a client that trusts `pair` trusts the server.
async fn shows(acceptor: &TlsAcceptor, pair: &Pair) -> Result<bool, rustls::Error> {
    let client = trusting(pair, &[])?;
    let (near, far) = duplex(64 * 1024);
    let (_, shaken) = tokio::join!(acceptor.accept(far), shake_hands(&client, near));
    Ok(shaken.is_ok())
}

fn refusal(settings: &TlsSettings) -> String {
    Tls::read(settings).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn both_files_or_none_are_set() -> Outcome {
    assert!(Tls::read(&TlsSettings::default())?.is_none());
    let (files, _) = Files::make(&[])?;
    let TlsSettings { certificate_file, key_file } = files.settings.clone();
    for settings in [
        TlsSettings { certificate_file, ..TlsSettings::default() },
        TlsSettings { key_file, ..TlsSettings::default() },
    ] {
        assert!(refusal(&settings).contains("belong together"), "{settings:?}");
    }
    assert!(Tls::read(&files.settings)?.is_some());
    Ok(())
}

#[test]
fn what_cannot_be_used_is_named_and_its_text_is_not() -> Outcome {
    let (files, _) = Files::make(&[])?;
    let TlsSettings { certificate_file, key_file } = &files.settings;
    fs::set_permissions(key_file, fs::Permissions::from_mode(0o640))?;
    assert!(refusal(&files.settings).contains("key.pem: it is open to others"));
    fs::set_permissions(key_file, fs::Permissions::from_mode(0o600))?;
    assert_eq!(refusal(&files.settings), "");
    // The key of another certificate.
    let [_, key] = Pair::make()?.texts;
    replace(key_file, &key, 0o600)?;
    assert!(
        refusal(&files.settings).contains("TLS key with its certificate"),
        "{}",
        refusal(&files.settings)
    );
    replace(key_file, "s3cret", 0o600)?;
    let told = refusal(&files.settings);
    assert!(told.contains("key.pem: it holds no private key") && !told.contains("s3cret"), "{told}");
    replace(certificate_file, "nonsense", 0o644)?;
    assert!(refusal(&files.settings).contains("certificate.pem: it holds no certificate"));
    fs::remove_file(certificate_file)?;
    assert!(refusal(&files.settings).contains("certificate.pem: No such file"));
    Ok(())
}

#[tokio::test]
async fn changed_files_are_taken_over_and_bad_ones_are_not() -> Outcome {
    let (files, _) = Files::make(&[])?;
    let [first, second] = [Pair::make()?, Pair::make()?];
    files.write(&first)?;
    let tls = Tls::read(&files.settings)?.ok_or("no TLS")?;
    let acceptor = tls.acceptor();
    let following = tokio::spawn(tls.follow(Duration::from_millis(20)));
    assert!(shows(&acceptor, &first).await? && !shows(&acceptor, &second).await?);
    // Neither half a pair nor nonsense replaces what works.
    replace(&files.settings.certificate_file, &second.texts[0], 0o644)?;
    sleep(Duration::from_millis(200)).await;
    assert!(shows(&acceptor, &first).await?);
    replace(&files.settings.key_file, "nonsense", 0o600)?;
    sleep(Duration::from_millis(200)).await;
    assert!(shows(&acceptor, &first).await?);
    replace(&files.settings.key_file, &second.texts[1], 0o600)?;
    let start = Instant::now();
    while !shows(&acceptor, &second).await? {
        assert!(start.elapsed() < Duration::from_secs(30), "the new pair is not taken over");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!shows(&acceptor, &first).await?);
    following.abort();
    Ok(())
}

#[tokio::test]
async fn older_versions_are_refused() -> Outcome {
    let (files, _) = Files::make(&[])?;
    let acceptor = Tls::read(&files.settings)?.ok_or("no TLS")?.acceptor();
    // A ClientHello of TLS 1.1 (RFC 4346, section 7.4.1.2) with one suite, and with the extension that TLS 1.2 needs.
    let mut hello = vec![22, 3, 1, 0, 55, 1, 0, 0, 51, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 8, 4]);
    let (mut near, far) = duplex(64 * 1024);
    tokio::io::AsyncWriteExt::write_all(&mut near, &hello).await?;
    let shaken = timeout(Duration::from_secs(30), acceptor.accept(far)).await?;
    let error = shaken.err().ok_or("it was accepted")?.to_string();
    assert!(error.contains("Tls12NotOffered"), "{error}");
    Ok(())
}
