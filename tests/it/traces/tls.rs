//! A collector behind TLS, and whose certificates are believed.

use std::net::SocketAddr;

use axum::Router;
use chat_core::http::listen::Listeners;
use fechatter_server::config::Settings;
use fechatter_tests::{certificate::Certificate, program::Program};
use nix::sys::signal::Signal;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::{Collector, sign_up, up, up_to};

/// A machine that trusts nobody.
const NOBODY: [(&str, &str); 2] = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];
/// Spans are sent at the end alone, unless they are sent before it.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

/// A collector with this certificate, which is for `localhost`.
fn listen(certificate: &Certificate) -> (Collector, SocketAddr) {
    let (collector, router) = Collector::new();
    let mut settings = Settings::read(None).expect("defaults");
    settings.server.port = 0;
    settings.server.admin_port = 0;
    settings.server.tls = certificate.settings();
    let listeners = Listeners::bind(&settings.server, settings.limits.clients()).expect("a free port");
    let address = listeners.clients.local_addr().expect("bound");
    tokio::spawn(listeners.serve(router, Router::new(), CancellationToken::new()));
    (collector, address)
}

/// Signs up under these settings, and ends; answers what the program said.
async fn live(endpoint: &str, settings: &[(&str, &str)]) -> String {
    let mut up = up_to(endpoint, &[settings, &[SOON]].concat()).await;
    sign_up(&up.anonymous).await;
    up.program.signal(Signal::SIGTERM);
    assert!(block_in_place(|| up.program.end()).success(), "{}", up.program.said);
    up.program.said.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_a_collector_by_tls_if_its_certificate_is_believed() {
    let (certificate, another) = (Certificate::make(), Certificate::make());
    let (file, others) = (certificate.settings().certificate_file, another.settings().certificate_file);
    let (file, others) = (file.to_str().expect("text"), others.to_str().expect("text"));
    let (collector, address) = listen(&certificate);
    let by_name = format!("https://localhost:{}", address.port());

    // Named by the settings, or trusted by the machine.
    for authority in ["FECHATTER_TELEMETRY__CA_FILE", "SSL_CERT_FILE"] {
        live(&by_name, &[(authority, file)]).await;
        assert!(
            collector.spans().iter().any(|(_, span)| span.name == "POST /api/auth/signup"),
            "{authority}"
        );
        collector.bodies.lock().expect("no panic").clear();
    }
    // The settings' authority is the only one.
    for (endpoint, settings) in [
        (by_name.as_str(), vec![("FECHATTER_TELEMETRY__CA_FILE", others), ("SSL_CERT_FILE", file)]),
        (&by_name, vec![("SSL_CERT_FILE", others)]),
        (&format!("https://{address}"), vec![("FECHATTER_TELEMETRY__CA_FILE", file)]),
    ] {
        let said = live(endpoint, &settings).await;
        assert!(collector.spans().is_empty(), "{endpoint} {settings:?}");
        assert!(said.contains("invalid peer certificate"), "nobody is told why: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_trusts_nobody_sends_in_clear_text_and_refuses_tls() {
    let (collector, address) = Collector::start().await;
    let mut up = up(address, &[NOBODY.as_slice(), &[SOON]].concat()).await;
    sign_up(&up.anonymous).await;
    collector.until(|span| span.name == "POST /api/auth/signup").await;
    up.program.signal(Signal::SIGTERM);
    assert!(block_in_place(|| up.program.end()).success(), "{}", up.program.said);

    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = ("FECHATTER_TELEMETRY__OTLP_ENDPOINT", "https://localhost:1");
    let no_pem = folder.path().join("no.pem");
    std::fs::write(&no_pem, "no certificate").expect("a file");
    let no_pem = no_pem.to_str().expect("text");
    for (settings, mark) in [
        ([NOBODY.as_slice(), &[endpoint]].concat(), "No CA certificates"),
        (vec![endpoint, ("FECHATTER_TELEMETRY__CA_FILE", "/nowhere")], "telemetry.ca_file, /nowhere"),
        (vec![endpoint, ("FECHATTER_TELEMETRY__CA_FILE", no_pem)], "holds no certificate"),
    ] {
        let mut check = Program::start("fechatter", folder.path(), &["config", "check"], &settings);
        assert!(!block_in_place(|| check.end()).success(), "{settings:?}");
        assert!(check.said.contains(mark), "{settings:?}: {}", check.said);
    }
}
