//! The programs under load, as processes whose use can be told apart.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tokio::time::sleep;

/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that listens, killed on drop.
pub(crate) struct Process {
    child: Child,
    /// Where clients reach it.
    pub(crate) address: SocketAddr,
}

/// The line of a log that says where a program listens.
#[derive(Deserialize)]
struct Listening {
    clients: SocketAddr,
}

impl Process {
    /// Starts a program that stands beside this one, with its log in `folder`, and waits until it listens.
    pub(crate) async fn start(
        name: &str,
        arguments: &[&str],
        variables: &[(&str, String)],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}-{}.log", uuid::Uuid::now_v7()));
        let program = beside(name)?;
        let mut child = Command::new(&program)
            .args(arguments)
            // Away from an `app.yml` that lies about.
            .current_dir(folder)
            .env_remove("DATABASE_URL")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        match listening(&mut child, &log).await {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                end(&mut child);
                Err(error.context(format!("{name} did not start")))
            }
        }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    drop(child.kill());
    drop(child.wait());
}

fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(program.exists(), "{} is not there: `make bench` builds all that is needed", program.display());
    Ok(program)
}

async fn listening(child: &mut Child, log: &Path) -> anyhow::Result<SocketAddr> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let said = fs::read_to_string(log)?;
        let found = said.lines().find_map(|line| serde_json::from_str::<Listening>(line).ok());
        if let Some(listening) = found {
            return Ok(listening.clients);
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status} and said:\n{said}");
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("it said nowhere in {} where it listens", log.display());
}
