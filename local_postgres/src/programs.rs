//! Finds the server programs of this machine.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::Error;
use crate::account::Account;

/// The oldest major version that is used.
pub(crate) const MINIMUM_MAJOR: u32 = 15;

/// A folder with `initdb` and `postgres` of one version.
#[derive(Debug)]
pub(crate) struct Programs {
    bin: PathBuf,
    version: String,
    major: u32,
}

impl Programs {
    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn major(&self) -> u32 {
        self.major
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.bin.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.bin.join("postgres")
    }

    /// The programs of a folder, or what is wrong with it.
    fn in_folder(folder: &Path, account: &Account, major: Option<u32>) -> Result<Self, String> {
        // A link to `postgres` alone says where the programs are.
        let postgres = folder.join("postgres").canonicalize().map_err(|_| "no `postgres`".to_owned())?;
        let bin = postgres.parent().unwrap_or(folder).to_owned();
        if !bin.join("initdb").is_file() {
            return Err("`postgres` without `initdb`".to_owned());
        }
        let output = account
            .command(&postgres)
            .arg("--version")
            .output()
            .map_err(|error| format!("user `{}` cannot run it: {error}", account.name()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let (version, found) = parse_version(&said, "postgres").ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!("`postgres --version` fails: {}{}", said.trim(), complaint.trim())
        })?;
        if found < MINIMUM_MAJOR {
            return Err(format!("version {version} is older than {MINIMUM_MAJOR}"));
        }
        if let Some(major) = major
            && major != found
        {
            return Err(format!("version {version}"));
        }
        Ok(Self { bin, version: version.to_owned(), major: found })
    }
}

/// `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)` is `15.13` of 15; `18beta1` is of 18.
fn parse_version<'a>(said: &'a str, program: &str) -> Option<(&'a str, u32)> {
    let said = said.strip_prefix(program)?.strip_prefix(" (PostgreSQL) ")?;
    let version = said.split_whitespace().next()?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((version, version[..digits].parse().ok()?))
}

/// A place to look in, with the folders that it stands for.
pub(crate) struct Place {
    name: String,
    folders: Vec<PathBuf>,
}

impl Place {
    fn new(name: impl Into<String>, folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { name: name.into(), folders: folders.into_iter().collect() }
    }
}

/// Where programs were looked for, one place a line, with what was found instead.
#[derive(Debug, Default)]
pub struct Looked(Vec<String>);

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(" nowhere");
        }
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// The first programs that can be used; of one major version only, when a cluster demands it.
pub(crate) fn find(places: &[Place], account: &Account, major: Option<u32>) -> Result<Programs, Error> {
    let mut looked = Looked::default();
    for place in places {
        let mut wrong = Vec::new();
        for folder in &place.folders {
            match Programs::in_folder(folder, account, major) {
                Ok(programs) => return Ok(programs),
                Err(reason) if folder.join("postgres").exists() => {
                    wrong.push(format!("{}: {reason}", folder.display()));
                }
                Err(_) => {}
            }
        }
        looked.0.push(if wrong.is_empty() {
            format!("{}: nothing", place.name)
        } else {
            format!("{} ({})", place.name, wrong.join("; "))
        });
    }
    Err(match major {
        Some(major) => Error::VersionMismatch { major, looked },
        None => Error::ProgramsMissing { looked },
    })
}

/// A client program, as `pg_dump`, for a server of this major version: an older program refuses a newer server.
///
/// # Errors
/// None was found, or older ones only.
pub fn find_client(name: &'static str, server_major: u32) -> Result<PathBuf, Error> {
    let mut looked = Looked::default();
    for place in places(Path::new("")) {
        let mut wrong = Vec::new();
        for program in
            place.folders.iter().map(|folder| folder.join(name)).filter(|program| program.is_file())
        {
            match client_major(&program, name) {
                Some(major) if major >= server_major => return Ok(program),
                Some(major) => wrong.push(format!("{}: version {major}", program.display())),
                None => wrong.push(format!("{}: says no version", program.display())),
            }
        }
        looked.0.push(if wrong.is_empty() {
            format!("{}: nothing", place.name)
        } else {
            format!("{} ({})", place.name, wrong.join("; "))
        });
    }
    Err(Error::ClientMissing { name, major: server_major, looked })
}

fn client_major(program: &Path, name: &str) -> Option<u32> {
    let output =
        Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    parse_version(&said, name).map(|(_, major)| major)
}

/// The places to look in, in order. `scripts/get-postgres.sh` has the same list.
///
/// `FECHATTER_PG_BIN` is a decision: when it is set, nothing else counts.
pub(crate) fn places(database_dir: &Path) -> Vec<Place> {
    if let Some(named) = env::var_os("FECHATTER_PG_BIN").filter(|value| !value.is_empty()) {
        let named = PathBuf::from(named);
        return vec![Place::new(format!("FECHATTER_PG_BIN={}", named.display()), [named])];
    }
    let path = env::var_os("PATH").unwrap_or_default();
    vec![
        Place::new("PATH", env::split_paths(&path).filter(|folder| folder.is_absolute())),
        Place::new("`pg_config --bindir`", pg_config_bindir()),
        numbered("/usr/lib/postgresql", "", "bin"),
        numbered("/usr", "pgsql-", "bin"),
        numbered("/opt/homebrew/opt", "postgresql", "bin"),
        numbered("/usr/local/opt", "postgresql", "bin"),
        numbered("/Applications/Postgres.app/Contents/Versions", "", "bin"),
        Place::new(
            ".fechatter/postgres-programs/bin",
            fetched(database_dir).into_iter().filter(|folder| is_trusted(folder)),
        ),
        Place::new(
            "/var/lib/fechatter/postgres-programs/bin",
            [PathBuf::from("/var/lib/fechatter/postgres-programs/bin")],
        ),
    ]
}

fn pg_config_bindir() -> Option<PathBuf> {
    let output =
        Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let bindir = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(bindir.trim_end())).filter(|folder| folder.is_absolute())
}

/// The folders `<parent>/<prefix>*/<inside>`, the highest version first.
fn numbered(parent: &str, prefix: &str, inside: &str) -> Place {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = number_after(prefix, &entry.file_name())?;
            Some((number, entry.path().join(inside)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    Place::new(format!("{parent}/{prefix}*/{inside}"), found.into_iter().map(|(_, folder)| folder))
}

/// `postgresql@17` is 17 after `postgresql`; a name without a number is 0.
fn number_after(prefix: &str, name: &OsStr) -> Option<u32> {
    let rest = name.to_str()?.strip_prefix(prefix)?.trim_start_matches('@');
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(rest[..digits].parse().unwrap_or(0))
}

/// Where `scripts/get-postgres.sh` puts programs, seen from the project's folder, from a crate in it (where
/// `cargo test` runs) and from the database's own folder.
fn fetched(database_dir: &Path) -> Vec<PathBuf> {
    let current = env::current_dir().unwrap_or_default();
    let below = |folder: &Path| folder.join(".fechatter/postgres-programs/bin");
    current
        .ancestors()
        .take(2)
        .map(below)
        .chain(database_dir.parent().map(|parent| parent.join("postgres-programs/bin")))
        .collect()
}

/// Whether programs found relative to the current folder belong to somebody whose programs may be run.
fn is_trusted(folder: &Path) -> bool {
    geteuid().is_root()
        || fs::metadata(folder).is_ok_and(|found| found.uid() == 0 || found.uid() == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account::for_cluster(Path::new("/nonexistent")).expect("a user to run as")
    }

    #[test]
    fn versions_of_all_shapes() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n", "postgres"),
            Some(("15.13", 15))
        );
        assert_eq!(parse_version("pg_dump (PostgreSQL) 19beta2\n", "pg_dump"), Some(("19beta2", 19)));
        assert_eq!(parse_version("postgres (PostgreSQL) devel\n", "postgres"), None);
        assert_eq!(parse_version("", "postgres"), None);
    }

    #[test]
    fn folders_are_numbered() {
        assert_eq!(number_after("", OsStr::new("17")), Some(17));
        assert_eq!(number_after("pgsql-", OsStr::new("pgsql-16")), Some(16));
        assert_eq!(number_after("postgresql", OsStr::new("postgresql@18")), Some(18));
        assert_eq!(number_after("postgresql", OsStr::new("postgresql")), Some(0));
        assert_eq!(number_after("postgresql", OsStr::new("perl")), None);
    }

    #[test]
    fn missing_programs_are_explained() {
        let error = find(&[], &account(), None).expect_err("there is nowhere to look").to_string();
        for part in ["apt install postgresql", "dnf install postgresql-server", "brew install postgresql@17"]
        {
            assert!(error.contains(part), "{error}");
        }
        assert!(error.ends_with("Looked in: nowhere"), "{error}");
    }

    #[test]
    fn unusable_programs_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = || [Place::new("here", [folder.path().to_owned()])];
        let message = |major| find(&place(), &account(), major).expect_err("nothing to be found").to_string();
        assert!(message(None).contains("here: nothing"));

        script(&folder.path().join("postgres"), "echo postgres '(PostgreSQL)' 14.2");
        assert!(message(None).contains("`postgres` without `initdb`"));

        script(&folder.path().join("initdb"), "exit 1");
        fs::set_permissions(folder.path(), mode(0o755)).expect("permissions");
        assert!(message(None).contains("version 14.2 is older than 15"), "{}", message(None));

        script(&folder.path().join("postgres"), "echo postgres '(PostgreSQL)' 17.2");
        let message = message(Some(16));
        assert!(message.contains("made by PostgreSQL 16"), "{message}");
        assert!(message.contains("version 17.2"), "{message}");
        assert_eq!(find(&place(), &account(), Some(17)).expect("programs").version(), "17.2");
    }

    #[test]
    fn a_link_to_the_program_leads_to_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), mode(0o755)).expect("permissions");
        let (real, links) = (folder.path().join("real"), folder.path().join("links"));
        fs::create_dir(&real).expect("a folder");
        fs::create_dir(&links).expect("a folder");
        script(&real.join("initdb"), "exit 1");
        script(&real.join("postgres"), "echo postgres '(PostgreSQL)' 17.2");
        std::os::unix::fs::symlink(real.join("postgres"), links.join("postgres")).expect("a link");

        let programs = find(&[Place::new("links", [links])], &account(), None).expect("programs");
        assert_eq!(programs.bin(), real.canonicalize().expect("a folder"));
    }

    /// Written by a shell: a file that this process has open for writing could not be executed in a fork of it.
    fn script(path: &Path, line: &str) {
        let status = Command::new("/bin/sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\""])
            .arg(path)
            .arg(line)
            .status()
            .expect("a shell");
        assert!(status.success());
    }

    fn mode(mode: u32) -> fs::Permissions {
        std::os::unix::fs::PermissionsExt::from_mode(mode)
    }
}
