//! Where a database URL leads, and whether the way there is safe.

use std::{fs, net::IpAddr, path::Path, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{DatabaseSettings, SettingsError};

/// The parameters that sqlx knows. It logs any other with its value, which can be a part of a password, and goes on
/// without it: a misspelt `sslmode` would be none.
const PARAMETERS: [&str; 19] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "options[",
];
/// Those that name the authorities.
const AUTHORITIES: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];

/// The way that `url`, the value of `setting`, stands for.
///
/// # Errors
/// None at all, not a PostgreSQL URL, or a way to another machine on which somebody could listen or stand in for
/// the database. Nothing of the URL is in the error.
pub(super) fn options(
    settings: &DatabaseSettings,
    setting: &'static str,
    url: &SecretString,
) -> Result<PgConnectOptions, SettingsError> {
    let url = url.expose_secret();
    if url.is_empty() {
        return Err(SettingsError::Missing);
    }
    let parameters = parameters(url).ok_or(SettingsError::Malformed(setting))?;
    let known = |name: &str| {
        PARAMETERS
            .iter()
            .any(|known| if known.ends_with('[') { name.starts_with(known) } else { name == *known })
    };
    if !parameters.iter().all(|(name, _)| known(name)) {
        return Err(SettingsError::Parameter(setting));
    }
    let mut options = PgConnectOptions::from_str(url).map_err(|_| SettingsError::Malformed(setting))?;
    // An IPv6 address has brackets in a URL only.
    let host = options.get_host();
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = address.to_owned();
        options = options.host(&address);
    }
    let authorities = parameters.iter().rev().find(|(name, _)| AUTHORITIES.contains(&name.as_str()));
    match authorities {
        Some((_, file)) => check_authorities(Path::new(file))?,
        None if settings.ca_file.as_os_str().is_empty() => {}
        None => {
            check_authorities(&settings.ca_file)?;
            options = options.ssl_root_cert(&settings.ca_file);
        }
    }
    if !(is_safe(&options) || settings.allow_insecure) {
        return Err(SettingsError::Insecure(setting));
    }
    Ok(options)
}

/// The parameters of a PostgreSQL URL, in their order; none when it is no such URL.
fn parameters(url: &str) -> Option<Vec<(String, String)>> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    // A `#` begins a fragment, which a database has not: it stands in a password that was not encoded.
    if rest.contains('#') {
        return None;
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    Some(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

/// Whether nobody can listen, or stand in for the database: it is on this machine, or proves who it is.
pub(super) fn is_safe(options: &PgConnectOptions) -> bool {
    is_local(options) || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull)
}

/// Whether nobody can come between: a Unix socket, or an address of this machine itself.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// A file without a certificate would be as good as none, and an error only at the first connection.
fn check_authorities(file: &Path) -> Result<(), SettingsError> {
    let wrong = |why: String| SettingsError::Authorities { file: file.display().to_string(), why };
    let text = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let blocks = pem::parse_many(text).map_err(|_| wrong("it is not in PEM".into()))?;
    if blocks.iter().any(|block| block.tag() == "CERTIFICATE") {
        Ok(())
    } else {
        Err(wrong("it holds no certificate in PEM".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: &str = "database.url";

    fn settings() -> DatabaseSettings {
        DatabaseSettings {
            url: SecretString::default(),
            listen_url: SecretString::default(),
            ca_file: "".into(),
            allow_insecure: false,
            max_connections: 1,
            acquire_timeout_s: 1,
            statement_timeout_s: 1,
            lock_timeout_s: 1,
            idle_in_transaction_timeout_s: 1,
        }
    }

    fn judge(url: &str) -> Result<PgConnectOptions, String> {
        options(&settings(), SETTING, &SecretString::from(url)).map_err(|error| error.to_string())
    }

    #[test]
    fn this_machine_may_be_reached_by_any_means() {
        for url in [
            "postgres://localhost/db",
            "postgresql://LocalHost/db?sslmode=disable",
            "postgres://ann:secret@127.0.0.1:6543/db",
            "postgres://127.8.9.1/db",
            "postgres://[::1]/db",
            "postgres://[::ffff:127.0.0.1]/db",
            "postgres:///db?host=/run/postgresql",
            "postgres:///db?host=%2Frun%2Fpostgresql&sslmode=disable",
            "postgres://%2Frun%2Fpostgresql/db",
            "postgres://%2frun%2fpostgresql:5433/db",
            "postgres:///db?host=localhost",
            "postgres://db.example.com/db?host=::1",
            "postgres://db.example.com/db?hostaddr=127.0.0.1",
        ] {
            assert!(judge(url).is_ok(), "{url}: {:?}", judge(url).err());
        }
    }

    #[test]
    fn another_machine_is_reached_by_verified_tls_or_not_at_all() {
        for way in [
            "postgres://db.example.com/db?",
            "postgres://DB.EXAMPLE.COM:5432/db?",
            "postgres://ann:secret@10.0.0.1/db?",
            "postgres://[2001:db8::1]/db?",
            "postgres://[::ffff:10.0.0.1]/db?",
            // Looks local, and need not be.
            "postgres://localhost.example.com/db?",
            "postgres://localhost./db?",
            "postgres://127.0.0.1.example.com/db?",
            "postgres://127.1/db?",
            "postgres://0.0.0.0/db?",
            "postgres://[::]/db?",
            "postgres://%6cocalhost/db?",
            "postgres://localhost@db.example.com/db?",
            "postgres://localhost:x@db.example.com/db?",
            // The last one counts, and of a list no single one.
            "postgres://localhost/db?host=db.example.com&",
            "postgres://localhost/db?host=localhost&hostaddr=10.0.0.1&",
            "postgres://localhost/db?h%6fst=db.example.com&",
            "postgres:///db?host=localhost,db.example.com&",
            "postgres://localhost,db.example.com/db?",
        ] {
            for mode in [
                "",
                "sslmode=disable",
                "sslmode=allow",
                "sslmode=prefer",
                "sslmode=require",
                "sslmode=verify-ca",
                "ssl-mode=prefer",
                "sslmode=verify-full&sslmode=prefer",
            ] {
                let refused = judge(&format!("{way}{mode}")).err();
                let refused = refused.unwrap_or_else(|| panic!("{way}{mode} was accepted"));
                assert!(refused.contains("sslmode=verify-full"), "{way}{mode}: {refused}");
                assert_eq!(refused.lines().count(), 1);
            }
            for mode in ["sslmode=verify-full", "ssl-mode=VERIFY-FULL", "sslmode=prefer&sslmode=verify-full"]
            {
                assert!(judge(&format!("{way}{mode}")).is_ok(), "{way}{mode}");
            }
            let allowed = DatabaseSettings { allow_insecure: true, ..settings() };
            assert!(options(&allowed, SETTING, &SecretString::from(way)).is_ok(), "{way}");
        }
    }

    #[test]
    fn an_ipv6_address_loses_its_brackets() {
        let options = judge("postgres://[2001:db8::1]:5433/db?sslmode=verify-full").expect("accepted");
        assert_eq!((options.get_host(), options.get_port()), ("2001:db8::1", 5433));
    }

    #[test]
    fn what_is_no_url_of_ours_is_refused_without_being_shown() {
        for url in [
            "s3cret",
            "mysql://s3cret@localhost/db",
            "POSTGRES://s3cret@localhost/db",
            "host=localhost password=s3cret",
            "postgres://ann:s3cret#1@localhost/db",
            "postgres://ann:12#s3cret@localhost/db",
            "postgres://ann:x?s3cret@localhost/db",
            "postgres://ann:s3cret@localhost/db?sslMode=verify-full",
            "postgres://ann:s3cret@db.example.com/db?ssl_mode=verify-full",
            "postgres://ann:s3cret@localhost/db?sslmode=s3cret",
            "postgres://ann:s3cret@localhost/db?hostaddr=s3cret",
            "postgres://ann:s3cret@localhost/db?port=s3cret",
            "postgres://ann:s3cret@localhost:s3cret/db",
            "postgres://ann:s3cret@[s3cret]/db",
            "postgres://ann:s3cret@db.example.com/s3cret",
        ] {
            let refused = judge(url).err().unwrap_or_else(|| panic!("{url} was accepted"));
            assert!(refused.starts_with(SETTING), "{url}: {refused}");
            assert!(!refused.contains("s3cret"), "{url}: {refused}");
            assert_eq!(refused.lines().count(), 1, "{url}: {refused}");
        }
    }

    #[test]
    fn authorities_must_be_there() {
        let missing = "postgres://db.example.com/db?sslmode=verify-full&sslrootcert=/nowhere/ca.pem";
        let refused = judge(missing).err().unwrap_or_default();
        assert!(refused.contains("/nowhere/ca.pem"), "{refused}");
        let by_setting = DatabaseSettings { ca_file: "Cargo.toml".into(), ..settings() };
        let url = SecretString::from("postgres://db.example.com/db?sslmode=verify-full");
        let refused = options(&by_setting, SETTING, &url).expect_err("refused").to_string();
        assert!(refused.contains("holds no certificate"), "{refused}");
    }
}
