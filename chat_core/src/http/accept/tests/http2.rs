//! The same over HTTP/2, frame by frame (RFC 9113).

use super::*;

pub(super) mod slow;

/// Types of frames, and what some of them say.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The last four bytes of the first eight: the code of a `GOAWAY`, or all of a `RST_STREAM`.
    fn code(&self) -> u32 {
        let start = if self.kind == GOAWAY { 4 } else { 0 };
        self.payload[start..start + 4].iter().fold(0, |code, byte| code << 8 | u32::from(*byte))
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(site: &Site) -> io::Result<Self> {
        let mut client = Self(site.connect().await?);
        client.0.set_nodelay(true)?;
        client.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        client.send(&frame(SETTINGS, 0, 0, &[])).await?;
        Ok(client)
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// The next frame; none at the end, whether in peace or not.
    async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// The next frame of a kind on a stream; none at the end.
    async fn until(&mut self, kind: u8, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if (frame.kind, frame.stream) == (kind, stream) {
                return Some(frame);
            }
        }
    }

    /// What it was told at the end, which must come.
    async fn ended(mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// The fields of `GET <path>` (RFC 7541: three of the static table, and two literals).
fn fields(path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap_or_default();
    [&[0x82, 0x86, 0x04, length], path.as_bytes(), &[0x41, 1, b'x']].concat()
}

fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields(path))
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

async fn is_served(site: &Site) -> io::Result<()> {
    is_answered(&mut site.connect().await?).await?;
    let mut client = Client::connect(site).await?;
    client.send(&request(1, "/")).await?;
    let data = client.until(DATA, 1).await;
    assert_eq!(data.map(|frame| frame.payload).as_deref(), Some(&b"here"[..]));
    Ok(())
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_and_those_before_it_go_on() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let mut client = Client::connect(&site).await?;
    for stream in (1..200).step_by(2) {
        client.send(&request(stream, "/wait")).await?;
    }
    client.send(&request(201, "/")).await?;
    let refused = client.until(RST_STREAM, 201).await.map(|frame| frame.code());
    assert_eq!(refused, Some(REFUSED_STREAM));
    // One of them less, and there is room.
    client.send(&[reset(1), request(203, "/")].concat()).await?;
    let data = client.until(DATA, 203).await;
    assert_eq!(data.map(|frame| frame.payload).as_deref(), Some(&b"here"[..]));
    is_served(&site).await
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let mut client = Client::connect(&site).await?;
    let flood: Vec<_> =
        (1..120).step_by(2).flat_map(|stream| [request(stream, "/wait"), reset(stream)].concat()).collect();
    // The connection may end before all of it is written.
    let _ = client.send(&flood).await;
    assert_eq!(client.ended().await, Some(ENHANCE_YOUR_CALM));
    is_served(&site).await
}

#[tokio::test]
async fn requests_that_are_taken_back_one_by_one_end_the_connection_too() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let mut client = Client::connect(&site).await?;
    let mut taken_back = 0;
    for stream in (1..2_000).step_by(2) {
        // Its answer to the ping says that it has seen the request.
        let ping = frame(PING, 0, 0, &u64::from(stream).to_be_bytes());
        if client.send(&[request(stream, "/wait"), ping].concat()).await.is_err()
            || client.until(PING, 0).await.is_none()
            || client.send(&reset(stream)).await.is_err()
        {
            break;
        }
        taken_back += 1;
    }
    assert!((80..200).contains(&taken_back), "{taken_back}");
    is_served(&site).await
}

#[tokio::test]
async fn floods_of_frames_that_carry_nothing_end_the_connection() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    for (kind, payload) in [(SETTINGS, &[][..]), (PING, &[0; 8]), (99, &[1])] {
        let client = Client::connect(&site).await?;
        let (mut reading, mut writing) = client.0.into_split();
        let flood = frame(kind, 0, 0, payload).repeat(5_000);
        let flooding = tokio::spawn(async move { writing.write_all(&flood).await });
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = reading.read_to_end(&mut rest).await;
        drop(flooding.await);
        is_served(&site).await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_asks_for_nothing_or_dribbles_a_head_is_cut_off() -> io::Result<()> {
    let site = Site::start(Patience { head: SHORT, ..PATIENT }).await?;
    let silent = Client::connect(&site).await?;
    let mut dribbling = Client::connect(&site).await?;
    let mut lively = Client::connect(&site).await?;
    lively.send(&request(1, "/")).await?;
    lively.until(DATA, 1).await;
    dribbling.send(&frame(HEADERS, END_STREAM, 1, &fields("/"))).await?;
    dribbling.send(&frame(CONTINUATION, 0, 1, &[])).await?;
    silent.ended().await;
    dribbling.ended().await;
    // The limit is on heads: who has asked and been answered may wait.
    sleep(2 * SHORT).await;
    lively.send(&request(3, "/")).await?;
    assert!(lively.until(DATA, 3).await.is_some());
    is_served(&site).await
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_in_the_end_and_one_with_them_is_not() -> io::Result<()> {
    let site = Site::start(Patience { idle: SHORT, ..PATIENT }).await?;
    let (mut idle, mut busy) = (Client::connect(&site).await?, Client::connect(&site).await?);
    idle.send(&request(1, "/")).await?;
    idle.until(DATA, 1).await;
    busy.send(&request(1, "/wait")).await?;
    assert_eq!(idle.ended().await, Some(0));
    busy.send(&request(3, "/")).await?;
    assert!(busy.until(DATA, 3).await.is_some());
    Ok(())
}

#[tokio::test]
async fn a_head_of_300_kb_is_refused() -> io::Result<()> {
    let site = Site::start(PATIENT).await?;
    let mut client = Client::connect(&site).await?;
    // A literal with a name and a value of so many bytes, in pieces of the largest size (RFC 7541, section 6.2.2).
    let mut block = fields("/");
    block.extend([0, 1, b'x', 127, 0xe1, 0xa6, 18]);
    block.extend(repeat_n(b'x', 300_000));
    let mut bytes = Vec::new();
    for (i, piece) in block.chunks(16_384).enumerate() {
        let kind = if i == 0 { HEADERS } else { CONTINUATION };
        bytes.extend(frame(kind, if i == 0 { END_STREAM } else { 0 }, 1, piece));
    }
    let _ = client.send(&bytes).await;
    assert!(client.ended().await.is_some());
    is_served(&site).await
}

#[tokio::test]
async fn a_body_that_stalls_is_cut_off() -> io::Result<()> {
    let site = Site::start(Patience { body: HARD, ..PATIENT }).await?;
    let mut client = Client::connect(&site).await?;
    let mut block = vec![0x83, 0x86, 0x04, 5];
    block.extend(b"/body\x41\x01x");
    // `content-type: application/json`, by the name in the static table.
    block.extend(b"\x0f\x10\x10application/json");
    client.send(&frame(HEADERS, END_HEADERS, 1, &block)).await?;
    client.send(&frame(DATA, 0, 1, b"{")).await?;
    let answer = client.until(DATA, 1).await.map(|frame| frame.payload).unwrap_or_default();
    assert!(String::from_utf8_lossy(&answer).contains(r#""code":"too_slow""#));
    client.send(&request(3, "/")).await?;
    assert!(client.until(DATA, 3).await.is_some());
    Ok(())
}
