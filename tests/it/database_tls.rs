//! PostgreSQL is reached by verified TLS, or not at all.

use chat_core::database::DatabaseSettings;
use fechatter_server::config::Settings;
use fechatter_tests::{
    program::Program,
    tls_postgres::{TlsPostgres, authority},
};
use secrecy::SecretString;

fn settings(url: &str) -> DatabaseSettings {
    DatabaseSettings { url: SecretString::from(url), ..Settings::read(None).expect("defaults").database }
}

/// Whether the connection that answers is encrypted; or why there is none.
async fn encrypted(settings: &DatabaseSettings) -> Result<bool, String> {
    let pool = settings.pool_of_one("test").map_err(|error| error.to_string())?;
    sqlx::query_scalar("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        .fetch_one(&pool)
        .await
        .map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_server_is_spoken_to() {
    let server = TlsPostgres::start().await;
    let strict = server.url("localhost", "sslmode=verify-full");
    let by_setting = DatabaseSettings { ca_file: server.ca_file().to_owned(), ..settings(&strict) };
    assert_eq!(encrypted(&by_setting).await, Ok(true));
    let by_url = format!("{strict}&sslrootcert={}", server.ca_file().display());
    assert_eq!(encrypted(&settings(&by_url)).await, Ok(true));

    // The doorbell's connection is held to the same.
    let listening = DatabaseSettings {
        listen_url: SecretString::from(strict.clone()),
        ..DatabaseSettings {
            url: SecretString::from(server.url("localhost", "sslmode=disable")),
            ..by_setting.clone()
        }
    };
    let listen = listening.listen_options("test").expect("options");
    sqlx::Connection::close(sqlx::ConnectOptions::connect(&listen).await.expect("TLS"))
        .await
        .expect("an end");
    let strange = authority();
    let another = server.ca_file().with_file_name("another.pem");
    std::fs::write(&another, strange.pem()).expect("a file");
    let listening = DatabaseSettings { ca_file: another.clone(), ..listening };
    let listen = listening.listen_options("test").expect("options");
    assert!(sqlx::ConnectOptions::connect(&listen).await.is_err(), "another authority");

    let another = DatabaseSettings { ca_file: another, ..settings(&strict) };
    let refused = encrypted(&another).await.expect_err("another authority");
    assert!(refused.contains("certificate"), "{refused}");
    let refused = encrypted(&settings(&strict)).await.expect_err("no public authority");
    assert!(refused.contains("certificate"), "{refused}");
    let by_address = DatabaseSettings {
        url: SecretString::from(server.url("127.0.0.1", "sslmode=verify-full")),
        ..by_setting.clone()
    };
    let refused = encrypted(&by_address).await.expect_err("a certificate for another name");
    assert!(refused.contains("certificate"), "{refused}");

    server.turn_off_tls().await;
    let refused = encrypted(&by_setting).await.expect_err("no TLS");
    assert!(refused.contains("does not support TLS"), "{refused}");
    let clear = settings(&server.url("localhost", "sslmode=disable"));
    assert_eq!(encrypted(&clear).await, Ok(false), "the server itself is well");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_reach_a_database_by_tls() {
    let server = TlsPostgres::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = server.url("localhost", "sslmode=verify-full");
    let ca_file = server.ca_file().to_str().expect("text");
    let variables = [("FECHATTER_DATABASE__URL", url.as_str()), ("FECHATTER_DATABASE__CA_FILE", ca_file)];
    let mut migrate = Program::start("fechatter", folder.path(), &["migrate"], &variables);
    assert!(tokio::task::block_in_place(|| migrate.end()).success(), "{}", migrate.said);
    let mut migrate = Program::start("fechatter", folder.path(), &["migrate"], &variables[..1]);
    assert!(!tokio::task::block_in_place(|| migrate.end()).success());
    assert!(migrate.said.contains("certificate"), "{}", migrate.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_in_clear_text_stops_every_start() {
    let folder = tempfile::tempdir().expect("a folder");
    // Never looked up: it is refused before.
    let remote = "postgres://ann:s3cret@db.invalid/fechatter?sslmode=prefer";
    let local = "postgres://127.0.0.1:1/fechatter";
    let starts: [(&str, &[&str], &str, &str); 7] = [
        ("fechatter", &["up"], "FECHATTER", "URL"),
        ("fechatter", &["migrate"], "FECHATTER", "URL"),
        ("fechatter", &["user", "list"], "FECHATTER", "URL"),
        ("fechatter_server", &[], "FECHATTER", "URL"),
        ("fechatter_server", &[], "FECHATTER", "LISTEN_URL"),
        ("notify_server", &[], "NOTIFY", "URL"),
        ("notify_server", &[], "NOTIFY", "LISTEN_URL"),
    ];
    for (name, arguments, prefix, setting) in starts {
        let named = |key: &str| format!("{prefix}_DATABASE__{key}");
        let url = if setting == "URL" { remote } else { local };
        let variables = [
            (format!("{prefix}_SERVER__PORT"), "0"),
            (format!("{prefix}_SERVER__ADMIN_PORT"), "0"),
            (named("URL"), url),
            (named("LISTEN_URL"), remote),
        ];
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut program = Program::start(name, folder.path(), arguments, &variables);
        let status = tokio::task::block_in_place(|| program.end());
        assert!(!status.success(), "{name}: {}", program.said);
        assert!(program.said.contains("sslmode=verify-full"), "{name}: {}", program.said);
        assert!(program.said.contains(&format!("database.{}", setting.to_lowercase())), "{}", program.said);
        assert!(!program.said.contains("s3cret"), "{name}: {}", program.said);
    }
}
