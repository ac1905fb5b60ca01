//! Requests, as the bytes that go out.

use std::sync::Arc;

use chat_core::ids::ChatId;
use uuid::Uuid;

/// Where the stream is.
const EVENTS: &str = "/api/notifications/events";
/// Digits of a message's number.
const DIGITS: usize = 12;
/// Where a number will stand.
const ZEROS: &str = "000000000000";
/// What a message says behind its number: together 80 bytes.
const WORDS: &str = " Shall we meet at the bridge at noon, and who brings the map today?!";

/// What a client under load asks, one request after the other.
pub(crate) trait Requests: Send + 'static {
    /// The next request.
    fn next(&mut self) -> &[u8];
}

/// The same request again and again.
pub(crate) struct Same(pub(crate) Arc<[u8]>);

impl Requests for Same {
    fn next(&mut self) -> &[u8] {
        &self.0
    }
}

/// Messages, round the chats of a list; each carries its number.
pub(crate) struct Sends {
    request: Vec<u8>,
    chats: Arc<[ChatId]>,
    chat_at: usize,
    numbers_at: Vec<usize>,
    number: u64,
}

impl Sends {
    /// Those of a person, from the `first` number on.
    pub(crate) fn new(token: &str, chats: Arc<[ChatId]>, first: u64) -> Self {
        Self::with_body(token, chats, first, &format!(r#"{{"content":"{ZEROS}{WORDS}"}}"#))
    }

    /// The same, each with a `client_id`, as a client sends it that may have to try again.
    pub(crate) fn keyed(token: &str, chats: Arc<[ChatId]>, first: u64) -> Self {
        let key = Uuid::now_v7();
        let body = format!(r#"{{"content":"{ZEROS}{WORDS}","client_id":"{key}-{ZEROS}"}}"#);
        Self::with_body(token, chats, first, &body)
    }

    fn with_body(token: &str, chats: Arc<[ChatId]>, first: u64, body: &str) -> Self {
        let request = post(&format!("/api/chats/{}/messages", chats[0]), token, body);
        let body_at = request.len() - body.len();
        let numbers_at = body.match_indices(ZEROS).map(|(at, _)| body_at + at).collect();
        Self { request, chats, chat_at: "POST /api/chats/".len(), numbers_at, number: first }
    }

    /// The request that sends the message of this number.
    pub(crate) fn numbered(&mut self, number: u64) -> &[u8] {
        let index = usize::try_from(number).unwrap_or_default() % self.chats.len();
        let chat = self.chats[index].to_string();
        self.request[self.chat_at..self.chat_at + chat.len()].copy_from_slice(chat.as_bytes());
        let digits = format!("{number:0DIGITS$}");
        for at in &self.numbers_at {
            self.request[*at..at + DIGITS].copy_from_slice(digits.as_bytes());
        }
        &self.request
    }
}

impl Requests for Sends {
    fn next(&mut self) -> &[u8] {
        let number = self.number;
        self.number += 1;
        self.numbered(number)
    }
}

/// The number in an event's data or in a request.
pub(crate) fn number_in(text: &[u8]) -> Option<u64> {
    const MARK: &[u8] = br#""content":""#;
    let at = text.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    std::str::from_utf8(text.get(at..at + DIGITS)?).ok()?.parse().ok()
}

/// Bytes of a message's content.
pub(crate) const CONTENT_BYTES: usize = DIGITS + WORDS.len();

pub(crate) fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// [`get`], as browsers and mobile clients ask: they take gzip.
pub(crate) fn get_coded(path: &str, token: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: bench\r\naccept-encoding: gzip\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

/// Opens a stream.
pub(crate) fn stream(token: &str) -> Vec<u8> {
    format!(
        "GET {EVENTS} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_request_is_whole() -> Result<(), Box<dyn std::error::Error>> {
        let chats = [ChatId::new(), ChatId::new()];
        let mut sends = Sends::new("token", chats.into(), 41);
        sends.next();
        let request = String::from_utf8(sends.next().to_vec())?;
        let (head, body) = request.split_once("\r\n\r\n").ok_or("no body")?;
        assert!(head.starts_with(&format!("POST /api/chats/{}/messages HTTP/1.1\r\n", chats[0])), "{head}");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        assert_eq!(number_in(body.as_bytes()), Some(42));
        let body: serde_json::Value = serde_json::from_str(body)?;
        assert_eq!(body["content"].as_str().map(str::len), Some(CONTENT_BYTES));
        Ok(())
    }

    #[test]
    fn keys_differ_from_message_to_message() -> Result<(), Box<dyn std::error::Error>> {
        let mut sends = Sends::keyed("token", [ChatId::new()].into(), 7);
        let mut keys = Vec::new();
        for number in [7, 8] {
            let request = String::from_utf8(sends.next().to_vec())?;
            let (_, body) = request.split_once("\r\n\r\n").ok_or("no body")?;
            assert_eq!(number_in(body.as_bytes()), Some(number));
            let body: serde_json::Value = serde_json::from_str(body)?;
            keys.push(body["client_id"].as_str().ok_or("no key")?.to_owned());
        }
        assert!(keys[0].ends_with("-000000000007") && keys[1].ends_with("-000000000008"), "{keys:?}");
        Ok(())
    }
}
