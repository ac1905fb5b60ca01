//! A real S3 server, moto, that keeps everything in memory.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use fechatter_server::vault::settings::S3Settings;
use nix::sys::signal::Signal;
use tokio::task::block_in_place;

use crate::{
    actor::client, certificate::Certificate, compose::repository, nginx::free_port, program::Program,
};

/// The bucket that is there from the beginning.
pub const BUCKET: &str = "files";

/// What a signed request looks like, while no signature is checked: without it objects are closed to everybody.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x";

/// A running server; it ends when dropped.
pub struct S3 {
    program: Program,
    address: SocketAddr,
    certificate: Option<Certificate>,
    client: reqwest::Client,
    /// Whom it knows.
    pub access_key_id: String,
    /// By which secret.
    pub secret_access_key: String,
}

impl S3 {
    /// Starts one; none when it is not installed, which is said.
    pub async fn start() -> Option<Self> {
        Self::run(free_port(), None).await
    }

    /// One that speaks TLS by this certificate, for `localhost`.
    pub async fn start_with(certificate: Certificate) -> Option<Self> {
        Self::run(free_port(), Some(certificate)).await
    }

    async fn run(port: u16, certificate: Option<Certificate>) -> Option<Self> {
        let Some(path) = program() else {
            eprintln!("SKIPPED: there is no S3 server; scripts/get-s3-server.sh fetches it");
            return None;
        };
        let mut command = Command::new(path);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).env("PYTHONUNBUFFERED", "1");
        if let Some(certificate) = &certificate {
            let tls = certificate.settings();
            command.arg("-c").arg(tls.certificate_file).arg("-k").arg(tls.key_file);
        }
        let mut program = Program::run(command);
        block_in_place(|| program.until("Running on"));
        let client =
            certificate.as_ref().map_or_else(client, |certificate| certificate.client(|client| client));
        let mut s3 = Self {
            program,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            certificate,
            client,
            access_key_id: String::new(),
            secret_access_key: String::new(),
        };
        s3.ask(reqwest::Method::PUT, BUCKET, String::new()).await;
        s3.make_account().await;
        Some(s3)
    }

    /// Somebody who may do everything with the bucket; from then on nobody else may.
    async fn make_account(&mut self) {
        let policy =
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        self.administer("Action=CreateUser&UserName=files").await;
        self.administer(&format!(
            "Action=PutUserPolicy&UserName=files&PolicyName=all&PolicyDocument={policy}"
        ))
        .await;
        let made = self.administer("Action=CreateAccessKey&UserName=files").await;
        let between = |tag: &str| {
            let (_, rest) = made.split_once(&format!("<{tag}>")).expect("a key");
            rest.split('<').next().expect("a value").to_owned()
        };
        (self.access_key_id, self.secret_access_key) = (between("AccessKeyId"), between("SecretAccessKey"));
        self.check_signatures(true).await;
    }

    async fn administer(&self, form: &str) -> String {
        let authorization = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, \
            SignedHeaders=host, Signature=x";
        let asked = self.client.post(self.url("")).header("authorization", authorization);
        let asked = asked.header("content-type", "application/x-www-form-urlencoded");
        let answer = asked.body(format!("{form}&Version=2010-05-08")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{form}");
        answer.text().await.expect("text")
    }

    /// Whether it looks who asks; the tests themselves are nobody.
    pub async fn check_signatures(&self, whether: bool) {
        let unchecked = if whether { "0" } else { "inf" };
        self.ask(reqwest::Method::POST, "moto-api/reset-auth", unchecked.to_owned()).await;
    }

    /// Asks without a signature.
    async fn ask(&self, method: reqwest::Method, path: &str, body: String) -> String {
        let asked =
            self.client.request(method, self.url(path)).header("content-type", "text/plain").body(body);
        let answer = asked.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.expect("text")
    }

    /// What it says to a GET, whoever asks.
    pub async fn get(&self, path: &str) -> String {
        self.check_signatures(false).await;
        let said = self.ask(reqwest::Method::GET, path, String::new()).await;
        self.check_signatures(true).await;
        said
    }

    /// Puts these bytes in an object's place.
    pub async fn put(&self, location: &str, bytes: Vec<u8>) {
        self.check_signatures(false).await;
        let asked =
            self.client.put(self.url(&format!("{BUCKET}/{location}"))).header("authorization", SIGNED);
        let answer = asked.body(bytes).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        self.check_signatures(true).await;
    }

    /// The bytes of an object.
    pub async fn object(&self, location: &str) -> Vec<u8> {
        self.check_signatures(false).await;
        let asked =
            self.client.get(self.url(&format!("{BUCKET}/{location}"))).header("authorization", SIGNED);
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let bytes = answer.bytes().await.expect("bytes").to_vec();
        self.check_signatures(true).await;
        bytes
    }

    /// How many uploads of several parts are under way, and how many notes of them there are.
    pub async fn uploads(&self) -> (usize, usize) {
        let uploads = self.get(&format!("{BUCKET}?uploads")).await.matches("<UploadId>").count();
        let notes = self.get(&format!("{BUCKET}?list-type=2&prefix=uploads")).await;
        (uploads, notes.matches("<Key>").count())
    }

    fn url(&self, path: &str) -> String {
        let port = self.address.port();
        match self.certificate {
            Some(_) => format!("https://localhost:{port}/{path}"),
            None => format!("http://127.0.0.1:{port}/{path}"),
        }
    }

    /// What a server is to be told of it.
    pub fn settings(&self) -> S3Settings {
        S3Settings {
            bucket: BUCKET.to_owned(),
            endpoint: self.url("").trim_end_matches('/').to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone().into(),
            ca_file: match &self.certificate {
                Some(certificate) => certificate.settings().certificate_file,
                None => PathBuf::new(),
            },
        }
    }

    /// Ends it at once, with all that it holds.
    pub fn kill(&mut self) {
        self.program.signal(Signal::SIGKILL);
        block_in_place(|| self.program.end());
    }

    /// Another one in its place, which holds nothing but the bucket.
    pub async fn start_again(&mut self) {
        *self = Self::run(self.address.port(), None).await.expect("a server");
    }
}

fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("FECHATTER_S3_SERVER") {
        return Some(program.into());
    }
    let folder = repository().join(".fechatter/s3-server");
    folder.join("complete").exists().then(|| folder.join("bin/moto_server"))
}
