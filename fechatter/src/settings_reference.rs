//! The reference of all settings, as `docs/settings.md` keeps it: the documented files as tables.

use std::fmt::Write;

use fechatter_server::config::DEFAULTS as SERVER;
use notify_server::config::DEFAULTS as NOTIFY;

const HEAD: &str = "\
# Settings

Made by `make settings` from [app.yml](../app.yml) and [notify.yml](../notify.yml), the files that the programs carry.

A program reads the defaults, then its file when there is one in the folder where it starts (or the one of `--config`),
then the environment. A variable is the prefix and the setting's path, in capitals, with `__` between: `server.port` of
fechatter_server is `FECHATTER_SERVER__PORT`. With `_FILE` at its end it names a file that holds the value, as for
secrets: `FECHATTER_DATABASE__URL_FILE`. A name that is not here stops the start. `fechatter up` and the operator's
commands read the settings of fechatter_server.
";

/// The page, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for (program, file, prefix, text) in [
        ("fechatter_server", "app.yml", "FECHATTER", SERVER),
        ("notify_server", "notify.yml", "NOTIFY", NOTIFY),
    ] {
        let _ = write!(
            page,
            "\n## {program}\n\n`{file}`; variables begin with `{prefix}_`.\n\n| Setting | Default | What it is |\n|---|---|---|\n"
        );
        for setting in settings(text) {
            let Setting { path, default, about } = setting;
            let default = default.map_or_else(String::new, |default| format!("`{default}`"));
            let _ = writeln!(page, "| `{path}` | {default} | {about} |");
        }
    }
    page
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    path: String,
    /// None for a section.
    default: Option<String>,
    about: String,
}

/// The settings of a documented file: each key with the comment above it. A key without one shares that of the key
/// before it.
fn settings(text: &str) -> Vec<Setting> {
    let mut found: Vec<Setting> = Vec::new();
    let (mut comment, mut path): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let bare = line.trim_start();
        if let Some(said) = bare.strip_prefix('#') {
            comment.push(said.trim());
            continue;
        }
        let Some((key, value)) = bare.split_once(':') else {
            // What stands alone is about the file.
            comment.clear();
            continue;
        };
        path.truncate((line.len() - bare.len()) / 2);
        path.push(key);
        let path = path.join(".");
        let value = value.trim();
        let about = comment.join(" ").replace('|', "\\|");
        comment.clear();
        if let Some(fields) = value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
            found.push(Setting { path: path.clone(), default: None, about });
            for (key, value) in fields.split(',').filter_map(|field| field.split_once(':')) {
                let path = format!("{path}.{}", key.trim());
                found.push(Setting { path, default: Some(value.trim().into()), about: String::new() });
            }
        } else if !value.is_empty() || !about.is_empty() {
            found.push(Setting { path, default: (!value.is_empty()).then(|| value.into()), about });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_get_the_comments_above_them() {
        let text = "# About the file.\n\nserver:\n  # Where.\n  host: a\n  port: 1\n# A part.\nlimits:\n  # How\n  # often.\n  sends: { per_second: 2, burst: 3 }\n";
        let setting = |path: &str, default: Option<&str>, about: &str| Setting {
            path: path.into(),
            default: default.map(Into::into),
            about: about.into(),
        };
        let expected = [
            setting("server.host", Some("a"), "Where."),
            setting("server.port", Some("1"), ""),
            setting("limits", None, "A part."),
            setting("limits.sends", None, "How often."),
            setting("limits.sends.per_second", Some("2"), ""),
            setting("limits.sends.burst", Some("3"), ""),
        ];
        assert_eq!(settings(text), expected);
    }

    #[test]
    fn every_setting_of_the_programs_is_there() {
        for text in [SERVER, NOTIFY] {
            let listed = settings(text);
            assert!(listed.len() > 15);
            for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
                let Some((key, value)) = line.trim().split_once(':') else { continue };
                let is_listed = listed.iter().any(|setting| setting.path.rsplit('.').next() == Some(key));
                assert!(is_listed || value.is_empty(), "{line}");
            }
        }
    }
}
