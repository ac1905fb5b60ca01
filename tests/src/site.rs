//! Both servers in this process, on free ports and a database of their own.

use std::{net::SocketAddr, path::Path, time::Duration};

use chat_core::{clock::Clock, database::Pool, http::listen::Listeners};
use fechatter_server::{
    auth::issuer::make_key_files,
    config::Settings,
    docs,
    housekeeping::{self, Purged},
    vault::{ring::make_file_keys, settings::FileSettings},
};
use notify_server::config::Settings as NotifySettings;
use secrecy::SecretString;
use serde_json::json;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Actor, Answer, actor::client, cluster};

/// A running server.
pub struct Server {
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Where operators do.
    pub admin_address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    fn run(
        listeners: Listeners,
        router: axum::Router,
        admin: axum::Router,
        shutdown: CancellationToken,
    ) -> Self {
        let address = listeners.clients.local_addr().expect("bound");
        let admin_address = listeners.operators.local_addr().expect("bound");
        let serving = tokio::spawn(listeners.serve(router, admin, shutdown.clone()));
        Self { address, admin_address, shutdown, serving }
    }

    /// Lets it begin to end, as a signal would.
    pub fn begin_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Ends it as a signal would, and waits.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(15), self.serving)
            .await
            .expect("an end in time")
            .expect("no panic")
            .expect("no error");
    }
}

/// Both servers and their database. Everything ends with the test's runtime.
pub struct Site {
    /// The database, reached directly.
    pub pool: PgPool,
    /// The clock of both servers.
    pub clock: Clock,
    /// The REST API.
    pub rest: Server,
    /// The event stream.
    pub notify: Server,
    /// The URL of the database.
    pub database_url: String,
    /// Keeps connections open between requests.
    pub client: reqwest::Client,
    settings: Settings,
    notify_settings: NotifySettings,
    _keys: TempDir,
}

impl Site {
    /// A site with default settings.
    pub async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    /// A site whose settings `change` has changed. Each server has its own role, as it should.
    pub async fn start_with(change: impl FnOnce(&mut Settings, &mut NotifySettings)) -> Self {
        let database_url = cluster::fresh_database().await;
        let as_role = |role| SecretString::from(cluster::as_role(role, &database_url));
        let (rest, notify) = (as_role("fechatter_server"), as_role("notify_server"));
        Self::start_on(database_url, |settings, notify_settings| {
            settings.database.url = rest;
            notify_settings.database.url = notify;
            change(settings, notify_settings);
        })
        .await
    }

    /// A site on this database.
    pub async fn start_on(
        database_url: String,
        change: impl FnOnce(&mut Settings, &mut NotifySettings),
    ) -> Self {
        let keys = tempfile::tempdir().expect("a folder");
        let (private, public) = make_key_files(keys.path()).expect("keys");
        let mut settings = Settings::read(None).expect("defaults");
        settings.server.port = 0;
        settings.server.admin_port = 0;
        settings.server.drain_s = 5;
        settings.database.url = SecretString::from(database_url.clone());
        settings.database.max_connections = 6;
        settings.auth.private_key_file = private;
        settings.files.key_file = keys.path().join("files.pem");
        settings.files.folder = keys.path().join("files");
        make_file_keys(&settings.files.key_file).expect("keys");
        // Cheap hashes: what they cost is not what these tests are about.
        settings.auth.argon2_memory_kib = 64;
        settings.auth.argon2_passes = 1;
        // Everybody is at one address, and tests ask as fast as they can.
        settings.limits.enabled = false;
        let mut notify_settings = NotifySettings::read(None).expect("defaults");
        notify_settings.server = settings.server.clone();
        notify_settings.database.url = settings.database.url.clone();
        notify_settings.database.max_connections = 4;
        notify_settings.auth.public_key_file = public;
        notify_settings.limits.enabled = false;
        change(&mut settings, &mut notify_settings);

        let clock = Clock::system();
        let rest = start_rest(&settings, &clock);
        let notify = start_notify(&notify_settings, &clock);
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(4)
            .connect(&database_url)
            .await
            .expect("a connection");
        Self {
            pool,
            clock,
            rest,
            notify,
            database_url,
            client: client(),
            settings,
            notify_settings,
            _keys: keys,
        }
    }

    /// Another REST server on the same database.
    pub fn another_rest(&self) -> Server {
        start_rest(&self.settings, &self.clock)
    }

    /// Another stream server on the same database.
    pub fn another_notify(&self) -> Server {
        start_notify(&self.notify_settings, &self.clock)
    }

    /// Has what has expired or was deleted long ago removed, as an operator may; the servers do it every minute.
    pub async fn clean_up(&self) -> Purged {
        let pool = Pool::new(self.pool.clone(), Duration::from_secs(30));
        housekeeping::run_now(&pool, &self.settings, self.clock.now()).await.expect("a clean-up")
    }

    /// The key that signs tokens.
    pub fn private_key_file(&self) -> &Path {
        &self.settings.auth.private_key_file
    }

    /// Where the files lie.
    pub fn files_folder(&self) -> &Path {
        &self.settings.files.folder
    }

    /// The key that verifies them.
    pub fn public_key_file(&self) -> &Path {
        &self.notify_settings.auth.public_key_file
    }

    /// Where files lie, and their keys.
    pub fn file_settings(&self) -> &FileSettings {
        &self.settings.files
    }

    /// Where the REST API is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.rest.address)
    }

    /// A person who has just signed up, called `name`.
    pub async fn sign_up(&self, name: &str) -> Actor {
        let body = json!({
            "email": format!("{name}@example.com"),
            "password": "a long enough phrase",
            "full_name": name,
        });
        let answer = self.anonymous().post("/api/auth/signup", body).await;
        Actor::from_session(self, &answer.expect(201))
    }

    /// The same person with a new token, where time has gone on.
    pub async fn sign_in_again(&self, person: &Actor) -> Actor {
        let body =
            json!({ "email": format!("{}@example.com", person.name), "password": "a long enough phrase" });
        let answer = self.anonymous().post("/api/auth/signin", body).await;
        Actor::from_session(self, &answer.expect(200))
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> Actor {
        Actor { client: self.client.clone(), ..Actor::anonymous_at(self.rest.address, self.notify.address) }
    }

    /// A GET to any URL.
    pub async fn get(&self, url: String) -> Answer {
        let response = self.client.get(&url).send().await.expect("an answer");
        Answer::read(format!("GET {url}"), response).await
    }
}

fn start_rest(settings: &Settings, clock: &Clock) -> Server {
    let shutdown = CancellationToken::new();
    let listeners = Listeners::bind(&settings.server, settings.limits.clients()).expect("a free port");
    let app = fechatter_server::App::start(settings.clone(), clock.clone(), &shutdown).expect("a start");
    Server::run(listeners, docs::with_docs(app.api()), app.admin(), shutdown)
}

fn start_notify(settings: &NotifySettings, clock: &Clock) -> Server {
    let shutdown = CancellationToken::new();
    let listeners = Listeners::bind(&settings.server, settings.limits.clients()).expect("a free port");
    let app = notify_server::App::start(settings.clone(), clock.clone(), shutdown.clone()).expect("a start");
    Server::run(listeners, app.router(), app.admin(), shutdown)
}
