//! Files, sent and fetched as bytes.

use std::{fs, path::Path, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, RequestBuilder,
    header::{HeaderMap, HeaderName},
};
use serde_json::{Value, json};

use crate::{Actor, Answer, contract};

/// A picture of one red pixel, as PNG.
pub const PIXEL: &[u8] =
    b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01\x08\
    \x02\x00\x00\x00\x90\x77\x53\xde\x00\x00\x00\x0c\x49\x44\x41\x54\x78\xda\x63\xf8\xcf\xc0\x00\x00\x03\
    \x01\x01\x00\xf7\x03\x41\x43\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";

/// An answer of bytes.
#[derive(Clone, Debug)]
pub struct Bytes {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Bytes {
    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Actor {
    /// A request to the REST server as this person.
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.rest));
        let request = request.timeout(Duration::from_mins(2));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    /// Uploads bytes as they are.
    pub async fn upload(&self, workspace: &str, name: &str, bytes: impl Into<reqwest::Body>) -> Answer {
        let response = self.upload_request(workspace, name, bytes).send().await.expect("an answer");
        Answer::read(format!("POST /api/files by {}", self.name), response).await
    }

    /// The same, to be sent by whoever expects that nobody answers.
    pub fn upload_request(
        &self,
        workspace: &str,
        name: &str,
        bytes: impl Into<reqwest::Body>,
    ) -> RequestBuilder {
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        self.ask(Method::POST, &format!("/api/files?workspace_id={workspace}&name={name}")).body(bytes)
    }

    /// Uploads a body that says what it is.
    pub async fn upload_as(&self, query: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request =
            self.ask(Method::POST, &format!("/api/files?{query}")).header("content-type", content_type);
        let response = request.body(body).send().await.expect("an answer");
        Answer::read(format!("POST /api/files by {}", self.name), response).await
    }

    /// Uploads bytes and sends them in a message; answers with the message.
    pub async fn send_file(&self, workspace: &str, chat: &str, name: &str, bytes: Vec<u8>) -> Value {
        let file = self.upload(workspace, name, bytes).await.expect(201);
        self.send_files(chat, &[&file]).await.expect(201)
    }

    /// Sends files that were uploaded.
    pub async fn send_files(&self, chat: &str, files: &[&Value]) -> Answer {
        let ids: Vec<_> = files.iter().map(|file| &file["id"]).collect();
        self.post(&format!("/api/chats/{chat}/messages"), json!({ "content": "", "file_ids": ids })).await
    }

    /// Fetches bytes with these headers.
    pub async fn fetch(&self, path: &str, headers: &[(&str, &str)]) -> Bytes {
        self.fetch_by(Method::GET, path, headers).await
    }

    /// The same by another method.
    pub async fn fetch_by(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Bytes {
        let mut request = self.ask(method.clone(), path);
        for (name, value) in headers {
            request = request.header(name.parse::<HeaderName>().expect("a name"), *value);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a whole body").to_vec();
        let body = contract::Body::Whole(bytes.clone());
        contract::check(&format!("{method} {path}"), path, status, &headers, &body);
        Bytes { status, headers, bytes }
    }
}

/// What lies in a server's folder of files, whole or in parts, by its name there.
pub fn objects(root: &Path) -> Vec<String> {
    let (mut folders, mut found) = (vec![root.join("objects")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).expect("inside").to_str().expect("text").to_owned());
            }
        }
    }
    found.sort_unstable();
    found
}

/// A form with these parts: a head without its last line's end, and a body.
pub fn form(boundary: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (head, body) in parts {
        form.extend(format!("--{boundary}\r\n{head}\r\n\r\n").bytes());
        form.extend_from_slice(body);
        form.extend(b"\r\n");
    }
    form.extend(format!("--{boundary}--\r\n").bytes());
    form
}
