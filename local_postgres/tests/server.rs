//! Real servers: started, stopped, killed, joined, moved.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use local_postgres::{Error, LocalPostgres, Options};
use sqlx::{Connection, PgConnection};

/// Names the folder for the process that [`hold`] is.
const HOLD: &str = "LOCAL_POSTGRES_TEST_HOLD";

/// Not a test but the other process of those that kill one: starts a server, says so and waits for its end.
#[test]
#[ignore = "run by other tests"]
fn hold() {
    if let Some(dir) = std::env::var_os(HOLD) {
        let _postgres = LocalPostgres::start(&quick(Path::new(&dir))).expect("a server");
        fs::write(Path::new(&dir).join("held"), "").expect("a file");
        sleep(Duration::from_mins(10));
    }
}

/// A process that runs a server on a folder until it is killed.
struct Holder(Child);

impl Holder {
    fn start(dir: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let child = Command::new(program)
            .args(["--exact", "hold", "--ignored"])
            .env(HOLD, dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("this program again");
        let holder = Self(child);
        wait_for("the other process to start its server", || dir.join("held").exists());
        fs::remove_file(dir.join("held")).expect("the file");
        holder
    }

    fn kill(mut self) {
        self.0.kill().expect("a kill");
        self.0.wait().expect("its end");
    }
}

/// Durable as to what happens to processes, which needs no fsync.
fn quick(dir: &Path) -> Options {
    Options { durable: false, max_connections: 20, ..Options::durable(dir) }
}

/// A folder that the server's user can reach.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !happened() {
        assert!(Instant::now() < deadline, "waited a minute for {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Runs statements and gives the first column of the last row.
fn query(postgres: &LocalPostgres, statements: &[&'static str]) -> Result<String, sqlx::Error> {
    query_at(&postgres.url("postgres"), statements)
}

fn query_at(url: &str, statements: &[&'static str]) -> Result<String, sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        let mut last = String::new();
        for statement in statements {
            let row: Option<(String,)> = sqlx::query_as(*statement).fetch_optional(&mut connection).await?;
            last = row.map_or_else(String::new, |(value,)| value);
        }
        connection.close().await?;
        Ok(last)
    })
}

const WRITE: &[&str] = &["create table kept (word text)", "insert into kept values ('here')"];
const READ: &[&str] = &["select word from kept"];

fn process_of(dir: &Path) -> Option<String> {
    let text = fs::read_to_string(dir.join("data/postmaster.pid")).ok()?;
    text.lines().next().map(str::to_owned)
}

/// Whether a process is there and has not ended; one that nobody has waited for yet has.
fn exists(process: &str) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", process]).output().expect("ps");
    let state = String::from_utf8_lossy(&output.stdout);
    !state.trim().is_empty() && !state.starts_with('Z')
}

#[test]
fn data_survives_every_way_to_stop() {
    let folder = folder();
    let mut postgres = LocalPostgres::start(&Options::durable(folder.path())).expect("a server");
    let url = postgres.url("postgres");
    query(&postgres, WRITE).expect("a table");

    postgres.stop().expect("a stop");
    postgres.stop().expect("nothing to stop");
    assert!(!postgres.is_running());
    assert!(query(&postgres, READ).is_err(), "the server is stopped");

    postgres.start_again().expect("a start");
    postgres.start_again().expect("nothing to start");
    assert_eq!(query(&postgres, READ).expect("rows"), "here");

    postgres.kill().expect("a kill");
    assert!(!postgres.is_running());
    postgres.start_again().expect("recovery");
    assert_eq!(query(&postgres, READ).expect("rows"), "here");

    postgres.restart().expect("a restart");
    assert_eq!(postgres.url("postgres"), url);
    drop(postgres);

    let postgres = LocalPostgres::start(&Options::durable(folder.path())).expect("a server again");
    assert_eq!(query(&postgres, READ).expect("rows"), "here");
    let (dir, data) = (postgres.dir().to_owned(), postgres.dir().join("data"));
    assert_eq!(postgres.moved_from(), None);
    let process = process_of(&dir).expect("a server");
    drop(postgres);
    assert!(!exists(&process));
    assert!(data.join("PG_VERSION").exists());
}

#[test]
fn the_server_is_set_up_as_asked() {
    let folder = folder();
    let options = Options {
        max_connections: 17,
        extra_settings: vec![("work_mem".to_owned(), "5MB".to_owned())],
        ..Options::durable(folder.path())
    };
    let postgres = LocalPostgres::start(&options).expect("a server");
    for (question, answer) in [
        ("select current_user::text", "fechatter"),
        ("show listen_addresses", ""),
        ("show max_connections", "17"),
        ("show work_mem", "5MB"),
        ("show fsync", "on"),
        ("show data_checksums", "on"),
        ("show server_encoding", "UTF8"),
        ("show timezone", "UTC"),
        ("select lower('ÄÉЖ')", "äéж"),
        ("show server_version_num", &version_number(&postgres)),
    ] {
        let question: &'static str = question;
        assert_eq!(query(&postgres, &[question]).expect("an answer"), answer, "{question}");
    }

    let mode = |path: &Path| fs::metadata(path).expect("an entry").mode() & 0o777;
    assert_eq!(mode(postgres.socket_dir()), 0o700);
    assert_eq!(mode(&postgres.dir().join("data")), 0o700);
    assert_eq!(mode(&postgres.dir().join("password")), 0o600);
    assert_eq!(mode(&postgres.log_file()), 0o600);

    let wrong = postgres.url("postgres").replacen("fechatter:", "fechatter:0", 1);
    assert!(query_at(&wrong, &["select 'in'"]).is_err(), "a wrong password");
}

/// `15.13` is `150013`.
fn version_number(postgres: &LocalPostgres) -> String {
    let (major, minor) = postgres.server_version().split_once('.').expect("a release");
    format!("{major}{minor:0>4}")
}

#[test]
fn a_second_start_is_refused() {
    let folder = folder();
    let postgres = LocalPostgres::start(&quick(folder.path())).expect("a server");
    let error = LocalPostgres::start(&quick(folder.path())).expect_err("one at a time");
    assert!(
        matches!(&error, Error::AlreadyRunning { dir, process: Some(id) }
            if dir == postgres.dir() && *id == std::process::id()),
        "{error}"
    );
    assert!(error.to_string().contains(&postgres.dir().display().to_string()));
    query(&postgres, &["select 'untouched'"]).expect("the first goes on");
    drop(postgres);
    LocalPostgres::start(&quick(folder.path())).expect("free again");
}

#[test]
fn a_killed_program_takes_its_server_along() {
    let folder = folder();
    let holder = Holder::start(folder.path());
    let process = process_of(folder.path()).expect("a server");
    let error = LocalPostgres::start(&quick(folder.path())).expect_err("held by the other process");
    assert!(
        matches!(&error, Error::AlreadyRunning { process: Some(id), .. } if *id == holder.0.id()),
        "{error}"
    );
    let begin = Instant::now();
    holder.kill();
    wait_for("the server to end", || !exists(&process));
    assert!(begin.elapsed() < Duration::from_secs(10));
    LocalPostgres::start(&quick(folder.path())).expect("a server afterwards");
}

#[test]
fn the_next_start_waits_for_the_watcher_of_a_killed_program() {
    let folder = folder();
    let holder = Holder::start(folder.path());
    let process = process_of(folder.path());
    holder.kill();
    let postgres = LocalPostgres::start(&quick(folder.path())).expect("a server at once");
    assert_ne!(process_of(folder.path()), process);
    query(&postgres, WRITE).expect("a table");
    sleep(Duration::from_millis(500));
    assert_eq!(query(&postgres, READ).expect("nobody stops it"), "here");
}

#[test]
#[cfg(target_os = "linux")]
fn an_orphaned_server_is_joined_and_stopped() {
    let folder = folder();
    let holder = Holder::start(folder.path());
    let process = process_of(folder.path()).expect("a server");
    let watcher = watcher_of(folder.path()).expect("a watcher");
    Command::new("kill").args(["-KILL", &watcher]).status().expect("kill");
    holder.kill();
    sleep(Duration::from_millis(300));
    assert!(exists(&process), "nobody is left to stop it");

    let mut postgres = LocalPostgres::start(&quick(folder.path())).expect("the same server");
    assert_eq!(process_of(folder.path()), Some(process.clone()));
    query(&postgres, WRITE).expect("a table");
    postgres.restart().expect("a server of its own");
    assert_eq!(query(&postgres, READ).expect("rows"), "here");
    drop(postgres);
    assert!(!exists(&process));
    assert_eq!(process_of(folder.path()), None);
}

#[cfg(target_os = "linux")]
fn watcher_of(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().expect("a folder").display().to_string();
    fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let mut arguments = command.split(|byte| *byte == 0);
        (arguments.any(|argument| argument == b"fechatter-postgres-watcher")
            && arguments.any(|argument| argument == dir.as_bytes()))
        .then(|| entry.file_name().display().to_string())
    })
}

#[test]
fn a_stale_process_id_of_another_program_is_no_server() {
    let folder = folder();
    let mut postgres = LocalPostgres::start(&quick(folder.path())).expect("a server");
    let file = postgres.dir().join("data/postmaster.pid");
    let socket_lock = postgres.socket_dir().join(".s.PGSQL.5432.lock");
    let content = fs::read_to_string(&file).expect("the file");
    postgres.kill().expect("a kill");
    let (_, rest) = content.split_once('\n').expect("lines");
    let stale = format!("{}\n{rest}", std::process::id());
    fs::write(&file, &stale).expect("the file");
    fs::write(&socket_lock, &stale).expect("the socket's file");
    postgres.start_again().expect("a start all the same");
    query(&postgres, &["select 'there'"]).expect("an answer");

    postgres.stop().expect("a stop");
    fs::write(&file, "").expect("an empty file");
    postgres.start_again().expect("a start all the same");
}

#[test]
fn a_half_made_cluster_is_made_again() {
    let folder = folder();
    let half = folder.path().join("init-00000000");
    fs::create_dir_all(half.join("data/base")).expect("a folder");
    fs::write(half.join("data/PG_VERSION"), "15\n").expect("a file");
    let postgres = LocalPostgres::start(&quick(folder.path())).expect("a server");
    query(&postgres, &["select 'there'"]).expect("an answer");
    assert!(!half.exists());
}

#[test]
fn odd_folders_are_refused() {
    let folder = folder();
    let dir = |name: &str| folder.path().join(name);

    fs::create_dir_all(dir("other/data")).expect("a folder");
    let error = LocalPostgres::start(&quick(&dir("other"))).expect_err("not a cluster");
    assert!(matches!(error, Error::NotACluster { .. }), "{error}");

    fs::create_dir_all(dir("ancient/data")).expect("a folder");
    fs::write(dir("ancient/data/PG_VERSION"), "9\n").expect("a file");
    let error = LocalPostgres::start(&quick(&dir("ancient"))).expect_err("no such programs");
    assert!(matches!(error, Error::VersionMismatch { major: 9, .. }), "{error}");
    assert!(error.to_string().contains("Looked in:\n"), "{error}");

    drop(LocalPostgres::start(&quick(&dir("locked"))).expect("a server"));
    fs::remove_file(dir("locked/password")).expect("the password");
    let error = LocalPostgres::start(&quick(&dir("locked"))).expect_err("no password");
    assert!(matches!(error, Error::PasswordMissing { .. }), "{error}");
}

#[test]
fn a_failing_start_shows_the_log() {
    let folder = folder();
    let options = Options {
        extra_settings: vec![("no_such_setting".to_owned(), "1".to_owned())],
        ..quick(folder.path())
    };
    let error = LocalPostgres::start(&options).expect_err("a wrong setting");
    assert!(matches!(&error, Error::StartFailed { tail, .. } if tail.contains("no_such_setting")), "{error}");
    LocalPostgres::start(&quick(folder.path())).expect("nothing is left behind");
}

#[test]
fn a_long_log_is_put_aside() {
    let folder = folder();
    let log = folder.path().join("postgres.log");
    fs::File::create(&log).and_then(|file| file.set_len(10_000_001)).expect("a log");
    let postgres = LocalPostgres::start(&quick(folder.path())).expect("a server");
    assert!(fs::metadata(postgres.log_file()).expect("a log").len() < 100_000);
    assert!(folder.path().join("postgres.log.1").exists());
}

#[test]
fn long_paths_and_odd_names_work() {
    let folder = folder();
    for name in ["long ".repeat(25), "a,\"b' ü%&?".to_owned()] {
        let dir = folder.path().join(&name);
        let postgres = LocalPostgres::start(&quick(&dir)).expect("a server");
        assert_eq!(query(&postgres, &["select 'there'"]).expect("an answer"), "there");
        let socket = postgres.socket_dir().to_owned();
        assert!(socket.starts_with("/tmp/"), "{}", socket.display());
        drop(postgres);
        assert!(!socket.exists());
    }
    let dir = folder.path().join("it's ü 100%");
    let postgres = LocalPostgres::start(&quick(&dir)).expect("a server");
    assert_eq!(postgres.socket_dir(), postgres.dir().join("socket"));
    query(&postgres, &["select 'there'"]).expect("an answer");
}

#[test]
fn a_folder_out_of_reach_is_moved_for_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("closed/database");
    fs::create_dir_all(&dir).expect("a folder");
    fs::set_permissions(folder.path().join("closed"), fs::Permissions::from_mode(0o700))
        .expect("permissions");
    let root = fs::metadata(folder.path()).expect("the folder").uid() == 0;
    let options = Options { remove_on_exit: true, ..quick(&dir) };
    let mut places: Vec<PathBuf> = Vec::new();
    for _ in 0..2 {
        let postgres = LocalPostgres::start(&options).expect("a server");
        query(&postgres, &["select 'there'"]).expect("an answer");
        let asked = dir.canonicalize().expect("the folder");
        if root {
            assert!(postgres.dir().starts_with("/var/lib/fechatter"), "{}", postgres.dir().display());
            assert_eq!(postgres.moved_from(), Some(&*asked));
        } else {
            assert_eq!((postgres.dir(), postgres.moved_from()), (&*asked, None));
        }
        places.push(postgres.dir().to_owned());
    }
    assert_eq!(places[0], places[1]);
    assert!(!places[0].exists(), "removed on exit");
    if root {
        // Unless somebody uses it.
        drop(fs::remove_dir("/var/lib/fechatter"));
    }
}

#[test]
fn temporary_servers_do_not_meet() {
    let servers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(LocalPostgres::temporary)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic").expect("a server")).collect()
    });
    for postgres in &servers {
        query(postgres, WRITE).expect("a table of its own");
    }
    let dirs: Vec<_> = servers.iter().map(|postgres| postgres.dir().to_owned()).collect();
    drop(servers);
    for dir in dirs {
        assert!(!dir.exists(), "{} is left", dir.display());
    }
}

#[test]
fn a_command_gets_a_migrated_database() {
    let folder = folder();
    fs::write(folder.path().join("1_word.sql"), "create table word (text text)").expect("a migration");
    let output = Command::new(env!("CARGO_BIN_EXE_with_local_postgres"))
        .arg("--migrations")
        .arg(folder.path())
        .args(["--", "/bin/sh", "-c", "echo \"$DATABASE_URL\"; exit 7"])
        .output()
        .expect("the program");
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let url = String::from_utf8(output.stdout).expect("text");
    assert!(url.starts_with("postgres://fechatter:"), "{url}");

    fs::write(folder.path().join("2_wrong.sql"), "create nonsense").expect("a migration");
    let output = Command::new(env!("CARGO_BIN_EXE_with_local_postgres"))
        .arg("--migrations")
        .arg(folder.path())
        .args(["--", "true"])
        .output()
        .expect("the program");
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("a migration failed"), "{complaint}");
}

#[test]
fn a_killed_command_leaves_nothing() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_with_local_postgres"))
        .args(["--", "/bin/sh", "-c", "echo $$; echo \"$DATABASE_URL\"; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(program.stdout.take().expect("its output")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let (command, url) = (line(), line());
    assert_eq!(query_at(&url, &["select 'there'"]).expect("an answer"), "there");
    let (_, socket) = url.split_once("?host=").expect("a socket");
    let (socket, _) = socket.split_once('&').expect("more");
    let socket = PathBuf::from(socket.replace("%2F", "/"));
    let dir = socket.parent().expect("a folder").to_owned();
    assert!(dir.exists());

    program.kill().expect("a kill");
    program.wait().expect("its end");
    wait_for("the folder to go", || !dir.exists());
    assert!(exists(&command), "the command itself was not killed");
    Command::new("kill").arg(&command).status().expect("kill");
}
