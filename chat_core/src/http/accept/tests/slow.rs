//! Clients that take or give too little, and those that do nothing wrong.

use futures::stream;

use super::*;

const ENDLESS: &[u8] = b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n";

/// Takes a quarter of a MiB at a time, with pauses; whether the end came before that was done so often.
async fn is_cut_off(mut socket: impl AsyncRead + Unpin, times: usize) -> bool {
    let mut buffer = vec![0; 256 * 1024];
    for _ in 0..times {
        if socket.read_exact(&mut buffer).await.is_err() {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn an_answer_that_is_taken_too_slowly_is_cut_off_and_the_others_are_served() -> io::Result<()> {
    // So much that the socket takes again and again, and nobody's pauses are long.
    let taking = Leeway { most: 4 * SHORT, rate: u32::MAX };
    let site = Site::start(Patience { taking, ..PATIENT }).await?;
    let mut lively = site.connect().await?;
    is_answered(&mut lively).await?;
    let mut slow = site.connect().await?;
    slow.write_all(ENDLESS).await?;
    assert!(is_cut_off(slow, 1_000).await);
    is_answered(&mut lively).await?;
    // The rate is all that it lacked.
    let site = Site::start(PATIENT).await?;
    let mut slow = site.connect().await?;
    slow.write_all(ENDLESS).await?;
    assert!(!is_cut_off(slow, 100).await);
    Ok(())
}

#[tokio::test]
async fn who_is_made_to_wait_for_an_answer_may_take_it() -> io::Result<()> {
    let taking = Leeway { most: SHORT, rate: u32::MAX };
    let site = Site::start(Patience { taking, ..PATIENT }).await?;
    let mut socket = site.connect().await?;
    socket.write_all(b"GET /slowly HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"0\r\n\r\n") {
        assert_ne!(socket.read_buf(&mut answer).await?, 0);
    }
    // Nor is it held against it that it asks for nothing.
    sleep(2 * SHORT).await;
    is_answered(&mut socket).await
}

#[tokio::test]
async fn haste_with_a_body_buys_no_dribbling() -> io::Result<()> {
    let site = Site::start(Patience { body: HARD, ..PATIENT }).await?;
    let mut socket = site.connect().await?;
    let head = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000";
    // At the least rate, this would take most of a minute.
    socket.write_all(format!("{head}\r\n\r\n{}", "x".repeat(50_000)).as_bytes()).await?;
    let (reading, mut writing) = socket.into_split();
    let dribbling = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    let answer = timeout(Duration::from_secs(30), closes(reading)).await.map_err(io::Error::other)?;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    dribbling.await.map_err(io::Error::other)
}

/// Bytes without an end.
pub(super) async fn endless() -> Body {
    Body::from_stream(stream::repeat_with(|| io::Result::Ok(Bytes::from_static(&[b'x'; 16 * 1024]))))
}

/// Some bytes, with pauses.
pub(super) async fn slowly() -> Body {
    Body::from_stream(stream::unfold(0, async |done| {
        sleep(SHORT).await;
        (done < 4).then(|| (io::Result::Ok(Bytes::from("some")), done + 1))
    }))
}
