//! docker-compose.yml without containers: the same programs, arguments, variables and files, on a PostgreSQL with the
//! same settings, behind the same proxy.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use fechatter_tests::{
    Actor,
    compose::{Compose, Service, repository},
    nginx::free_port,
    program::Program,
};
use local_postgres::{LocalPostgres, Options};
use nix::{sys::signal::Signal, unistd::Uid};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::task::block_in_place;
use yaml_rust2::Yaml;

/// A folder that PostgreSQL's own user can reach.
fn folder() -> TempDir {
    let folder =
        tempfile::Builder::new().prefix("fechatter-deployment-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

/// Runs a service to its end.
fn complete(service: &Service, folder: &Path) {
    let mut program = Program::run(service.command(folder));
    let status = program.end();
    assert!(status.success(), "{:?}: {}", service.command, program.said);
}

/// A server of the file, on free ports of the loopback address.
fn start(compose: &Compose, name: &str, prefix: &str, folder: &Path) -> (Program, SocketAddr, SocketAddr) {
    let mut service = compose.service(name);
    service.change(&format!("{prefix}_SERVER__HOST"), "127.0.0.1");
    service.change(&format!("{prefix}_SERVER__TRUSTED_PROXIES"), "127.0.0.1");
    service.environment.insert(format!("{prefix}_SERVER__PORT"), "0".into());
    service.environment.insert(format!("{prefix}_SERVER__ADMIN_PORT"), "0".into());
    let mut program = Program::run(service.command(folder));
    let log: Value = serde_json::from_str(&program.until("listening")).expect("JSON logs");
    let address =
        |name: &str| log[name].as_str().expect("an address").parse::<SocketAddr>().expect("an address");
    let (clients, operators) = (address("clients"), address("operators"));

    // Its own health check says so too, before long.
    let (check, arguments) = service.health.split_first().expect("a health check");
    let arguments: Vec<_> = arguments
        .iter()
        .map(|word| {
            word.replace("127.0.0.1:6689", &operators.to_string())
                .replace("127.0.0.1:6686", &operators.to_string())
        })
        .collect();
    assert!(arguments.concat().contains(&operators.to_string()), "{arguments:?} asks the operators' port");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    for attempt in 0.. {
        let mut asking = Program::start(check, folder, &arguments, &[]);
        if asking.end().success() {
            break;
        }
        assert!(attempt < 60, "{name} never got ready: {}", asking.said);
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    (program, clients, operators)
}

/// PostgreSQL as the file starts it, but for its place, and what the image's own start script would do.
fn start_postgres(compose: &Compose, port: u16, folder: &Path) -> LocalPostgres {
    let service = compose.service("postgres");
    assert_eq!(service.command[0], "postgres");
    let mut settings: Vec<(String, String)> = Vec::new();
    for pair in service.command[1..].chunks(2) {
        let (name, value) = pair[1].split_once('=').expect("a setting");
        assert_eq!(pair[0], "-c");
        settings.push((name.into(), value.into()));
    }
    settings.extend([
        ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
        ("port".to_owned(), port.to_string()),
    ]);
    let options = Options { extra_settings: settings, ..Options::temporary().expect("a folder") };
    let postgres = LocalPostgres::start(&options).expect("a PostgreSQL with TLS");

    // /docker-entrypoint-initdb.d/, as the superuser, over the socket.
    let url = postgres.url("postgres");
    let (role, rest) = url.strip_prefix("postgres://").and_then(|rest| rest.split_once(':')).expect("a role");
    let (password, _) = rest.split_once('@').expect("a password");
    let path = format!("{}:{}", postgres.programs_dir().display(), std::env::var("PATH").expect("PATH"));
    let mut roles = Command::new("sh");
    roles.arg(service.map("/docker-entrypoint-initdb.d/roles.sh")).current_dir(folder);
    roles.envs(&service.environment).env("POSTGRES_USER", role).env("PGPASSWORD", password).env("PATH", path);
    roles.env("PGHOST", postgres.socket_dir()).env("PGPORT", port.to_string());
    let mut roles = Program::run(roles);
    assert!(roles.end().success(), "{}", roles.said);
    postgres
}

/// Who runs the local PostgreSQL: what its key file must belong to.
fn user_of_postgres() -> u32 {
    let uid = Uid::effective();
    if !uid.is_root() {
        return uid.as_raw();
    }
    let found =
        ["postgres", "nobody"].into_iter().find_map(|name| nix::unistd::User::from_name(name).ok().flatten());
    found.expect("a user for PostgreSQL").uid.as_raw()
}

/// The proxy as the file starts it, on a free port of the loopback address; none when Caddy is not installed.
fn start_proxy(
    compose: &Compose,
    api: [SocketAddr; 2],
    streams: [SocketAddr; 2],
    folder: &Path,
) -> Option<(Program, SocketAddr)> {
    let mut service = compose.service("proxy");
    if Command::new(&service.command[0]).arg("version").output().is_err() {
        eprintln!("SKIPPED: the proxy of docker-compose.yml; install Caddy (Debian: apt install caddy)");
        return None;
    }
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let site = service.environment["FECHATTER_SITE"].clone();
    assert_eq!(site, ":80", "the port that docker-compose.yml publishes");
    service.change("FECHATTER_SITE", format!(":{}", address.port()));
    service.change("FECHATTER_API", api[0].to_string());
    service.change("FECHATTER_API_HEALTH_PORT", api[1].port().to_string());
    service.change("FECHATTER_STREAMS", streams[0].to_string());
    service.change("FECHATTER_STREAMS_HEALTH_PORT", streams[1].port().to_string());
    let file = PathBuf::from(service.map("/deploy/Caddyfile"));
    let text = fs::read_to_string(&file).expect("a Caddyfile");
    fs::write(&file, text.replacen("{\n", "{\n\tdefault_bind 127.0.0.1\n", 1)).expect("a file");
    let mut program = Program::run(service.command(folder));
    program.until("serving initial configuration");
    Some((program, address))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_compose_file_starts_serves_people() {
    let folder = folder();
    let compose = Compose::read(folder.path());
    let port = free_port();

    let mut secrets = compose.service("secrets");
    secrets.change("DATABASE_HOST", format!("localhost:{port}"));
    secrets.change("POSTGRES_UID", user_of_postgres().to_string());
    secrets.change("FECHATTER_UID", Uid::effective().to_string());
    block_in_place(|| complete(&secrets, folder.path()));
    let url = folder.path().join("owner/database-url");
    let made =
        |path: &Path| (fs::read(path).expect("a file"), fs::metadata(path).expect("a file").mode() & 0o777);
    let before = made(&url);
    assert_eq!(before.1, 0o600);
    block_in_place(|| complete(&secrets, folder.path()));
    assert_eq!(made(&url), before, "what is there stays");

    let postgres = block_in_place(|| start_postgres(&compose, port, folder.path()));
    block_in_place(|| complete(&compose.service("migrate"), folder.path()));

    // Without TLS nobody gets in, whatever they know.
    let url = String::from_utf8(before.0).expect("text");
    let plain = url.trim().replace("verify-full", "disable");
    assert_ne!(plain, url.trim());
    let refused = PgConnection::connect(&plain).await.expect_err("TLS is demanded");
    assert!(refused.to_string().contains("no encryption"), "{refused}");

    let (mut rest, api, api_admin) =
        block_in_place(|| start(&compose, "fechatter_server", "FECHATTER", folder.path()));
    let (mut notify, streams, streams_admin) =
        block_in_place(|| start(&compose, "notify_server", "NOTIFY", folder.path()));
    let proxy =
        block_in_place(|| start_proxy(&compose, [api, api_admin], [streams, streams_admin], folder.path()));
    // One origin, or without a proxy two.
    let anonymous = match &proxy {
        Some((_, address)) => Actor::anonymous_at(*address, *address),
        None => Actor::anonymous_at(api, streams),
    };
    people_talk(&anonymous).await;

    // As `docker compose run --rm fechatter backup /backups/monday`.
    if local_postgres::find_client("pg_dump", 0).is_ok() {
        let mut operations = compose.service("fechatter");
        operations.command = vec!["fechatter".into(), "backup".into(), operations.map("/backups/monday")];
        block_in_place(|| complete(&operations, folder.path()));
        assert!(folder.path().join("backups/monday/manifest.json").is_file());
    }

    for program in [&mut rest, &mut notify] {
        program.signal(Signal::SIGTERM);
        assert!(block_in_place(|| program.end()).success(), "{}", program.said);
    }
    if let Some((mut program, address)) = proxy {
        let actor = Actor::anonymous_at(address, address);
        let get = |path: &str| actor.client.get(format!("http://{address}{path}")).send();
        let (gone, gone_too) = tokio::join!(get("/api/permissions"), get("/api/notifications/events"));
        for gone in [gone.expect("an answer"), gone_too.expect("an answer")] {
            let kind = gone.headers()["content-type"].as_bytes();
            assert_eq!((gone.status().as_u16(), kind), (503, &b"application/problem+json"[..]));
            assert_eq!(gone.json::<Value>().await.expect("JSON")["code"], "unavailable");
        }
        program.signal(Signal::SIGTERM);
        assert!(block_in_place(|| program.end()).success(), "{}", program.said);
        assert!(!program.said.contains("ticket="), "the proxy writes no query strings");
    }
    drop(postgres);
}

/// Signs up, sends, and listens by bearer token and by ticket.
async fn people_talk(anonymous: &Actor) {
    let body = json!({ "email": "ann@example.com", "password": "a long enough phrase", "full_name": "ann" });
    let session = anonymous.post("/api/auth/signup", body).await.expect(201);
    let text = |field: &str| session[field].as_str().expect("text").to_owned();
    let ann = Actor { name: "ann".into(), id: text("id"), token: text("token"), ..anonymous.clone() };
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let mut by_token = ann.stream(None).await;
    let ticket = ann.request(Method::POST, "/api/notifications/ticket", None).await;
    assert!(ticket.status < 300, "{}", ticket.body);
    let ticket = ticket.body["ticket"].as_str().expect("a ticket").to_owned();
    let mut by_ticket = fechatter_tests::Stream::open_with_ticket(&ann, &ticket, "").await;
    for content in ["one", "two"] {
        ann.send(&chat, content).await;
        // At once: the next is sent only when this one has come through the proxy.
        by_token.expect_message(content).await;
        by_ticket.expect_message(content).await;
    }
}

/// What keeps a service that was taken over from doing more.
#[test]
fn every_service_is_confined() {
    let folder = tempfile::tempdir().expect("a folder");
    let compose = Compose::read(folder.path());
    let names: Vec<_> = compose.names().map(str::to_owned).collect();
    assert!(names.len() >= 8, "{names:?}");
    let list = |service: &str, property: &str| match compose.property(service, property) {
        Yaml::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    for name in &names {
        assert_eq!(compose.property(name, "read_only").as_bool(), Some(true), "{name}");
        assert_eq!(list(name, "cap_drop"), ["ALL"], "{name}");
        assert_eq!(list(name, "security_opt"), ["no-new-privileges:true"], "{name}");
        assert_eq!(compose.property(name, "privileged"), Yaml::BadValue, "{name}");
        let added = match name.as_str() {
            "secrets" => vec!["CHOWN", "DAC_OVERRIDE", "FOWNER"],
            "proxy" => vec!["NET_BIND_SERVICE"],
            _ => Vec::new(),
        };
        assert_eq!(list(name, "cap_add"), added, "{name}");
        // Root for a moment, without a network, to give the volumes their owners.
        let user = compose.property(name, "user");
        let is_root = user.as_str().is_none_or(|user| user.starts_with("0:"));
        assert_eq!(is_root, name == "secrets", "{name} runs as {user:?}");
        assert_eq!(list(name, "ports").is_empty(), name != "proxy", "only the proxy can be reached: {name}");
        for (variable, value) in compose.service(name).environment {
            let points_to_a_file = variable.contains("FILE") || variable.contains("ROOTCERT");
            assert!(!value.contains("://"), "{name} has a URL in {variable}");
            assert!(
                points_to_a_file || !variable.contains("PASSWORD"),
                "{name} has a password in {variable}"
            );
        }
    }
    assert_eq!(compose.property("secrets", "network_mode").as_str(), Some("none"));
    assert_eq!(list("postgres", "networks"), ["database"]);
    assert_eq!(list("proxy", "networks"), ["proxy"], "the proxy does not reach PostgreSQL");
}

/// Files that name the same things.
#[test]
fn the_files_agree() {
    let read = |name: &str| {
        fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let example = read(".env.example");
    let known: Vec<_> =
        example.lines().filter_map(|line| line.trim_start_matches('#').split_once('=')).collect();
    for part in read("docker-compose.yml").split("${").skip(1) {
        let (name, default) =
            part.split_once('}').and_then(|(variable, _)| variable.split_once(":-")).expect("a default");
        assert!(known.iter().any(|(known, _)| *known == name), ".env.example lacks {name}");
        if !name.starts_with("FECHATTER_API") && !name.starts_with("FECHATTER_STREAMS") {
            assert!(known.contains(&(name, default)), ".env.example has another {name} than {default}");
        }
    }
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).expect("a version");
    assert!(
        read("Dockerfile").contains(&format!("FROM rust:{channel}-slim-")),
        "the Dockerfile builds by another Rust"
    );
    // The build has every member of the workspace, and what they embed.
    let context = read(".dockerignore");
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("members");
    for needed in members.split('"').skip(1).step_by(2).chain([
        "app.yml",
        "notify.yml",
        "migrations",
        ".sqlx",
        ".cargo",
    ]) {
        assert!(
            context.lines().any(|line| line == format!("!{needed}")),
            ".dockerignore leaves {needed} out"
        );
    }
}
