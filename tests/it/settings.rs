//! Settings that cannot be meant stop the start with a line, and nothing that is secret is ever printed.

use std::{fs, os::unix::fs::PermissionsExt};

use fechatter_server::{auth::issuer::make_key_files, vault::ring::make_file_keys};
use fechatter_tests::{cluster, program::Program};
use serde_json::Value;
use tempfile::TempDir;

/// What a program says about settings that are not good, on the lines that are its own.
fn refused(folder: &TempDir, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut program = Program::start(program, folder.path(), arguments, variables);
    let status = tokio::task::block_in_place(|| program.end());
    assert!(!status.success(), "{variables:?}: {}", program.said);
    program.said.clone()
}

fn check(folder: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let arguments: Vec<_> = ["config", "check"].iter().chain(arguments).copied().collect();
    let mut program = Program::start("fechatter", folder.path(), &arguments, variables);
    let status = tokio::task::block_in_place(|| program.end());
    (status.success(), program.said.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_stops_the_servers_and_the_check_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (private, public) = make_key_files(&folder.path().join("keys")).expect("keys");
    let file_keys = folder.path().join("keys").join("files.pem");
    make_file_keys(&file_keys).expect("keys");
    let open = folder.path().join("open.pem");
    fs::copy(&private, &open).expect("a copy");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("permissions");
    let nonsense = folder.path().join("nonsense.pem");
    fs::write(&nonsense, "nonsense").expect("a file");
    fs::set_permissions(&nonsense, fs::Permissions::from_mode(0o600)).expect("permissions");
    let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let (private, public, open, nonsense) = (text(&private), text(&public), text(&open), text(&nonsense));
    let file_keys = text(&file_keys);
    let local = "postgres://127.0.0.1:1/x";
    let rest = [
        ("FECHATTER_SERVER__PORT", "0"),
        ("FECHATTER_SERVER__ADMIN_PORT", "0"),
        ("FECHATTER_DATABASE__URL", local),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", &private),
        ("FECHATTER_AUTH__PUBLIC_KEY_FILE", &public),
        ("FECHATTER_FILES__KEY_FILE", &file_keys),
    ];
    let notify = [
        ("NOTIFY_SERVER__PORT", "0"),
        ("NOTIFY_SERVER__ADMIN_PORT", "0"),
        ("NOTIFY_DATABASE__URL", local),
        ("NOTIFY_AUTH__PUBLIC_KEY_FILE", &public),
    ];
    let wrong = [
        ("FECHATTER_DATABASE__URL", "", "database.url is not set"),
        ("FECHATTER_DATABASE__URL", "postgres://db.invalid/x", "sslmode=verify-full"),
        ("FECHATTER_DATABASE__CA_FILE", "/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("FECHATTER_DATABASE__ALLOW_INSECURE", "perhaps", "allow_insecure"),
        ("FECHATTER_DATABASE__STATEMENT_TIMEOUT_S", "0", "database.statement_timeout_s"),
        ("FECHATTER_DATABASE__MAX_CONNECTIONS", "0", "database.max_connections"),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", "", "auth.private_key_file is not set"),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", "/nowhere/key", "/nowhere/key"),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", &open, "open to others"),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", &nonsense, "not an Ed25519 key"),
        ("FECHATTER_AUTH__PUBLIC_KEY_FILE", &private, "does not hold an Ed25519 public key"),
        ("FECHATTER_AUTH__ACCESS_TOKEN_MINUTES", "0", "auth.access_token_minutes"),
        ("FECHATTER_AUTH__ARGON2_MEMORY_KIB", "0", "auth.argon2_memory_kib"),
        ("FECHATTER_AUTH__TOKENS__ISSUER", "", "auth.tokens.issuer"),
        ("FECHATTER_LIMITS__REQUEST_S", "0", "limits.request_s"),
        ("FECHATTER_LOG__FILTER", "a=b=c", "log.filter"),
        ("FECHATTER_SERVER__HOSTS", "x", "hosts"),
        ("FECHATTER_FILES__KEY_FILE", "", "files.key_file is not set"),
        ("FECHATTER_FILES__KEY_FILE", &open, "open to others"),
        ("FECHATTER_FILES__KEY_FILE", &private, "are not what `fechatter keys files make` makes"),
        ("FECHATTER_FILES__NEW_KEY_DELAY_S", "86401", "files.new_key_delay_s"),
        ("FECHATTER_FILES__S3__BUCKET", "files", "files.s3.access_key_id"),
        ("FECHATTER_SERVER__TLS__KEY_FILE", &private, "belong together"),
        ("NOTIFY_SERVER__TLS__KEY_FILE", &private, "belong together"),
        ("NOTIFY_DATABASE__URL", "", "database.url is not set"),
        ("NOTIFY_DATABASE__LOCK_TIMEOUT_S", "0", "database.lock_timeout_s"),
        ("NOTIFY_AUTH__PUBLIC_KEY_FILE", "", "auth.public_key_file is not set"),
        ("NOTIFY_AUTH__PUBLIC_KEY_FILE", "/nowhere/key", "/nowhere/key"),
        ("NOTIFY_STREAM__QUEUE_BYTES", "0", "stream.queue_bytes"),
        ("NOTIFY_STREAM__QUEUE_BITS", "1", "queue_bits"),
    ];
    for (name, value, mark) in wrong {
        let (program, others) = match name.split('_').next() {
            Some("NOTIFY") => ("notify_server", &notify[..]),
            _ => ("fechatter_server", &rest[..]),
        };
        let mut variables: Vec<_> = others.iter().filter(|(other, _)| *other != name).copied().collect();
        let (fine, said) = check(&folder, &[program], others);
        assert!(fine, "the others alone are fine: {said}");
        variables.push((name, value));
        let said = refused(&folder, program, &[], &variables);
        let line = said.lines().find(|line| line.starts_with(&format!("{program}: "))).unwrap_or_default();
        assert!(line.contains(mark), "{name}={value}: {said}");
        let (fine, said) = check(&folder, &[program], &variables);
        assert!(!fine && said.lines().any(|line| line.contains(mark)), "{name}={value}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_lists_every_problem_and_shows_settings_without_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fine, said) = check(&folder, &[], &[]);
    assert!(fine && said.contains("The settings are fine."), "{said}");

    // What `up` would not start with either.
    let alone = ("FECHATTER_DATABASE__LISTEN_URL", "postgres://127.0.0.1:1/x");
    assert!(check(&folder, &[], &[alone]).1.contains("database.url is not"));
    assert!(refused(&folder, "fechatter", &["up"], &[alone]).contains("database.url is not"));

    let pair = [
        ("FECHATTER_SERVER__TLS__CERTIFICATE_FILE", "/nowhere/tls.pem"),
        ("FECHATTER_SERVER__TLS__KEY_FILE", "/nowhere/tls.key"),
    ];
    assert!(check(&folder, &[], &pair).1.contains("/nowhere/tls."));
    assert!(refused(&folder, "fechatter", &["up"], &pair).contains("/nowhere/tls."));

    let broken = "server: {drain_s: 100000}\nlimits: {request_s: 0}\n";
    fs::write(folder.path().join("app.yml"), broken).expect("a file");
    let (fine, said) = check(&folder, &[], &[]);
    assert!(!fine && said.contains("server.drain_s") && said.contains("limits.request_s"), "{said}");
    assert!(said.contains("there are 2 problems"), "{said}");
    fs::write(folder.path().join("app.yml"), "server: {prot: 1}\n").expect("a file");
    let (fine, said) = check(&folder, &[], &[]);
    assert!(!fine && said.contains("prot"), "{said}");
    fs::remove_file(folder.path().join("app.yml")).expect("our file");

    let variables = [
        ("FECHATTER_DATABASE__URL", "postgres://ann:s3cret@localhost/x"),
        ("FECHATTER_DATABASE__LISTEN_URL", "postgres://ann:s3cret@localhost/x"),
        ("FECHATTER_SERVER__DRAIN_S", "7"),
        ("FECHATTER_SERVER_PORT", "7777"),
    ];
    let (fine, said) = check(&folder, &["--show"], &variables);
    assert!(fine, "{said}");
    assert!(said.contains("FECHATTER_SERVER__DRAIN_S=7\n"), "{said}");
    assert!(said.contains("FECHATTER_DATABASE__URL=[hidden]\n"), "{said}");
    assert!(said.contains("NOTIFY_STREAM__HEARTBEAT_S=25\n"), "{said}");
    assert!(said.contains("FECHATTER_SERVER_PORT is no setting"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    let arguments = ["config", "check", "--show", "--json"];
    let mut program = Program::start("fechatter", folder.path(), &arguments, &variables);
    assert!(tokio::task::block_in_place(|| program.end()).success(), "{}", program.said);
    let shown: Value = serde_json::from_str(&program.printed).expect("JSON");
    assert_eq!(shown["FECHATTER"]["server"]["drain_s"], 7);
    assert_eq!(shown["FECHATTER"]["database"]["url"], "[hidden]");
}

/// At the most talkative level, with a password that PostgreSQL refuses, and with URLs of no use.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_printed_at_any_level() {
    let url = cluster::fresh_database().await;
    let (_, place) = url.split_once('@').expect("a user");
    let wrong_password = format!("postgres://fechatter_server:s3cret@{place}");
    let right = url.split(':').nth(2).and_then(|rest| rest.split('@').next()).expect("a password");
    let folder = tempfile::tempdir().expect("a folder");
    for url in [
        url.as_str(),
        &wrong_password,
        "postgres://ann:s3cret@localhost:1/x?passwrod=s3cret",
        "postgres://ann:s3cret#@localhost/x",
        "postgres://ann:s3cret@db.invalid/x",
        "s3cret",
    ] {
        let variables = [("FECHATTER_DATABASE__URL", url), ("RUST_LOG", "trace")];
        for arguments in [&["migrate"][..], &["user", "list"], &["config", "check", "--show"], &["doctor"]] {
            let mut program = Program::start("fechatter", folder.path(), arguments, &variables);
            tokio::task::block_in_place(|| program.end());
            for secret in ["s3cret", right] {
                assert!(!program.said.contains(secret), "{arguments:?}: {}", program.said);
            }
        }
    }
}
