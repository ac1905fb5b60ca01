//! Clients that keep their windows shut.

use super::*;

const WINDOW_UPDATE: u8 = 8;
/// Bytes of `/page`.
const PAGE: usize = 200_000;

/// A client whose windows are of so many bytes at first.
async fn with_windows(site: &Site, bytes: u32) -> io::Result<Client> {
    let mut client = Client::connect(site).await?;
    // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, section 6.5.2).
    let setting = [&[0, 4], &bytes.to_be_bytes()[..]].concat();
    client.send(&frame(SETTINGS, 0, 0, &setting)).await?;
    Ok(client)
}

fn window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// The next frame, which must come long before that.
async fn next(client: &mut Client) -> io::Result<Frame> {
    let frame = timeout(Duration::from_secs(30), client.next()).await?;
    frame.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// What came of a stream's body, and the code of its reset if that was its end.
async fn outcome(client: &mut Client, stream: u32) -> io::Result<(usize, Option<u32>)> {
    let mut bytes = 0;
    loop {
        let frame = next(client).await?;
        if frame.stream != stream {
            assert_ne!(frame.kind, RST_STREAM, "another stream, {}", frame.stream);
            continue;
        }
        match frame.kind {
            RST_STREAM => return Ok((bytes, Some(frame.code()))),
            DATA => bytes += frame.payload.len(),
            _ => {}
        }
        if frame.kind == DATA && frame.flags & END_STREAM != 0 {
            return Ok((bytes, None));
        }
    }
}

#[tokio::test]
async fn answers_whose_windows_stay_shut_are_taken_back_and_their_connection_goes_on() -> io::Result<()> {
    let site = Site::start(Patience { stream: HARD, ..PATIENT }).await?;
    let mut client = with_windows(&site, 0).await?;
    let paths = ["/", "/page", "/endless"];
    for (stream, path) in (1..200).step_by(2).zip(paths.into_iter().cycle()) {
        client.send(&request(stream, path)).await?;
    }
    for _ in 0..100 {
        let taken_back = loop {
            let frame = next(&mut client).await?;
            assert_ne!(frame.kind, DATA);
            if frame.kind == RST_STREAM {
                break frame.code();
            }
        };
        assert_eq!(taken_back, CANCEL);
        // It shows signs of life all the time.
        client.send(&frame(PING, 0, 0, &[0; 8])).await?;
    }
    client.send(&[request(201, "/"), window(201, 100)].concat()).await?;
    assert_eq!(outcome(&mut client, 201).await?, (4, None));
    is_served(&site).await
}

#[tokio::test]
async fn answers_that_are_begun_and_left_or_taken_byte_by_byte_are_taken_back_too() -> io::Result<()> {
    let site = Site::start(Patience { stream: HARD, ..PATIENT }).await?;
    // All but the last byte leaves nothing to be given out.
    for left in [1, 20_000, u32::try_from(PAGE).unwrap_or_default() - 1] {
        for path in ["/page", "/page/streamed"] {
            let mut client = with_windows(&site, left).await?;
            client.send(&[window(0, 1_000_000), request(1, path)].concat()).await?;
            assert_eq!(outcome(&mut client, 1).await?, (left as usize, Some(CANCEL)), "{path}");
        }
    }
    let mut client = with_windows(&site, 1).await?;
    client.send(&request(1, "/page")).await?;
    let mut taken = 0;
    // A byte for each that comes.
    loop {
        let frame = next(&mut client).await?;
        if frame.kind == RST_STREAM {
            break;
        }
        taken += frame.payload.len() * usize::from(frame.kind == DATA);
        assert!(taken < 800, "several times as much as a client may take");
        sleep(Duration::from_millis(1)).await;
        client.send(&window(1, 1)).await?;
    }
    is_served(&site).await
}

#[tokio::test]
async fn who_takes_an_answer_little_by_little_gets_all_of_it() -> io::Result<()> {
    let patient = Leeway { most: Duration::from_secs(3), rate: 1024 };
    let site = Site::start(Patience { stream: patient, ..PATIENT }).await?;
    let mut client = with_windows(&site, 0).await?;
    client.send(&[window(0, 1_000_000), request(1, "/page/streamed"), request(3, "/page")].concat()).await?;
    let (mut reading, mut writing) = client.0.into_split();
    let opening = tokio::spawn(async move {
        for _ in 0..14 {
            sleep(Duration::from_millis(250)).await;
            writing.write_all(&[window(1, 15_000), window(3, 15_000)].concat()).await?;
        }
        io::Result::Ok(writing)
    });
    let mut bytes = Vec::new();
    while bytes.len() < 2 * PAGE {
        assert_ne!(reading.read_buf(&mut bytes).await?, 0);
    }
    drop(opening.await);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_says_nothing_goes_on_and_one_that_is_not_read_ends() -> io::Result<()> {
    let site = Site::start(Patience { stream: HARD, ..PATIENT }).await?;
    let mut client = Client::connect(&site).await?;
    client.send(&[request(1, "/quiet"), request(3, "/slowly")].concat()).await?;
    // It takes several times as long as a client may.
    assert_eq!(outcome(&mut client, 3).await?, (16, None));
    client.send(&request(5, "/endless")).await?;
    assert_eq!(outcome(&mut client, 5).await?, (65_535 - 4 - 16, Some(CANCEL)));
    Ok(())
}

/// Bytes in one piece.
pub(in super::super) async fn page() -> Body {
    Body::from(vec![b'x'; PAGE])
}

/// The same, in several and of a length that is not told before.
pub(in super::super) async fn streamed() -> Body {
    let pieces = vec![b'x'; PAGE].chunks(30_000).map(Bytes::copy_from_slice).collect::<Vec<_>>();
    Body::from_stream(futures::stream::iter(pieces.into_iter().map(io::Result::Ok)))
}

/// Something, and then nothing for ever.
pub(in super::super) async fn quiet() -> Body {
    let first = futures::stream::once(async { io::Result::Ok(Bytes::from("some")) });
    Body::from_stream(futures::StreamExt::chain(first, futures::stream::pending()))
}
