//! A private PostgreSQL that speaks TLS on a port.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use local_postgres::{LocalPostgres, Options};
use nix::unistd::User;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sqlx::{Connection, PgConnection};

/// The server, and the authority that its certificate is by.
pub struct TlsPostgres {
    postgres: LocalPostgres,
    ca_file: PathBuf,
}

impl TlsPostgres {
    /// Starts one with a certificate for `localhost`, and for nothing else.
    pub async fn start() -> Self {
        let postgres = tokio::task::block_in_place(start_on_a_port);
        let folder = postgres.dir().join("tls");
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("permissions");
        let authority = authority();
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &authority).expect("a certificate");
        let ca_file = folder.join("ca.pem");
        fs::write(&ca_file, authority.pem()).expect("a file");
        fs::write(folder.join("server.pem"), leaf.pem()).expect("a file");
        let key_file = folder.join("server.key");
        fs::write(&key_file, key.serialize_pem()).expect("a file");
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).expect("permissions");
        let user = User::from_name(postgres.server_user()).expect("a list of users").expect("its user");
        // Only root can, and only root has to.
        if nix::unistd::geteuid().is_root() {
            chown(&key_file, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("ownership");
        }
        let server = Self { postgres, ca_file };
        server.set("ssl_cert_file", &folder.join("server.pem").display().to_string()).await;
        server.set("ssl_key_file", &key_file.display().to_string()).await;
        server.set("ssl", "on").await;
        server.reload().await;
        server
    }

    /// Ends TLS on the server.
    pub async fn turn_off_tls(&self) {
        self.set("ssl", "off").await;
        self.reload().await;
    }

    /// The authority's certificate.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// The URL of a database by its port, with these parameters.
    pub fn url(&self, host: &str, parameters: &str) -> String {
        let url = self.postgres.url("postgres");
        let way = url.split('?').next().unwrap_or_default();
        format!("{}?{parameters}", way.replace("@localhost:", &format!("@{host}:")))
    }

    async fn set(&self, name: &str, value: &str) {
        let statement = sqlx::AssertSqlSafe(format!("alter system set {name} = '{value}'"));
        let mut connection = self.connect().await;
        sqlx::query(statement).execute(&mut connection).await.expect("a superuser");
    }

    /// New connections find the settings in force once the postmaster has read them.
    async fn reload(&self) {
        let mut connection = self.connect().await;
        sqlx::query("select pg_reload_conf()").execute(&mut connection).await.expect("a superuser");
        for _ in 0..200 {
            let pending: i64 = sqlx::query_scalar(
                "select count(*) from pg_file_settings f join pg_settings s using (name)
                 where f.sourcefile like '%auto.conf' and f.setting <> s.setting",
            )
            .fetch_one(&mut self.connect().await)
            .await
            .expect("settings");
            if pending == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the settings never came into force");
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.url("postgres")).await.expect("a connection")
    }
}

/// Somebody who signs certificates.
pub fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A port that is free now may be taken a moment later: then another one.
fn start_on_a_port() -> LocalPostgres {
    for _ in 0..5 {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let mut options = Options::temporary().expect("a folder");
        options.extra_settings =
            vec![("listen_addresses".into(), "127.0.0.1".into()), ("port".into(), port.to_string())];
        match LocalPostgres::start(&options) {
            Ok(postgres) => return postgres,
            Err(error) => eprintln!("port {port}: {error}"),
        }
    }
    panic!("no PostgreSQL on any port")
}
