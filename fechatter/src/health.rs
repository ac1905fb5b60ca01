//! Asks a server's operators' port whether it can serve: what health checks in a container run, where no other
//! program is.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most of an answer that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Asks `http://host:port/path`.
///
/// # Errors
/// No answer in time, or one that says no; with its body.
pub async fn ask(url: &str) -> anyhow::Result<()> {
    let (authority, path) = parts(url)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    let asking = async {
        let mut socket = TcpStream::connect(authority).await?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.take(LONGEST).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, asking).await.context("no answer in time")?;
    let answer = answer.with_context(|| format!("{authority} cannot be asked"))?;
    judge(&String::from_utf8_lossy(&answer))
}

/// Host and port, and the path.
fn parts(url: &str) -> anyhow::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").context("a URL as http://127.0.0.1:6689/readyz is needed")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    ensure!(authority.contains(':'), "the URL needs a port");
    Ok((authority, if path.is_empty() { "/" } else { path }))
}

/// Whether the status says yes (RFC 9112, section 4).
fn judge(answer: &str) -> anyhow::Result<()> {
    let status =
        answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).context("not an answer of HTTP")?;
    if status.starts_with('2') {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    bail!("{status} {body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let taken = |url| parts(url).ok();
        assert_eq!(taken("http://127.0.0.1:6689/readyz"), Some(("127.0.0.1:6689", "/readyz")));
        assert_eq!(taken("http://[::1]:6689"), Some(("[::1]:6689", "/")));
        for wrong in ["127.0.0.1:6689/readyz", "https://localhost:1/", "http://localhost/readyz"] {
            assert_eq!(taken(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_a_status_of_2xx_is_a_yes() {
        assert!(judge("HTTP/1.1 204 No Content\r\n\r\n").is_ok());
        let refused =
            judge("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nnot yet").map_err(|no| no.to_string());
        assert_eq!(refused, Err("503 not yet".into()));
        assert!(judge("").is_err());
        assert!(judge("SSH-2.0-OpenSSH").is_err());
    }
}
