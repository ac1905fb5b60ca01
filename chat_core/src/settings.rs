//! Settings: the documented file, then a file of the operator's, then the environment.

use std::{
    env,
    fmt::{self, Display},
    fs,
    path::Path,
    str::FromStr,
};

use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer, Serializer,
    de::{DeserializeOwned, Error as _},
};

/// Reads the settings of one server.
///
/// `defaults` is the documented file that the program carries; `file`, when it exists, and then
/// `<PREFIX>_SECTION__KEY` environment variables override it. `…_FILE` names a file that holds the value.
///
/// # Errors
/// An unknown key, a value of the wrong type, or a file that cannot be read; the message names it.
pub fn read<T: DeserializeOwned>(defaults: &str, file: Option<&Path>, prefix: &str) -> Result<T, Problems> {
    let environment = Environment::of_process(prefix, keys(defaults)?);
    let mut builder = Config::builder().add_source(File::from_str(defaults, FileFormat::Yaml));
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Yaml));
    }
    Ok(builder.add_source(environment).build()?.try_deserialize()?)
}

/// Variables of the environment that look like settings and are none, as `<PREFIX>_SERVER_PORT` with one underscore.
///
/// # Errors
/// Defaults that cannot be read.
pub fn overlooked(defaults: &str, prefix: &str) -> Result<Vec<String>, Problems> {
    let environment = Environment::of_process(prefix, keys(defaults)?);
    let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "");
    let names = environment.variables.iter().map(|(name, _)| name);
    let alike = names.filter(|name| {
        path_of(name).is_none() && environment.keys.iter().any(|key| plain(key) == plain(name))
    });
    Ok(alike.map(|name| format!("{prefix}{name}")).collect())
}

/// What is wrong with settings, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Notes `line`, unless it is fine.
    pub fn unless(&mut self, fine: bool, line: &str) {
        if !fine {
            self.0.push(line.to_owned());
        }
    }

    /// Notes the failure of a part.
    pub fn note<T>(&mut self, result: Result<T, impl fmt::Display>) {
        if let Err(error) = result {
            // With what caused it, and on one line.
            self.0.push(format!("{error:#}").replace('\n', " "));
        }
    }

    /// Each problem on a line.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// Fine, when there is none.
    ///
    /// # Errors
    /// Itself, when there is one.
    pub fn none(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Problems {}

impl From<ConfigError> for Problems {
    fn from(error: ConfigError) -> Self {
        let mut problems = Self::default();
        problems.note::<()>(Err(error));
        problems
    }
}

/// Shows of a secret only whether it is set.
///
/// # Errors
/// Those of the serializer.
pub fn hidden<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if secret.expose_secret().is_empty() { "" } else { "[hidden]" })
}

/// The keys that the documented file holds, as `section.key`.
fn keys(defaults: &str) -> Result<Vec<String>, ConfigError> {
    fn collect(prefix: &str, values: Map<String, Value>, keys: &mut Vec<String>) {
        for (name, value) in values {
            let key = format!("{prefix}{name}");
            match value.kind {
                ValueKind::Table(inner) => collect(&format!("{key}."), inner, keys),
                _ => keys.push(key),
            }
        }
    }
    let mut keys = Vec::new();
    collect("", File::from_str(defaults, FileFormat::Yaml).collect()?, &mut keys);
    Ok(keys)
}

/// A list in a file; in a variable, its items with commas between them.
///
/// # Errors
/// An item that cannot be parsed.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        Text(String),
        Items(Vec<String>),
    }
    let items = match List::deserialize(deserializer)? {
        List::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
        List::Items(items) => items,
    };
    let items = items.iter().filter(|item| !item.is_empty());
    items.map(|item| item.parse().map_err(D::Error::custom)).collect()
}

/// Variables like `_DATABASE__URL`, without their prefix.
#[derive(Clone, Debug)]
struct Environment {
    prefix: String,
    /// The keys that there are.
    keys: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Environment {
    fn of_process(prefix: &str, keys: Vec<String>) -> Self {
        let variables =
            env::vars().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value)));
        Self { prefix: prefix.to_owned(), keys, variables: variables.collect() }
    }
}

/// The key that a variable's name stands for. Settings stand in sections: a name without `__` is another program's
/// (`FECHATTER_PG_BIN`).
fn path_of(name: &str) -> Option<String> {
    let path = name.strip_prefix('_').filter(|_| name.contains("__") || name == "_DATA_DIR")?;
    Some(path.to_ascii_lowercase().replace("__", "."))
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut values = Map::new();
        for (name, value) in &self.variables {
            let Some(path) = path_of(name) else { continue };
            let variable = format!("{}{name}", self.prefix);
            // Some settings' own names end in `_file`.
            let (key, text) = match path.strip_suffix("_file").filter(|_| !self.keys.contains(&path)) {
                Some(key) => (key.to_owned(), read_secret(&variable, value)?),
                None => (path, value.clone()),
            };
            let value = Value::new(Some(&variable), ValueKind::String(text));
            if values.insert(key.clone(), value).is_some() {
                return Err(ConfigError::Message(format!(
                    "two variables set {key}: {variable} is one of them"
                )));
            }
        }
        Ok(values)
    }
}

fn read_secret(variable: &str, file: &str) -> Result<String, ConfigError> {
    let text = fs::read_to_string(file)
        .map_err(|error| ConfigError::Message(format!("{variable}: cannot read {file}: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        database: Database,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Database {
        url: String,
        connections: u32,
        ca_file: String,
        #[serde(deserialize_with = "list")]
        numbers: Vec<u8>,
    }

    const DEFAULTS: &str = "database: {url: '', connections: 4, ca_file: '', numbers: ['1', '2']}";

    fn read_with(variables: &[(&str, &str)]) -> Result<Settings, Problems> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let environment = Environment { prefix: "TEST".into(), keys: keys(DEFAULTS)?, variables };
        let defaults = File::from_str(DEFAULTS, FileFormat::Yaml);
        Ok(Config::builder().add_source(defaults).add_source(environment).build()?.try_deserialize()?)
    }

    #[test]
    fn the_environment_overrides_and_secrets_stay_as_they_are() -> Result<(), Problems> {
        let settings =
            read_with(&[("_DATABASE__URL", "0012345"), ("_DATABASE__CONNECTIONS", "9"), ("_PG_BIN", "x")])?;
        assert_eq!((settings.database.url.as_str(), settings.database.connections), ("0012345", 9));
        Ok(())
    }

    #[test]
    fn lists_stand_in_files_and_in_variables() -> Result<(), Problems> {
        assert_eq!(read_with(&[])?.database.numbers, [1, 2]);
        assert_eq!(read_with(&[("_DATABASE__NUMBERS", "7, 8,9")])?.database.numbers, [7, 8, 9]);
        assert!(read_with(&[("_DATABASE__NUMBERS", "")])?.database.numbers.is_empty());
        let error = read_with(&[("_DATABASE__NUMBERS", "7,x")]).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("invalid digit")));
        Ok(())
    }

    #[test]
    fn a_secret_can_stand_in_a_file() -> Result<(), Box<dyn std::error::Error>> {
        let file = env::temp_dir().join(format!("fechatter-secret-{}", std::process::id()));
        fs::write(&file, "s3cret\n")?;
        let settings = read_with(&[("_DATABASE__URL_FILE", file.to_str().ok_or("not UTF-8")?)]);
        fs::remove_file(&file)?;
        assert_eq!(settings?.database.url, "s3cret");
        Ok(())
    }

    #[test]
    fn what_is_unknown_or_wrong_is_named() {
        let error =
            |variables| read_with(variables).map_or_else(|error| error.to_string(), |ok| format!("{ok:?}"));
        assert!(error(&[("_DATABASE__ULR", "x")]).contains("ulr"));
        assert!(error(&[("_DATABASE__CONNECTIONS", "many")]).contains("TEST_DATABASE__CONNECTIONS"));
        assert!(error(&[("_DATABASE__URL_FILE", "/nowhere")]).contains("/nowhere"));
        assert!(error(&[("_DATABASE__CONNECTIONS_FILES", "x")]).contains("connections_files"));
        assert!(error(&[("_DATABASE__URL", "x"), ("_database__url", "y")]).contains("database.url"));
        let path = ("_DATABASE__CA_FILE", "/nowhere");
        assert_eq!(read_with(&[path]).map(|settings| settings.database.ca_file), Ok("/nowhere".into()));
    }
}
