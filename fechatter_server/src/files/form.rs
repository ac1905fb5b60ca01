//! A form with one file (RFC 7578), read piece by piece.
//!
//! It holds back no more of a file than a boundary is long, however fast the file comes; and as there is one part, there
//! is nothing to count.

use axum::{
    body::BodyDataStream,
    http::{HeaderMap, header},
};
use bytes::{Buf, Bytes, BytesMut};
use chat_core::{
    http::body,
    problem::{FieldError, Problem},
};
use futures::StreamExt;
use memchr::memmem;

/// What may stand before the part, and in its head, in bytes.
const HEAD: usize = 16 * 1024;
/// What the boundary may have (RFC 2046, section 5.1.1).
const BOUNDARY: usize = 70;

/// A form that is being read.
pub(super) struct Form {
    body: BodyDataStream,
    /// A line's end, two dashes and the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    over: bool,
}

/// Whether this is a form, by its type.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|(kind, _)| kind.eq_ignore_ascii_case("multipart/form-data"))
}

fn media_type(headers: &HeaderMap) -> Option<(&str, &str)> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    Some((kind.trim(), parameters))
}

/// The boundary of a form, which stands in its type.
///
/// # Errors
/// 400 for a form without one.
pub(super) fn boundary(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    if !is_form(headers) {
        return Ok(None);
    }
    media_type(headers)
        .and_then(|(_, parameters)| parameter(parameters, "boundary"))
        .filter(|boundary| (1..=BOUNDARY).contains(&boundary.len()))
        .map(Some)
        .ok_or_else(|| malformed("its Content-Type names no boundary"))
}

impl Form {
    /// A form of which nothing has been read.
    pub(super) fn new(boundary: &str, body: BodyDataStream) -> Self {
        Self {
            body,
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            // The first boundary may stand at the very beginning, without a line before it.
            buffer: BytesMut::from("\r\n"),
            over: false,
        }
    }

    /// What is left to be read, for whoever does not mind what it says.
    pub(super) fn into_body(self) -> BodyDataStream {
        self.body
    }

    /// Reads up to the file; answers with its name, if it has one.
    pub(super) async fn open(&mut self) -> Result<Option<String>, Problem> {
        let delimiter = self.delimiter.clone();
        self.until(&delimiter).await?;
        if self.is_last().await? {
            return Err(invalid("file", "is missing"));
        }
        // An empty head is one line's end.
        self.buffer = [b"\r\n", self.buffer.as_ref()].concat().as_slice().into();
        let head = self.until(b"\r\n\r\n").await?;
        file_name(&head)
    }

    /// The next bytes of the file; none at its end, which is the end of the form.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while !self.over {
            let (ready, ends) = match memmem::find(&self.buffer, &self.delimiter) {
                Some(end) => (end, true),
                // The rest may be the beginning of a boundary.
                None => (self.buffer.len().saturating_sub(self.delimiter.len() - 1), false),
            };
            let bytes = self.buffer.split_to(ready).freeze();
            if ends {
                self.buffer.advance(self.delimiter.len());
                if !self.is_last().await? {
                    return Err(invalid("file", "must be the only part"));
                }
                self.over = true;
                self.finish().await?;
            } else if bytes.is_empty() {
                self.more().await?;
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// What stands before `mark`, which must come soon; both are gone from the buffer then.
    async fn until(&mut self, mark: &[u8]) -> Result<BytesMut, Problem> {
        loop {
            // What comes too late counts as little when it has come already.
            if let Some(at) = memmem::find(&self.buffer, mark).filter(|at| *at <= HEAD) {
                let before = self.buffer.split_to(at);
                self.buffer.advance(mark.len());
                return Ok(before);
            }
            if self.buffer.len() > HEAD {
                return Err(malformed("it has no part where one should begin"));
            }
            self.more().await?;
        }
    }

    /// Whether the boundary that was just read is the last one. Blanks may follow each.
    async fn is_last(&mut self) -> Result<bool, Problem> {
        while self.buffer.len() < 2 {
            self.more().await?;
        }
        if self.buffer.starts_with(b"--") {
            return Ok(true);
        }
        let blanks = self.until(b"\r\n").await?;
        if blanks.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            Ok(false)
        } else {
            Err(malformed("a boundary is followed by something else"))
        }
    }

    /// Reads what stands behind the last boundary, and forgets it.
    async fn finish(&mut self) -> Result<(), Problem> {
        let mut behind = self.buffer.len();
        self.buffer.clear();
        while behind <= HEAD {
            match self.body.next().await {
                Some(bytes) => behind += bytes.map_err(|error| body::unreadable(&error))?.len(),
                None => return Ok(()),
            }
        }
        Err(malformed("it goes on behind its end"))
    }

    async fn more(&mut self) -> Result<(), Problem> {
        match self.body.next().await {
            Some(bytes) => {
                let bytes = bytes.map_err(|error| body::unreadable(&error))?;
                self.buffer.extend_from_slice(&bytes);
                Ok(())
            }
            None => Err(malformed("it ends early")),
        }
    }
}

/// The name that the head of the part gives the file, after checking that it is the one that is wanted.
fn file_name(head: &[u8]) -> Result<Option<String>, Problem> {
    let head = str::from_utf8(head).map_err(|_| malformed("the head of its part is not UTF-8"))?;
    let mut disposition = None;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a field of its part is none"))?;
        if name.eq_ignore_ascii_case("content-disposition") {
            disposition = Some(value);
        }
        let as_it_is =
            ["binary", "8bit", "7bit"].iter().any(|known| value.trim().eq_ignore_ascii_case(known));
        if name.eq_ignore_ascii_case("content-transfer-encoding") && !as_it_is {
            return Err(malformed("its part is encoded"));
        }
    }
    let (kind, parameters) = disposition
        .map(|value| value.split_once(';').unwrap_or((value, "")))
        .ok_or_else(|| malformed("its part has no Content-Disposition"))?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(malformed("its part is no form-data"));
    }
    match parameter(parameters, "name").as_deref() {
        Some("file") => Ok(parameter(parameters, "filename").map(|name| unescaped(&name))),
        Some(other) => Err(invalid(
            &other.chars().filter(|c| *c != '\0').take(64).collect::<String>(),
            "is not expected",
        )),
        None => Err(malformed("its part has no name")),
    }
}

/// A parameter by its name: a token, or a quoted string, in which a backslash stands before what it quotes.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        let (name, value) = rest.trim_start_matches([' ', '\t', ';']).split_once('=')?;
        let (value, behind) = match value.strip_prefix('"') {
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
            Some(quoted) => unquoted(quoted)?,
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = behind;
    }
}

/// A quoted string up to its end, and what follows.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            // Browsers quote nothing else, so that a path of Windows keeps its own.
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => value.push(characters.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

/// A name as browsers write it (HTML, section 4.10.22.8): three characters are percent-encoded, and no others.
fn unescaped(name: &str) -> String {
    name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

fn malformed(what: &str) -> Problem {
    Problem::malformed(format!("The form cannot be read: {what}."))
}

fn invalid(field: &str, message: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(field, message)])
}

#[cfg(test)]
mod tests;
