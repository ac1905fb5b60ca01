//! What a server answered.

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::contract;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The request, for messages.
    pub request: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null when there is none.
    pub body: Value,
}

impl Answer {
    /// Reads an answer, which must be one that the document describes. The request's name begins with its method.
    pub async fn read(request: String, response: reqwest::Response) -> Self {
        Self::try_read(request, response).await.expect("a whole body")
    }

    /// The same of an answer that may break off.
    ///
    /// # Errors
    /// It broke off.
    pub async fn try_read(request: String, response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let path = response.url().path().to_owned();
        let bytes = response.bytes().await?;
        contract::check(&request, &path, status, &headers, &contract::Body::Whole(bytes.to_vec()));
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()))
        };
        Ok(Self { request, status, headers, body })
    }

    /// The body, after checking the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.request, self.body);
        if status >= 400 {
            self.assert_problem();
        }
        self.body
    }

    /// Checks that it refuses with this status and problem code.
    #[track_caller]
    pub fn refuses(self, status: u16, code: &str) -> Value {
        let request = self.request.clone();
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{request}: {body}");
        body
    }

    /// Checks that it is a 400 that names this field.
    #[track_caller]
    pub fn blames(self, field: &str) -> Value {
        let request = self.request.clone();
        let body = self.expect(400);
        let fields: Vec<_> = body["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| error["field"].as_str())
            .collect();
        assert!(fields.contains(&field), "{request}: {field} is not among {fields:?} in {body}");
        body
    }

    #[track_caller]
    fn assert_problem(&self) {
        let content_type = self.headers.get("content-type").and_then(|value| value.to_str().ok());
        assert_eq!(content_type, Some("application/problem+json"), "{}: {}", self.request, self.body);
        assert_eq!(self.body["status"], self.status, "{}", self.request);
        for field in ["type", "title", "detail", "code", "request_id"] {
            assert!(self.body[field].is_string(), "{}: {field} is missing in {}", self.request, self.body);
        }
        assert_eq!(self.headers.contains_key("www-authenticate"), self.status == 401, "{}", self.request);
        if matches!(self.status, 429 | 503) {
            assert!(self.headers.contains_key("retry-after"), "{}", self.request);
        }
    }

    /// The position of the snapshot that a list shows.
    #[track_caller]
    pub fn event_id(&self) -> String {
        let value =
            self.headers.get("x-event-id").unwrap_or_else(|| panic!("{}: no X-Event-Id", self.request));
        value.to_str().expect("text").to_owned()
    }
}
