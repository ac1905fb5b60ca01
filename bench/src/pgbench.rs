//! pgbench, which measures what PostgreSQL does without us (PostgreSQL manual, reference page pgbench).

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use tokio::process::Command;

/// pgbench, on a database.
pub(crate) struct Pgbench {
    program: PathBuf,
    url: String,
    folder: PathBuf,
}

impl Pgbench {
    /// Where it is: with the programs of the server, or else on the path; `None` when it is not there.
    pub(crate) async fn find(programs: &Path, url: &str, folder: &Path) -> Option<Self> {
        for program in [programs.join("pgbench"), PathBuf::from("pgbench")] {
            let shown = Command::new(&program).arg("--version").stdout(Stdio::null()).status().await;
            if shown.is_ok_and(|status| status.success()) {
                return Some(Self { program, url: url.to_owned(), folder: folder.to_owned() });
            }
        }
        None
    }

    /// Transactions a second of a script with these variables, as prepared statements.
    pub(crate) async fn run(
        &self,
        script: &str,
        variables: &[(&str, String)],
        clients: usize,
        time: Duration,
    ) -> anyhow::Result<f64> {
        let file = self.folder.join("pgbench.sql");
        tokio::fs::write(&file, script).await?;
        let threads = clients.min(std::thread::available_parallelism()?.get());
        let output = Command::new(&self.program)
            .args(["--no-vacuum", "--protocol=prepared"])
            .arg(format!("--file={}", file.display()))
            .arg(format!("--client={clients}"))
            .arg(format!("--jobs={threads}"))
            .arg(format!("--time={}", time.as_secs().max(1)))
            .args(variables.iter().map(|(name, value)| format!("--define={name}={value}")))
            .arg(&self.url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pgbench failed: {complaint}");
        tps(&said).with_context(|| format!("pgbench did not say how fast it was: {said} {complaint}"))
    }
}

/// The line `tps = 1234.5 (without initial connection time)`; before PostgreSQL 14 there were two such lines, of
/// which the last one leaves the connecting out.
fn tps(said: &str) -> Option<f64> {
    let mut lines = said.lines().filter_map(|line| line.trim().strip_prefix("tps = "));
    lines.next_back()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_one_without_connecting() {
        let said = "latency average = 3.1 ms\ntps = 100.5 (including connections establishing)\n\
                    tps = 120.25 (excluding connections establishing)\n";
        assert_eq!(tps(said), Some(120.25));
        assert_eq!(
            tps("initial connection time = 2 ms\ntps = 7.0 (without initial connection time)"),
            Some(7.0)
        );
        assert_eq!(tps("nothing"), None);
    }
}
