//! `fechatter up`: everything in one process.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use chat_core::{clock::Clock, http::listen::Listeners, operators, settings::Problems};
use fechatter_server::{
    auth::issuer::key_files::{KeyRing, make},
    config::{AuthSettings, Settings},
    docs,
    vault::{
        ring::{FileKeys, make_file_keys},
        settings::FileSettings,
    },
};
use local_postgres::{LocalPostgres, Options};
use notify_server::config::Settings as NotifySettings;
use secrecy::{ExposeSecret, SecretString};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{schema, servers::Servers};

/// Connections of the private PostgreSQL.
const MAX_CONNECTIONS: u16 = 100;
/// How often the private PostgreSQL is looked after.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// Everything, started.
pub struct Site {
    listeners: Listeners,
    router: Router,
    admin: Router,
    shutdown: CancellationToken,
    postgres: Option<LocalPostgres>,
    address: SocketAddr,
    admin_address: SocketAddr,
    scheme: &'static str,
}

impl Site {
    /// Starts the database, brings its schema up to date, makes the keys, and starts both servers.
    ///
    /// # Errors
    /// Whatever keeps one of them from starting, in words for the operator.
    pub async fn start(
        mut settings: Settings,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        problems_of_start(&settings).none()?;
        fs::create_dir_all(&settings.data_dir)
            .with_context(|| format!("cannot make the folder {}", settings.data_dir.display()))?;
        let postgres = if settings.database.url.expose_secret().is_empty() {
            let postgres = start_postgres(settings.data_dir.join("postgres")).await?;
            settings.database.url = SecretString::from(postgres.ensure_database().await?);
            write_database_url(&settings)?;
            Some(postgres)
        } else {
            None
        };
        // After the database: whoever starts it twice on a folder is told so, and not that a port is taken.
        let listeners = Listeners::bind(&settings.server, settings.limits.clients())?;
        let (address, admin_address) = (listeners.clients.local_addr()?, listeners.operators.local_addr()?);
        let scheme = if settings.server.tls.is_on() { "https" } else { "http" };
        schema::migrate(&settings.database, false).await?;
        bring_keys(&mut settings)?;

        let notify = notify_settings(&settings)?;
        let rest = fechatter_server::App::start(settings, clock.clone(), &shutdown)?;
        let events = notify_server::App::start(notify, clock, shutdown.clone())?;
        let router = docs::with_docs(rest.api().merge(events.api()));
        let admin = operators::routes(Servers { rest, events });
        Ok(Self { listeners, router, admin, shutdown, postgres, address, admin_address, scheme })
    }

    /// Where clients reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the token given to [`Site::start`] is cancelled, then stops the database.
    ///
    /// # Errors
    /// A database that did not stop.
    pub async fn serve(self) -> anyhow::Result<()> {
        let drained = CancellationToken::new();
        let keeping = self.postgres.map(|postgres| tokio::spawn(keep_running(postgres, drained.clone())));
        self.listeners.serve(self.router, self.admin, self.shutdown).await?;
        drained.cancel();
        match keeping {
            Some(keeping) => keeping.await?,
            None => Ok(()),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host =
            if self.address.ip().is_loopback() { "localhost".into() } else { self.address.ip().to_string() };
        let url = format!("{}://{host}:{}", self.scheme, self.address.port());
        writeln!(f, "Fechatter is ready at {url}")?;
        writeln!(f, "  API documentation  {url}{}", fechatter_server::routes::DOCS)?;
        writeln!(f, "  Event stream       {url}/api/notifications/events")?;
        writeln!(f, "  For operators      http://{}/readyz", self.admin_address)?;
        if let Some(postgres) = &self.postgres {
            writeln!(f, "  Data               {}", postgres.dir().display())?;
        }
        write!(f, "Ctrl-C stops it.")
    }
}

/// What keeps `fechatter up` from starting. It brings a database and keys where none are named.
pub(crate) fn problems_of_start(settings: &Settings) -> Problems {
    let mut problems = Problems::default();
    let mut auth = settings.auth.clone();
    if auth.private_key_file.as_os_str().is_empty() {
        let (private, public) = key_files(settings);
        if private.exists() && public.exists() {
            (auth.private_key_file, auth.public_key_file) = (private, public);
        }
    }
    if !auth.private_key_file.as_os_str().is_empty() {
        problems.note(KeyRing::read(&auth));
        problems.note(verifying_keys(&auth));
    }
    let files = file_settings(settings);
    if !settings.files.key_file.as_os_str().is_empty() || files.key_file.exists() {
        problems.note(FileKeys::read(&files));
    }
    problems.note(settings.server.tls.check());
    let database = &settings.database;
    let alone = database.url.expose_secret().is_empty() && !database.listen_url.expose_secret().is_empty();
    problems.unless(!alone, "database.listen_url is set, and database.url is not");
    problems
}

/// The private PostgreSQL.
pub(crate) async fn start_postgres(dir: PathBuf) -> anyhow::Result<LocalPostgres> {
    let options = Options { max_connections: MAX_CONNECTIONS, ..Options::durable(dir) };
    let postgres = spawn_blocking(move || LocalPostgres::start(&options)).await??;
    if let Some(wanted) = postgres.moved_from() {
        tracing::warn!(
            "{} cannot be reached by the user {} that PostgreSQL runs as; the database is in {}",
            wanted.display(),
            postgres.server_user(),
            postgres.dir().display(),
        );
    }
    Ok(postgres)
}

/// Where operators' commands find the private PostgreSQL.
pub(crate) fn database_url_file(settings: &Settings) -> PathBuf {
    settings.data_dir.join("database-url")
}

/// Writes the URL, which holds the password, for its owner alone.
fn write_database_url(settings: &Settings) -> anyhow::Result<()> {
    let file = database_url_file(settings);
    let write = || {
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        open.write_all(settings.database.url.expose_secret().as_bytes())
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Starts the private PostgreSQL again whenever it has died, until `stop`; then stops it.
async fn keep_running(mut postgres: LocalPostgres, stop: CancellationToken) -> anyhow::Result<()> {
    while stop.run_until_cancelled(sleep(LOOK_AFTER)).await.is_some() {
        postgres = spawn_blocking(move || {
            if !postgres.is_running() {
                tracing::error!(log = %postgres.log_file().display(), "PostgreSQL has died; it is started again");
                if let Err(error) = postgres.start_again() {
                    tracing::error!(%error, "PostgreSQL does not start");
                }
            }
            postgres
        })
        .await?;
    }
    spawn_blocking(move || postgres.stop()).await??;
    Ok(())
}

/// Where `fechatter up` keeps its keys: the private ones, and the public ones.
pub(crate) fn key_files(settings: &Settings) -> (PathBuf, PathBuf) {
    let dir = settings.data_dir.join("keys");
    (dir.join("signing.pem"), dir.join("verifying.pem"))
}

/// The settings of files, with the keys of `fechatter up` where none are named.
pub(crate) fn file_settings(settings: &Settings) -> FileSettings {
    let mut files = settings.files.clone();
    if files.key_file.as_os_str().is_empty() {
        files.key_file = settings.data_dir.join("keys").join("files.pem");
    }
    files
}

/// The keys of the settings, or else those of the data folder, made on the first start.
fn bring_keys(settings: &mut Settings) -> anyhow::Result<()> {
    if settings.auth.private_key_file.as_os_str().is_empty() {
        let (private, public) = key_files(settings);
        make(&private, &public)?;
        (settings.auth.private_key_file, settings.auth.public_key_file) = (private, public);
    }
    if settings.files.key_file.as_os_str().is_empty() {
        settings.files = file_settings(settings);
        make_file_keys(&settings.files.key_file)?;
    }
    verifying_keys(&settings.auth)
}

/// Refuses settings that name no public keys.
pub(crate) fn verifying_keys(auth: &AuthSettings) -> anyhow::Result<()> {
    anyhow::ensure!(
        !auth.public_key_file.as_os_str().is_empty(),
        "auth.public_key_file is not set: the event stream verifies tokens with it"
    );
    Ok(())
}

/// The event stream's settings: its own file and variables, and the database and public key of the API.
fn notify_settings(settings: &Settings) -> anyhow::Result<NotifySettings> {
    let file = Path::new("notify.yml");
    let mut notify = NotifySettings::read(file.exists().then_some(file))?;
    notify.server = settings.server.clone();
    notify.database.url = settings.database.url.clone();
    notify.database.listen_url = settings.database.listen_url.clone();
    notify.database.ca_file.clone_from(&settings.database.ca_file);
    notify.database.allow_insecure = settings.database.allow_insecure;
    notify.auth.public_key_file.clone_from(&settings.auth.public_key_file);
    notify.auth.tokens = settings.auth.tokens.clone();
    notify.limits.enabled = settings.limits.enabled;
    Ok(notify)
}
