//! Makes a cluster.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::folder::Folder;
use crate::programs::Programs;
use crate::watcher::Watcher;
use crate::{Error, ROLE};

/// The major version that made a cluster; `None` when there is no cluster.
pub(crate) fn major(data: &Path) -> Result<Option<u32>, Error> {
    let not_a_cluster = || Error::NotACluster { data: data.to_owned() };
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| not_a_cluster()),
        Err(error) if error.kind() == ErrorKind::NotFound && data.exists() => Err(not_a_cluster()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", data)(error)),
    }
}

/// The password of the role, made on first use: 256 random bits in hexadecimal.
pub(crate) fn password(folder: &Folder) -> Result<String, Error> {
    let path = folder.home().join("password");
    match fs::read_to_string(&path) {
        Ok(password) => return Ok(password.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("read", &path)(error)),
        Err(_) if folder.data().exists() => {
            return Err(Error::PasswordMissing { dir: folder.home().to_owned() });
        }
        Err(_) => {}
    }
    let password = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let new = folder.home().join("password.new");
    write_secret(&new, &password)?;
    fs::rename(&new, &path).map_err(Error::io("write", &path))?;
    Ok(password)
}

fn write_secret(path: &Path, secret: &str) -> Result<(), Error> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("write", path))?;
    file.write_all(secret.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", path))
}

/// Makes the cluster beside its place and moves it there when it is whole.
pub(crate) fn make(
    folder: &Folder,
    programs: &Programs,
    watcher: &mut Watcher,
    password: &str,
    durable: bool,
) -> Result<(), Error> {
    remove_halves(folder.home());
    let workshop = folder.home().join(format!("init-{:08x}", rand::random::<u32>()));
    DirBuilder::new().mode(0o700).create(&workshop).map_err(Error::io("make", &workshop))?;
    folder.account().own(&workshop)?;
    let password_file = workshop.join("password");
    write_secret(&password_file, password)?;
    folder.account().own(&password_file)?;

    let data = workshop.join("data");
    let made = run_initdb(folder, programs, watcher, &data, &password_file, durable).and_then(|()| {
        fs::rename(&data, folder.data()).map_err(Error::io("move", &data))?;
        let home = File::open(folder.home()).and_then(|home| home.sync_all());
        home.map_err(Error::io("write", folder.home()))
    });
    remove_halves(folder.home());
    made
}

/// Removes what interrupted runs left. Their `initdb` may still be at it; then the next start removes the rest.
fn remove_halves(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"init-") {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Tries the locales in turn; the last error counts.
fn run_initdb(
    folder: &Folder,
    programs: &Programs,
    watcher: &mut Watcher,
    data: &Path,
    password_file: &Path,
    durable: bool,
) -> Result<(), Error> {
    let mut output = String::new();
    for locale in locales(programs.major()) {
        let mut initdb = folder.account().command(&programs.initdb());
        initdb
            .arg("-D")
            .arg(data)
            .arg(format!("--username={ROLE}"))
            .arg("--pwfile")
            .arg(password_file)
            .args(["--encoding=UTF8", "--auth=scram-sha-256", "--no-instructions"])
            .arg(if durable { "--data-checksums" } else { "--no-sync" })
            .args(*locale)
            // Messages in English: one of them is looked for.
            .env("LC_ALL", "C")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let path = programs.initdb();
        let child = initdb.spawn().map_err(Error::io("run", &path))?;
        watcher.watch_child(child.id());
        let result = child.wait_with_output().map_err(Error::io("run", &path));
        watcher.watch_nothing();
        let result = result?;
        if result.status.success() {
            return Ok(());
        }
        output = said(&result);
        if !output.contains("invalid locale") {
            break;
        }
    }
    Err(Error::InitFailed { output })
}

/// Locales that sort by code point, the same on every machine.
///
/// `C.UTF-8` knows the letters of all scripts. Where the operating system lacks it (older macOS), the server has it
/// built in from version 17 on; before that only `C` is left, whose `lower()` changes ASCII alone (PostgreSQL
/// documentation, section 24.1).
fn locales(major: u32) -> &'static [&'static [&'static str]] {
    const SYSTEM: &[&str] = &["--locale=C.UTF-8"];
    const BUILT_IN: &[&str] = &["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
    const PLAIN: &[&str] = &["--locale=C"];
    if major >= 17 { &[SYSTEM, BUILT_IN] } else { &[SYSTEM, PLAIN] }
}

fn said(output: &Output) -> String {
    let both = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}
