//! How the programs end: everybody is told, what was asked for is done, and in time.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use fechatter_server::{auth::issuer::make_key_files, vault::ring::make_file_keys};
use fechatter_tests::{
    Actor, cluster,
    program::{Program, address_in},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, block_in_place},
    time::timeout,
};

const STREAMS: usize = 1_000;
/// Seconds that the programs have for their end.
const DRAIN: &str = "20";
const PATIENCE: Duration = Duration::from_mins(1);

/// The servers, with everything that a test needs of them.
struct Running {
    /// What serves REST, and what serves streams; one program for both with `fechatter up`.
    programs: Vec<Program>,
    anonymous: Actor,
    database_url: String,
    _folder: TempDir,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A folder below which the database's own user can reach its files.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("fechatter-end-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

/// Variables that both kinds of program have, under their own prefix.
fn shared(prefix: &str) -> Vec<(String, String)> {
    [
        ("SERVER__PORT", "0"),
        ("SERVER__ADMIN_PORT", "0"),
        ("SERVER__DRAIN_S", DRAIN),
        // All of them come from here, and are one person's.
        ("LIMITS__CONNECTIONS_PER_ADDRESS", "0"),
        ("LIMITS__ENABLED", "false"),
        // What is under way ends by the signals alone, on a slow machine too.
        ("LIMITS__REQUEST_S", "60"),
        ("LIMITS__BODY_IDLE_S", "60"),
        // A request that waits for a lock is slow, not refused.
        ("DATABASE__LOCK_TIMEOUT_S", "9"),
        ("DATABASE__STATEMENT_TIMEOUT_S", "9"),
    ]
    .into_iter()
    // Only this one has streams.
    .chain((prefix == "NOTIFY").then_some(("LIMITS__STREAMS_PER_PERSON", "0")))
    .map(|(name, value)| (format!("{prefix}_{name}"), value.to_owned()))
    .collect()
}

fn start(name: &str, folder: &Path, arguments: &[&str], variables: &[(String, String)]) -> Program {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Program::start(name, folder, arguments, &variables)
}

fn listening(program: &mut Program) -> SocketAddr {
    let line = block_in_place(|| program.until("listening"));
    let log: Value = serde_json::from_str(&line).expect("JSON logs when not at a terminal");
    log["clients"].as_str().expect("an address").parse().expect("an address")
}

async fn two_binaries() -> Running {
    let (folder, database_url) = (folder(), cluster::fresh_database().await);
    let (private, public) = make_key_files(&folder.path().join("keys")).expect("keys");
    let file_keys = folder.path().join("keys").join("files.pem");
    make_file_keys(&file_keys).expect("keys");
    let with = |prefix: &str, more: &[(&str, &str)]| {
        let more = more.iter().map(|(name, value)| (format!("{prefix}_{name}"), (*value).to_owned()));
        shared(prefix).into_iter().chain(more).collect::<Vec<_>>()
    };
    let database = ("DATABASE__URL", database_url.as_str());
    let rest = with(
        "FECHATTER",
        &[database, ("AUTH__PRIVATE_KEY_FILE", text(&private)), ("FILES__KEY_FILE", text(&file_keys))],
    );
    let notify = with("NOTIFY", &[database, ("AUTH__PUBLIC_KEY_FILE", text(&public))]);
    let mut rest = start("fechatter_server", folder.path(), &[], &rest);
    let mut notify = start("notify_server", folder.path(), &[], &notify);
    let anonymous = Actor::anonymous_at(listening(&mut rest), listening(&mut notify));
    Running { programs: vec![rest, notify], anonymous, database_url, _folder: folder }
}

fn up() -> Running {
    let folder = folder();
    let variables = [shared("FECHATTER"), shared("NOTIFY")].concat();
    let mut program = start("fechatter", folder.path(), &["up"], &variables);
    let address = address_in(&block_in_place(|| program.until("Fechatter is ready")));
    let url = fs::read_to_string(folder.path().join(".fechatter/database-url")).expect("a URL");
    Running {
        programs: vec![program],
        anonymous: Actor::anonymous_at(address, address),
        database_url: url,
        _folder: folder,
    }
}

impl Running {
    async fn sign_up(&self) -> Actor {
        let body =
            json!({ "email": "ann@example.com", "password": "a long enough phrase", "full_name": "ann" });
        let session = self.anonymous.post("/api/auth/signup", body).await.expect(201);
        self.anonymous.with_token(session["token"].as_str().expect("a token"))
    }

    fn signal(&self) {
        for program in &self.programs {
            program.signal(Signal::SIGTERM);
        }
    }
}

/// A connection on which a stream has begun.
async fn open_stream(address: SocketAddr, token: String) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let request =
        format!("GET /api/notifications/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("a request");
    let mut said = String::new();
    while !said.contains("event: hello") {
        let mut some = [0; 2048];
        let read =
            timeout(PATIENCE, socket.read(&mut some)).await.expect("something in time").expect("an answer");
        assert_ne!(read, 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    (socket, said)
}

/// Sends a head and some of its body, once the handler has asked for the body (RFC 9110, section 10.1.1).
async fn begin_to_send(address: SocketAddr, head: &str, some: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let head = format!("{head}Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("a request");
    let mut asked = [0; 25];
    let reading = timeout(PATIENCE, socket.read_exact(&mut asked)).await;
    reading.expect("in time").expect("a question for the body");
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(some).await.expect("some of the body");
    socket
}

async fn ends_in_peace(mut running: Running) {
    let ann = running.sign_up().await;
    let notify = ann.notify;
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(open_stream(notify, ann.token.clone()));
    }
    let streams = timeout(PATIENCE, streams.join_all()).await.expect("all streams in time");

    // Requests to each of the servers that wait for a lock, and one whose body is on its way.
    let mut lock = PgConnection::connect(&running.database_url).await.expect("a connection");
    let mut held = lock.begin().await.expect("a transaction");
    sqlx::query("lock table workspaces, stream_tickets").execute(&mut *held).await.expect("a lock");
    let slow = tokio::spawn({
        let ann = ann.clone();
        async move {
            let body = json!({ "name": "Acme" });
            tokio::join!(ann.post("/api/workspaces", body), ann.act("/api/notifications/ticket"),)
        }
    });
    let begins = format!(
        "PATCH /api/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 20\r\n",
        ann.token
    );
    let mut unfinished = begin_to_send(ann.rest, &begins, b"{\"full_").await;
    waits_for_locks(&running.database_url, 2).await;

    let begun = Instant::now();
    running.signal();
    // Streams are told, and end, one after the other.
    let mut byes = JoinSet::new();
    for (mut socket, mut said) in streams {
        byes.spawn(async move {
            socket.read_to_string(&mut said).await.expect("an end in peace");
            said
        });
    }
    let byes = timeout(PATIENCE, byes.join_all()).await.expect("the end of all streams in time");
    for said in byes {
        assert!(said.contains("event: bye") && said.contains(r#""reason":"shutdown""#), "{said}");
        assert!(said.ends_with("0\r\n\r\n"), "the last chunk is there: {said}");
    }
    // What had been asked for is done and answered.
    unfinished.write_all(b"name\": \"Ann\"}").await.expect("the rest of the body");
    held.rollback().await.expect("the end of the transaction");
    let (made, ticket) = timeout(PATIENCE, slow).await.expect("answers in time").expect("no panic");
    made.expect(201);
    ticket.expect(201);
    let mut answer = String::new();
    timeout(PATIENCE, unfinished.read_to_string(&mut answer))
        .await
        .expect("an answer in time")
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""full_name":"Ann""#), "{answer}");
    drop(lock);

    for program in &mut running.programs {
        let status = block_in_place(|| program.end());
        assert!(status.success(), "{status}: {}", program.said);
    }
    // The limit, and some time for PostgreSQL's own end with `fechatter up`.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// Waits until so many requests wait for a lock.
async fn waits_for_locks(url: &str, count: i64) {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let query = "select count(*) from pg_locks where not granted and database = \
                 (select oid from pg_database where datname = current_database())";
    for attempt in 0.. {
        let waiting: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a number");
        if waiting >= count {
            return;
        }
        assert!(attempt < 600, "{waiting} wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ends_at_once(mut running: Running) {
    let ann = running.sign_up().await;
    let (mut stream, _) = open_stream(ann.notify, ann.token.clone()).await;
    // A request that would take all of the time there is.
    let begins = "POST /api/auth/signin HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n";
    let _unfinished = begin_to_send(ann.rest, begins, b"{").await;
    let mut reading = String::new();
    for program in &mut running.programs {
        program.signal(Signal::SIGTERM);
        block_in_place(|| program.until("a second signal ends at once"));
    }
    timeout(PATIENCE, stream.read_to_string(&mut reading)).await.expect("an end in time").expect("in peace");
    // It serves REST, and waits for that request.
    let rest = &mut running.programs[0];
    assert!(rest.is_running(), "{}", rest.said);
    let begun = Instant::now();
    rest.signal(Signal::SIGTERM);
    let status = block_in_place(|| rest.end());
    assert_eq!(status.code(), Some(130), "{}", rest.said);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for program in &mut running.programs[1..] {
        assert!(block_in_place(|| program.end()).success(), "{}", program.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_with_a_thousand_streams_and_slow_requests_end_in_peace() {
    ends_in_peace(two_binaries().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_program_with_a_thousand_streams_and_slow_requests_ends_in_peace() {
    ends_in_peace(up()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_two_servers_at_once() {
    ends_at_once(two_binaries().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_one_program_at_once() {
    ends_at_once(up()).await;
}
