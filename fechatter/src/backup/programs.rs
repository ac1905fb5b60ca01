//! PostgreSQL's client programs.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use chat_core::database::DatabaseSettings;
use local_postgres::find_client;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use tokio::{process::Command, time::interval};
use url::Url;

/// How often to look how far it has come.
const LOOK: Duration = Duration::from_millis(200);
/// What libpq takes from a URL (PostgreSQL manual, section 34.1.2), and other names that sqlx has for it.
const PARAMETERS: [(&str, &str); 15] = [
    ("host", "host"),
    ("hostaddr", "hostaddr"),
    ("port", "port"),
    ("dbname", "dbname"),
    ("user", "user"),
    ("options", "options"),
    ("sslmode", "sslmode"),
    ("ssl-mode", "sslmode"),
    ("sslrootcert", "sslrootcert"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("sslcert", "sslcert"),
    ("ssl-cert", "sslcert"),
    ("sslkey", "sslkey"),
    ("ssl-key", "sslkey"),
];

/// A program that works on the database.
pub(super) struct Client {
    name: &'static str,
    command: Command,
}

impl Client {
    /// Finds it.
    pub(super) fn find(
        name: &'static str,
        server_major: u32,
        database: &DatabaseSettings,
    ) -> anyhow::Result<Self> {
        let (url, password) = split(database.url.expose_secret()).context("database.url is not a URL")?;
        let mut command = Command::new(find_client(name, server_major)?);
        command.arg(format!("--dbname={url}"));
        if !database.ca_file.as_os_str().is_empty() {
            command.env("PGSSLROOTCERT", &database.ca_file);
        }
        // Only its owner can read a process's variables; anybody its command line.
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(Self { name, command })
    }

    /// Further arguments.
    pub(super) fn arguments<T: Into<String>>(&mut self, arguments: impl IntoIterator<Item = T>) {
        self.command.args(arguments.into_iter().map(Into::into));
    }

    /// Runs it to its end, looking now and then.
    pub(super) async fn run(mut self, mut look: impl FnMut()) -> anyhow::Result<()> {
        let child = self.command.spawn().with_context(|| format!("{} does not start", self.name))?;
        let mut ended = Box::pin(child.wait_with_output());
        let mut looks = interval(LOOK);
        let output = loop {
            tokio::select! {
                output = &mut ended => break output?,
                _ = looks.tick() => look(),
            }
        };
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", self.name, said.trim());
        Ok(())
    }
}

/// The URL without its password and as libpq understands it, and the password.
fn split(url: &str) -> Option<(Url, Option<String>)> {
    let mut url = Url::parse(url).ok()?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut password = url.password().map(decoded);
    // A URL of a socket has no place for one.
    if password.is_some() {
        url.set_password(None).ok()?;
    }
    let mut kept = Vec::new();
    for (name, value) in url.query_pairs() {
        if name == "password" {
            password = Some(value.into_owned());
        } else if let Some((_, libpq)) = PARAMETERS.iter().find(|(ours, _)| *ours == name) {
            kept.push((*libpq, value.into_owned()));
        }
    }
    // libpq does not take `+` for a space.
    let kept: Vec<_> = kept
        .iter()
        .map(|(name, value)| {
            format!(
                "{name}={}",
                percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC)
            )
        })
        .collect();
    url.set_query((!kept.is_empty()).then(|| kept.join("&")).as_deref());
    Some((url, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_leaves_the_url() {
        let split = |url| split(url).map(|(url, password)| (url.to_string(), password));
        assert_eq!(
            split("postgres://ann:p%40ss%20w@db.example.com:5433/chat?sslmode=verify-full&ssl-ca=/a%20b/ca.crt"),
            Some((
                "postgres://ann@db.example.com:5433/chat?sslmode=verify%2Dfull&sslrootcert=%2Fa%20b%2Fca%2Ecrt".into(),
                Some("p@ss w".into())
            ))
        );
        assert_eq!(
            split("postgres:///chat?host=/run/postgresql&password=secret&statement-cache-capacity=1"),
            Some(("postgres:///chat?host=%2Frun%2Fpostgresql".into(), Some("secret".into())))
        );
        assert_eq!(split("postgres://localhost/chat"), Some(("postgres://localhost/chat".into(), None)));
        assert_eq!(split("nonsense"), None);
    }
}
