//! The same under TLS.

use super::*;
use crate::http::tls::{
    H2,
    tests::{Files, Outcome, shake_hands},
};

async fn secure(patience: Patience, files: &Files) -> io::Result<Site> {
    Site::start_by(Door { tls: Tls::read(&files.settings)?, patience, ..Door::default() }).await
}

#[tokio::test]
async fn requests_are_answered_by_the_protocol_that_was_agreed_to() -> Outcome {
    let (files, client) = Files::make(&[H2, b"http/1.1"])?;
    let site = secure(PATIENT, &files).await?;
    let mut socket = shake_hands(&client, site.connect().await?).await?;
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(H2));
    // An empty SETTINGS frame (RFC 9113, section 6.5).
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let mut head = [0; 9];
    socket.read_exact(&mut head).await?;
    assert_eq!(head[3], 4, "the server's SETTINGS: {head:?}");
    // Requests of HTTP/1.1 were not agreed to here.
    let mut liar = shake_hands(&client, site.connect().await?).await?;
    liar.write_all(GET).await?;
    assert_eq!(closes(liar).await, "");
    drop(socket);
    site.end().await?;

    let (files, client) = Files::make(&[b"http/1.1"])?;
    let site = secure(PATIENT, &files).await?;
    let mut socket = shake_hands(&client, site.connect().await?).await?;
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    is_answered(&mut socket).await?;
    is_answered(&mut socket).await?;
    // Nothing is handed over: the rest of a stream is to be encrypted as well.
    socket.write_all(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    assert!(closes(socket).await.ends_with("no offer"));
    // Clear text is not for this port.
    let mut clear = site.connect().await?;
    clear.write_all(GET).await?;
    assert!(!closes(clear).await.contains("here"));
    Ok(site.end().await?)
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_off_and_the_others_are_served() -> Outcome {
    let (files, client) = Files::make(&[])?;
    let patience = Patience { first_bytes: SHORT, head: SHORT, ..PATIENT };
    let site = secure(patience, &files).await?;
    let silent = site.connect().await?;
    let mut begun = site.connect().await?;
    // The head of a handshake record that is to follow (RFC 8446, section 5.1).
    begun.write_all(&[22, 3, 1, 0, 200, 1]).await?;
    let shaken = shake_hands(&client, site.connect().await?).await?;
    assert_eq!(closes(silent).await, "");
    assert_eq!(closes(begun).await, "");
    // A handshake alone is as good as silence.
    assert_eq!(closes(shaken).await, "");
    let mut lively = shake_hands(&client, site.connect().await?).await?;
    is_answered(&mut lively).await?;
    drop(lively);
    Ok(site.end().await?)
}
