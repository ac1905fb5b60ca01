//! Certificates of servers under test.

use std::{fs, os::unix::fs::OpenOptionsExt, path::PathBuf};

use chat_core::http::tls::TlsSettings;
use pem::Pem;
use rcgen::generate_simple_self_signed;
use reqwest::{Certificate as Root, Client, ClientBuilder};
use tempfile::TempDir;

use crate::actor;

/// A certificate for `localhost`, in files.
pub struct Certificate {
    folder: TempDir,
    /// What a client is to trust.
    root: Root,
}

impl Certificate {
    /// One that nobody has seen before.
    pub fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = write(&folder);
        Self { folder, root }
    }

    /// Puts another one into the files.
    pub fn renew(&mut self) {
        self.root = write(&self.folder);
    }

    /// The certificate and its key.
    pub fn settings(&self) -> TlsSettings {
        let [certificate_file, key_file] = files(&self.folder);
        TlsSettings { certificate_file, key_file }
    }

    /// A client that trusts this certificate alone.
    pub fn client(&self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        actor::install_cryptography();
        let builder = Client::builder().no_proxy().tls_certs_only([self.root.clone()]);
        change(builder).build().expect("a client")
    }
}

fn files(folder: &TempDir) -> [PathBuf; 2] {
    ["certificate.pem", "key.pem"].map(|name| folder.path().join(name))
}

fn write(folder: &TempDir) -> Root {
    let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let parts = [
        Pem::new("CERTIFICATE", made.cert.der().as_ref()),
        Pem::new("PRIVATE KEY", made.signing_key.serialized_der()),
    ];
    for (file, part) in files(folder).iter().zip(&parts) {
        let draft = file.with_extension("draft");
        let mut open = fs::OpenOptions::new();
        let open = open.write(true).create_new(true).mode(0o600).open(&draft);
        std::io::Write::write_all(&mut open.expect("a file"), pem::encode(part).as_bytes()).expect("a file");
        fs::rename(draft, file).expect("a file");
    }
    Root::from_der(made.cert.der()).expect("a certificate")
}
