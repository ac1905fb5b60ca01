//! Several of each server as processes, behind proxies, so that they keep their addresses when they are killed.

use std::net::SocketAddr;

use fechatter_server::{auth::issuer::make_key_files, vault::ring::make_file_keys};
use nix::sys::signal::Signal;
use rand::{RngExt, rngs::StdRng};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Actor, cluster, program::Program, proxy::Proxy};

/// Servers of each kind.
const EACH: usize = 2;

/// The servers.
pub struct Fleet {
    /// The REST servers.
    pub rest: Vec<Post>,
    /// The stream servers.
    pub notify: Vec<Post>,
    folder: TempDir,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Why a test fails often stands there.
        if std::thread::panicking() {
            eprintln!("errors of the servers: {:#?}", self.errors());
        }
    }
}

/// One place where a server runs, or will again.
pub struct Post {
    /// What clients connect to.
    pub proxy: Proxy,
    name: &'static str,
    variables: Vec<(String, String)>,
    program: Option<Program>,
    /// The errors that it logged before it was killed.
    errors: Vec<String>,
}

impl Fleet {
    /// Starts the fleet on a database with [`cluster::bring_schema`], each kind under its own role; `settings` are
    /// further variables, by their whole names.
    pub async fn start(url: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (rest, notify) = variables(url, folder.path());
        let mut fleet = Self { rest: Vec::new(), notify: Vec::new(), folder };
        for _ in 0..EACH {
            fleet.rest.push(Post::new("fechatter_server", &rest, settings).await);
            fleet.notify.push(Post::new("notify_server", &notify, settings).await);
        }
        let folder = fleet.folder.path().to_owned();
        for post in fleet.rest.iter_mut().chain(&mut fleet.notify) {
            post.start(&folder);
        }
        fleet
    }

    /// Kills some of the servers of a kind as a crash would, and starts them again.
    pub fn restart(&mut self, kind: Kind, all: bool, rng: &mut StdRng) {
        let posts = match kind {
            Kind::Rest => &mut self.rest,
            Kind::Notify => &mut self.notify,
        };
        let one = rng.random_range(0..EACH);
        let mut hit: Vec<_> =
            posts.iter_mut().enumerate().filter(|(i, _)| all || *i == one).map(|(_, post)| post).collect();
        for post in &mut hit {
            post.kill();
        }
        for post in hit {
            post.start(self.folder.path());
        }
    }

    /// What the servers logged as errors: things that no fault excuses.
    pub fn errors(&mut self) -> Vec<String> {
        self.rest.iter_mut().chain(&mut self.notify).flat_map(Post::errors).collect()
    }

    /// Ways to the servers, for clients.
    pub fn doors(&self) -> Doors {
        let addresses = |posts: &[Post]| posts.iter().map(|post| post.proxy.address).collect();
        Doors { rest: addresses(&self.rest), notify: addresses(&self.notify) }
    }
}

/// A kind of server.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `fechatter_server`.
    Rest,
    /// `notify_server`.
    Notify,
}

impl Post {
    async fn new(name: &'static str, variables: &Variables, settings: &[(&str, &str)]) -> Self {
        let mut variables = variables.clone();
        variables.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self { proxy: Proxy::start().await, name, variables, program: None, errors: Vec::new() }
    }

    /// Starts the server, and returns when it listens.
    fn start(&mut self, folder: &std::path::Path) {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let line = tokio::task::block_in_place(|| {
            let program = self.program.insert(Program::start(self.name, folder, &[], &variables));
            program.until("listening")
        });
        let log: Value = serde_json::from_str(&line).expect("JSON logs when not at a terminal");
        let address: SocketAddr = log["clients"].as_str().expect("an address").parse().expect("an address");
        self.proxy.lead_to(Some(address));
    }

    /// Kills the server as a crash would (SIGKILL).
    fn kill(&mut self) {
        self.proxy.lead_to(None);
        let Some(mut program) = self.program.take() else { return };
        tokio::task::block_in_place(|| {
            program.signal(Signal::SIGKILL);
            program.end();
        });
        self.errors.extend(errors_in(&program.said));
    }

    /// What it logged as errors, before and after it was killed.
    fn errors(&mut self) -> Vec<String> {
        let mut errors = self.errors.clone();
        errors.extend(
            self.program.as_mut().map(|program| errors_in(program.said_by_now())).unwrap_or_default(),
        );
        errors
    }
}

/// The settings of a program, by the names of their variables.
pub(crate) type Variables = Vec<(String, String)>;

/// The settings of a REST server and of a stream server on this database, with keys made in a folder.
pub(crate) fn variables(url: &str, folder: &std::path::Path) -> (Variables, Variables) {
    let (private, public) = make_key_files(folder).expect("keys");
    let file_keys = folder.join("files.pem");
    make_file_keys(&file_keys).expect("keys");
    let files = folder.join("files");
    let (as_rest, as_notify) =
        (cluster::as_role("fechatter_server", url), cluster::as_role("notify_server", url));
    let rest = [
        ("FECHATTER_SERVER__PORT", "0"),
        ("FECHATTER_SERVER__ADMIN_PORT", "0"),
        ("FECHATTER_DATABASE__URL", as_rest.as_str()),
        ("FECHATTER_DATABASE__MAX_CONNECTIONS", "6"),
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", private.to_str().expect("text")),
        ("FECHATTER_FILES__KEY_FILE", file_keys.to_str().expect("text")),
        ("FECHATTER_FILES__FOLDER", files.to_str().expect("text")),
        ("FECHATTER_AUTH__ACCESS_TOKEN_MINUTES", "60"),
        ("FECHATTER_AUTH__ARGON2_MEMORY_KIB", "64"),
        ("FECHATTER_AUTH__ARGON2_PASSES", "1"),
        ("FECHATTER_LIMITS__ENABLED", "false"),
    ];
    // Small, so that streams overflow, and are replayed from the table and not only from memory.
    let notify = [
        ("NOTIFY_SERVER__PORT", "0"),
        ("NOTIFY_SERVER__ADMIN_PORT", "0"),
        ("NOTIFY_DATABASE__URL", as_notify.as_str()),
        ("NOTIFY_DATABASE__MAX_CONNECTIONS", "4"),
        ("NOTIFY_AUTH__PUBLIC_KEY_FILE", public.to_str().expect("text")),
        ("NOTIFY_LIMITS__ENABLED", "false"),
        ("NOTIFY_STREAM__HEARTBEAT_S", "1"),
        ("NOTIFY_STREAM__QUEUE_EVENTS", "16"),
        ("NOTIFY_STREAM__RING_EVENTS", "100"),
    ];
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    (owned(&rest), owned(&notify))
}

pub(crate) fn errors_in(log: &str) -> Vec<String> {
    log.lines().filter(|line| line.contains(r#""level":"ERROR""#)).map(str::to_owned).collect()
}

/// The addresses by which clients reach the servers.
#[derive(Clone, Debug)]
pub struct Doors {
    rest: Vec<SocketAddr>,
    notify: Vec<SocketAddr>,
}

impl Doors {
    /// The addresses of one server of each kind.
    pub fn to(rest: SocketAddr, notify: SocketAddr) -> Self {
        Self { rest: vec![rest], notify: vec![notify] }
    }

    /// The actor at a server of each kind, by chance.
    pub fn at_any(&self, actor: &Actor) -> Actor {
        let any = |addresses: &[SocketAddr]| addresses[rand::random_range(0..addresses.len())];
        actor.at(any(&self.rest), any(&self.notify))
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> Actor {
        Actor::anonymous_at(self.rest[0], self.notify[0])
    }
}
