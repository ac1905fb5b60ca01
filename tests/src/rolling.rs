//! Two of each server behind nginx, as in production, restarted one after the other.

use std::{net::SocketAddr, path::PathBuf, thread::sleep, time::Duration};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    fleet::{Doors, Variables, errors_in, variables},
    nginx::{Nginx, free_port},
    program::Program,
};

/// The servers and their nginx.
pub struct Deployment {
    /// What clients connect to.
    pub nginx: Nginx,
    instances: Vec<Instance>,
    folder: TempDir,
}

/// A server with an address of its own.
struct Instance {
    name: &'static str,
    variables: Variables,
    address: SocketAddr,
    operators: SocketAddr,
    program: Option<Program>,
    /// The errors that it logged before its last restart.
    errors: Vec<String>,
}

impl Deployment {
    /// Starts two of each on a database; none when nginx is not installed. `settings` are further variables.
    pub fn start(url: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let (rest, notify) = variables(url, folder.path());
        let mut instances = Vec::new();
        for (name, prefix, variables) in
            [("fechatter_server", "FECHATTER", rest), ("notify_server", "NOTIFY", notify)]
        {
            for _ in 0..2 {
                let mut variables = variables.clone();
                variables
                    .extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
                instances.push(Instance::new(name, prefix, variables));
            }
        }
        let [a, b, c, d] = [0, 1, 2, 3].map(|i: usize| instances[i].address);
        let nginx = Nginx::start([a, b], [c, d])?;
        let mut deployment = Self { nginx, instances, folder };
        let folder = deployment.folder.path().to_owned();
        for instance in &mut deployment.instances {
            instance.start(folder.clone());
        }
        Some(deployment)
    }

    /// The way in.
    pub fn doors(&self) -> Doors {
        Doors::to(self.nginx.address, self.nginx.address)
    }

    /// Ends each server by SIGTERM, and starts it again once it has ended; the next only when it is ready.
    ///
    /// # Panics
    /// When one does not end in order, or does not get ready.
    pub fn restart_each(&mut self) {
        for instance in &mut self.instances {
            instance.end();
            instance.start(self.folder.path().to_owned());
        }
    }

    /// What the servers logged as errors.
    pub fn errors(&mut self) -> Vec<String> {
        let errors = |instance: &mut Instance| {
            let now = instance.program.as_mut().map(|program| errors_in(program.said_by_now()));
            instance.errors.iter().cloned().chain(now.unwrap_or_default()).collect::<Vec<_>>()
        };
        self.instances.iter_mut().flat_map(errors).collect()
    }
}

impl Instance {
    fn new(name: &'static str, prefix: &str, mut variables: Variables) -> Self {
        let [address, operators] =
            [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        for (key, place) in [("PORT", address), ("ADMIN_PORT", operators)] {
            variables.push((format!("{prefix}_SERVER__{key}"), place.port().to_string()));
        }
        Self { name, variables, address, operators, program: None, errors: Vec::new() }
    }

    fn start(&mut self, folder: PathBuf) {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let program = self.program.insert(Program::start(self.name, &folder, &[], &variables));
        program.until("listening");
        let url = format!("http://{}/readyz", self.operators);
        for attempt in 0.. {
            if Program::start("fechatter", &folder, &["health", &url], &[]).end().success() {
                return;
            }
            assert!(attempt < 100, "{} never got ready: {}", self.name, program.said_by_now());
            sleep(Duration::from_millis(50));
        }
    }

    fn end(&mut self) {
        let Some(mut program) = self.program.take() else { return };
        program.signal(Signal::SIGTERM);
        let status = program.end();
        assert!(status.success(), "{} ended by {status}: {}", self.name, program.said);
        self.errors.extend(errors_in(&program.said));
    }
}
