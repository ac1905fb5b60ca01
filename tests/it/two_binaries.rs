//! The two servers as programs of their own.

use std::net::SocketAddr;

use fechatter_server::{auth::issuer::make_key_files, vault::ring::make_file_keys};
use fechatter_tests::{Actor, cluster, program::Program};
use nix::sys::signal::Signal;
use serde_json::json;

/// The addresses in the line that says where it listens.
fn clients(program: &mut Program) -> SocketAddr {
    let line = tokio::task::block_in_place(|| program.until("listening"));
    let log: serde_json::Value = serde_json::from_str(&line).expect("JSON logs when not at a terminal");
    log["clients"].as_str().expect("an address").parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn they_serve_one_database_and_notify_needs_only_the_public_key() {
    let url = cluster::owned_database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (private, public) = make_key_files(&folder.path().join("keys")).expect("keys");
    let file_keys = folder.path().join("keys").join("files.pem");
    make_file_keys(&file_keys).expect("keys");
    let secret = |name: &str, url: String| {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("{url}\n")).expect("a file");
        file.to_str().expect("text").to_owned()
    };
    let owner = secret("owner-url", url.clone());
    let rest = secret("rest-url", cluster::as_role("fechatter_server", &url));
    let notify = secret("notify-url", cluster::as_role("notify_server", &url));

    let rest_settings = [
        ("FECHATTER_SERVER__PORT", "0"),
        ("FECHATTER_SERVER__ADMIN_PORT", "0"),
        ("FECHATTER_DATABASE__URL_FILE", rest.as_str()),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", private.to_str().expect("text")),
        ("FECHATTER_FILES__KEY_FILE", file_keys.to_str().expect("text")),
    ];
    let as_owner = [("FECHATTER_DATABASE__URL_FILE", owner.as_str())];
    let mut migrate = Program::start("fechatter", folder.path(), &["migrate"], &as_owner);
    assert!(tokio::task::block_in_place(|| migrate.end()).success(), "{}", migrate.said);
    let mut rest = Program::start("fechatter_server", folder.path(), &[], &rest_settings);
    let rest_address = clients(&mut rest);

    // The public key alone, in a folder without the private one.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let copy = elsewhere.path().join("verifying.pem");
    std::fs::copy(&public, &copy).expect("a copy");
    let notify_settings = [
        ("NOTIFY_SERVER__PORT", "0"),
        ("NOTIFY_SERVER__ADMIN_PORT", "0"),
        ("NOTIFY_DATABASE__URL_FILE", notify.as_str()),
        ("NOTIFY_AUTH__PUBLIC_KEY_FILE", copy.to_str().expect("text")),
    ];
    let mut notify = Program::start("notify_server", elsewhere.path(), &[], &notify_settings);
    let notify_address = clients(&mut notify);

    let anonymous = Actor::anonymous_at(rest_address, notify_address);
    let body = json!({ "email": "ann@example.com", "password": "a long enough phrase", "full_name": "ann" });
    let session = anonymous.post("/api/auth/signup", body).await.expect(201);
    let ann = anonymous.with_token(session["token"].as_str().expect("a token"));
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let mut stream = ann.stream(None).await;
    ann.send(&chat, "over two programs").await;
    let first = stream.expect_message("over two programs").await;

    // Across a kill -9 of the stream's server, nothing is lost.
    notify.signal(Signal::SIGKILL);
    tokio::task::block_in_place(|| notify.end());
    ann.send(&chat, "meanwhile").await;
    let mut notify = Program::start("notify_server", elsewhere.path(), &[], &notify_settings);
    let notify_address = clients(&mut notify);
    let mut stream = ann.at(rest_address, notify_address).stream(Some(&first.id)).await;
    stream.expect_message("meanwhile").await;

    for mut program in [rest, notify] {
        program.signal(Signal::SIGTERM);
        let status = tokio::task::block_in_place(|| program.end());
        assert!(status.success(), "{}", program.said);
        assert!(!program.said.contains("permission denied"), "{}", program.said);
        for secret in [
            "a long enough phrase",
            "ann@example.com",
            "meanwhile",
            session["token"].as_str().expect("a token"),
        ] {
            assert!(!program.said.contains(secret), "the logs hold {secret}");
        }
    }
}
