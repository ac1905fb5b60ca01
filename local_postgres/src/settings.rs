//! The server's settings, given on its command line (PostgreSQL documentation, chapter 19).

use std::path::Path;

use crate::Options;

/// The port, which is only a part of the socket's name unless further settings make the server listen on it.
pub(crate) const PORT: u16 = 5432;

/// All settings, the later ones winning.
pub(crate) fn all(options: &Options, socket: &Path) -> Vec<(String, String)> {
    let socket = format!("\"{}\"", socket.display());
    let connections = options.max_connections.to_string();
    let port = PORT.to_string();
    let mut settings = vec![
        ("listen_addresses", ""),
        ("unix_socket_directories", &*socket),
        ("port", &*port),
        ("max_connections", &*connections),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("log_line_prefix", "%m [%p] "),
        ("log_checkpoints", "off"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        // Compiling a plan takes longer than any query of a chat.
        ("jit", "off"),
    ];
    settings.extend(if options.durable { DURABLE } else { FAST });
    settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(options.extra_settings.iter().cloned())
        .collect()
}

/// The port that the settings come to.
pub(crate) fn port(settings: &[(String, String)]) -> u16 {
    let last = settings.iter().rev().find(|(name, _)| name == "port");
    last.and_then(|(_, port)| port.parse().ok()).unwrap_or(PORT)
}

const DURABLE: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("wal_compression", "on"),
    // The details of an error quote the row: addresses and messages do not belong in a log.
    ("log_error_verbosity", "terse"),
];

const FAST: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "64MB"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "256MB"),
];
