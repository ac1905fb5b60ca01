//! docker-compose.yml, read as Compose reads it, so that its services can be started without containers: the same
//! programs, arguments and variables, with each volume a folder below one of the test's own.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use yaml_rust2::{Yaml, YamlLoader, yaml::Hash};

use crate::program;

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// The file.
pub struct Compose {
    services: Hash,
    /// Holds what the volumes would hold.
    folder: PathBuf,
}

/// A service, its paths mapped.
#[derive(Clone, Debug)]
pub struct Service {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// The command of its health check.
    pub health: Vec<String>,
    /// Paths in the container, and what stands for them here.
    mounts: Vec<(String, PathBuf)>,
}

impl Compose {
    /// Reads the file, as without `.env`.
    pub fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(repository().join("docker-compose.yml")).expect("docker-compose.yml");
        let documents = YamlLoader::load_from_str(&text).expect("YAML");
        let services = map(merged(&documents[0]["services"]));
        Self { services, folder: folder.to_owned() }
    }

    /// The names of all services.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.services.keys().filter_map(Yaml::as_str)
    }

    /// A property of a service, as it stands in the file.
    pub fn property(&self, service: &str, name: &str) -> Yaml {
        let service = self.services.get(&Yaml::from_str(service)).expect("a service");
        service
            .as_hash()
            .and_then(|service| service.get(&Yaml::from_str(name)))
            .cloned()
            .unwrap_or(Yaml::BadValue)
    }

    /// A service to be started here.
    pub fn service(&self, name: &str) -> Service {
        let texts = |property: &str| match self.property(name, property) {
            Yaml::Array(items) => items.iter().map(text).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let mut mounts: Vec<_> = texts("volumes").iter().map(|volume| self.mount(volume)).collect();
        mounts.extend(texts("tmpfs").iter().map(|tmpfs| self.mount(&format!("tmp-of-{name}:{tmpfs}"))));
        // A folder of volumes, each by its own name, is the folder that holds all volumes.
        let parents: Vec<_> = mounts.iter().filter_map(parent).collect();
        mounts.extend(parents);
        let mut service =
            Service { command: Vec::new(), environment: BTreeMap::new(), health: Vec::new(), mounts };
        service.command =
            texts("entrypoint").iter().chain(&texts("command")).map(|word| service.map(word)).collect();
        if let Yaml::Hash(environment) = self.property(name, "environment") {
            let variables = environment.iter().map(|(name, value)| (text(name), service.map(&text(value))));
            service.environment = variables.collect();
        }
        if let Yaml::Hash(check) = self.property(name, "healthcheck")
            && let Some(Yaml::Array(words)) = check.get(&Yaml::from_str("test"))
        {
            assert_eq!(text(&words[0]), "CMD", "{name}: there is no shell in the image");
            service.health = words[1..].iter().map(text).collect();
        }
        service
    }

    /// `name:/path[:options]`, or `./file:/path[:options]`: files of the repository are copied, so that any user can
    /// reach them.
    fn mount(&self, volume: &str) -> (String, PathBuf) {
        let mut parts = volume.split(':');
        let (source, target) = (parts.next().expect("a source"), parts.next().expect("a target"));
        let Some(file) = source.strip_prefix("./") else {
            let folder = self.folder.join(source);
            fs::create_dir_all(&folder).expect("a folder");
            return (target.to_owned(), folder);
        };
        let mounted = self.folder.join("files").join(file);
        copy(&repository().join(file), &mounted).unwrap_or_else(|error| panic!("{file}: {error}"));
        for folder in mounted.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.folder)) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("permissions");
        }
        (target.to_owned(), mounted)
    }
}

impl Service {
    /// Changes a variable that the file has.
    pub fn change(&mut self, name: &str, value: impl Into<String>) {
        let known = self.environment.insert(name.to_owned(), value.into());
        assert!(known.is_some(), "docker-compose.yml does not set {name}");
    }

    /// Where a path of the container is here.
    pub fn map(&self, text: &str) -> String {
        let path = |word: &str| {
            let found = self.mounts.iter().filter_map(|(target, here)| {
                let rest = word.strip_prefix(target.as_str())?;
                (rest.is_empty() || rest.starts_with('/'))
                    .then(|| (target.len(), format!("{}{rest}", here.display())))
            });
            found.max().map_or_else(|| word.to_owned(), |(_, mapped)| mapped)
        };
        let words = text.split_inclusive([' ', '=']).map(|word| {
            let bare = word.trim_end_matches([' ', '=']);
            path(bare) + &word[bare.len()..]
        });
        words.collect()
    }

    /// The command to run here, in a folder: one of our programs from the target folder, another from `PATH`.
    pub fn command(&self, folder: &Path) -> Command {
        let name = &self.command[0];
        let ours = program::path(name);
        let mut command = if ours.is_file() { Command::new(ours) } else { Command::new(name) };
        command.args(&self.command[1..]).envs(&self.environment).current_dir(folder);
        command
    }
}

/// The folders that hold the two ends of a mount, when they are of one name.
fn parent((target, here): &(String, PathBuf)) -> Option<(String, PathBuf)> {
    let target = Path::new(target);
    let same_name = target.file_name() == here.file_name();
    let parents =
        target.parent().zip(here.parent()).filter(|(target, _)| same_name && *target != Path::new("/"));
    parents.map(|(target, here)| (target.display().to_string(), here.to_owned()))
}

/// A file, or a folder with all that is in it; what is there already stays.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().expect("a folder"))?;
        return if to.exists() { Ok(()) } else { fs::copy(from, to).map(drop) };
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
}

/// A scalar as Compose reads it: `${NAME:-default}` is the default.
fn text(value: &Yaml) -> String {
    let mut text = match value {
        Yaml::String(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(flag) => flag.to_string(),
        other => panic!("not a text: {other:?}"),
    };
    while let Some((before, rest)) = text.split_once("${") {
        let (variable, after) = rest.split_once('}').expect("a closing brace");
        let (_, default) = variable.split_once(":-").unwrap_or_else(|| panic!("{variable} has no default"));
        text = format!("{before}{default}{after}");
    }
    text
}

/// With `<<` merged into what stands beside it, which wins.
fn merged(value: &Yaml) -> Yaml {
    match value {
        Yaml::Hash(fields) => {
            let mut all = Hash::new();
            if let Some(base) = fields.get(&Yaml::from_str("<<")) {
                all.extend(map(merged(base)));
            }
            for (name, value) in fields.iter().filter(|(name, _)| name.as_str() != Some("<<")) {
                all.insert(name.clone(), merged(value));
            }
            Yaml::Hash(all)
        }
        Yaml::Array(items) => Yaml::Array(items.iter().map(merged).collect()),
        other => other.clone(),
    }
}

fn map(value: Yaml) -> Hash {
    value.into_hash().expect("a mapping")
}
