//! Settings: the documented file, then a file of the operator's, then the environment.

use std::{env, fmt::Display, fs, path::Path, str::FromStr};

use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};

/// Reads the settings of one server.
///
/// `defaults` is the documented file that the program carries; `file`, when it exists, and then
/// `<PREFIX>_SECTION__KEY` environment variables override it. `…_FILE` names a file that holds the value.
///
/// # Errors
/// An unknown key, a value of the wrong type, or a file that cannot be read; the message names it.
pub fn read<T: DeserializeOwned>(
    defaults: &str,
    file: Option<&Path>,
    prefix: &str,
) -> Result<T, ConfigError> {
    let mut builder = Config::builder().add_source(File::from_str(defaults, FileFormat::Yaml));
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Yaml));
    }
    let variables =
        env::vars().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value)));
    builder
        .add_source(Environment { prefix: prefix.to_owned(), variables: variables.collect() })
        .build()?
        .try_deserialize()
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
    variables: Vec<(String, String)>,
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut values = Map::new();
        for (name, value) in &self.variables {
            // Settings stand in sections: a name without `__` is another program's (FECHATTER_PG_BIN).
            let Some(path) = name.strip_prefix('_').filter(|_| name.contains("__") || name == "_DATA_DIR")
            else {
                continue;
            };
            let variable = format!("{}{name}", self.prefix);
            let path = path.to_ascii_lowercase();
            let (key, text) = match path.strip_suffix("_file").filter(|_| !is_path_setting(&path)) {
                Some(key) => (key, read_secret(&variable, value)?),
                None => (path.as_str(), value.clone()),
            };
            values.insert(key.replace("__", "."), Value::new(Some(&variable), ValueKind::String(text)));
        }
        Ok(values)
    }
}

/// Settings whose own name ends in `_file`.
fn is_path_setting(path: &str) -> bool {
    ["_key_file", "_certificate_file"].iter().any(|end| path.ends_with(end))
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
        #[serde(deserialize_with = "list")]
        numbers: Vec<u8>,
    }

    fn read_with(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::builder()
            .add_source(File::from_str(
                "database: {url: '', connections: 4, numbers: ['1', '2']}",
                FileFormat::Yaml,
            ))
            .add_source(Environment { prefix: "TEST".into(), variables })
            .build()?
            .try_deserialize()
    }

    #[test]
    fn the_environment_overrides_and_secrets_stay_as_they_are() -> Result<(), ConfigError> {
        let settings =
            read_with(&[("_DATABASE__URL", "0012345"), ("_DATABASE__CONNECTIONS", "9"), ("_PG_BIN", "x")])?;
        assert_eq!((settings.database.url.as_str(), settings.database.connections), ("0012345", 9));
        Ok(())
    }

    #[test]
    fn lists_stand_in_files_and_in_variables() -> Result<(), ConfigError> {
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
    }
}
