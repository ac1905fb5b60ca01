//! `fechatter config check`: the settings as the servers would read them, without starting one.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::bail;
use chat_core::settings::overlooked;
use clap::{Subcommand, ValueEnum};
use fechatter_server::config as rest;
use notify_server::config as events;
use serde_json::Value;

use crate::up;

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the settings as a program would at its start, a line for each problem; the exit code says whether it
    /// would start.
    Check {
        /// Whose settings.
        #[arg(value_enum, default_value_t = Program::Up)]
        program: Program,
        /// Print every setting in force, without secrets.
        #[arg(long)]
        show: bool,
        /// Print them as JSON.
        #[arg(long, requires = "show")]
        json: bool,
    },
}

/// A program with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Program {
    /// `fechatter up`: app.yml, and notify.yml for its streams.
    Up,
    /// `fechatter_server`: app.yml.
    FechatterServer,
    /// `notify_server`: notify.yml.
    NotifyServer,
}

/// Does it; `file` is the one that the command line names.
///
/// # Errors
/// Settings with which the program would not start.
pub fn run(file: Option<PathBuf>, command: &ConfigCommand) -> anyhow::Result<()> {
    let ConfigCommand::Check { program, show, json } = *command;
    let mut found = Vec::new();
    let mut shown = Vec::new();
    if program != Program::NotifyServer {
        warn_of(&overlooked(rest::DEFAULTS, "FECHATTER")?);
        let file = file.clone().or_else(|| beside("app.yml"));
        match rest::Settings::read(file.as_deref()) {
            Ok(settings) => {
                let problems = match program {
                    Program::Up => up::problems_of_start(&settings),
                    _ => settings.problems_of_start(),
                };
                found.extend_from_slice(problems.lines());
                shown.push(("FECHATTER", serde_json::to_value(settings)?));
            }
            Err(problems) => found.extend_from_slice(problems.lines()),
        }
    }
    if program != Program::FechatterServer {
        warn_of(&overlooked(events::DEFAULTS, "NOTIFY")?);
        let file = file.filter(|_| program == Program::NotifyServer).or_else(|| beside("notify.yml"));
        match events::Settings::read(file.as_deref()) {
            Ok(settings) => {
                if program == Program::NotifyServer {
                    found.extend_from_slice(settings.problems_of_start().lines());
                }
                shown.push(("NOTIFY", serde_json::to_value(settings)?));
            }
            Err(problems) => found.extend_from_slice(problems.lines()),
        }
    }
    if show {
        print(&shown, json)?;
    }
    for line in &found {
        eprintln!("{line}");
    }
    match found.len() {
        0 if show => Ok(()),
        0 => Ok(writeln!(io::stdout(), "The settings are fine.")?),
        1 => bail!("there is a problem with the settings"),
        many => bail!("there are {many} problems with the settings"),
    }
}

fn beside(name: &str) -> Option<PathBuf> {
    Path::new(name).exists().then(|| name.into())
}

fn warn_of(variables: &[String]) {
    for variable in variables {
        eprintln!(
            "{variable} is no setting and changes nothing: two underscores stand before each section's key"
        );
    }
}

/// The settings by the names of the variables that set them, or as JSON.
fn print(shown: &[(&str, Value)], json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let by_prefix: serde_json::Map<_, _> =
            shown.iter().map(|(prefix, settings)| ((*prefix).to_owned(), settings.clone())).collect();
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&by_prefix)?)?);
    }
    for (prefix, settings) in shown {
        let mut lines = Vec::new();
        flatten(prefix, "_", settings, &mut lines);
        for (name, value) in lines {
            writeln!(out, "{name}={value}")?;
        }
    }
    Ok(())
}

fn flatten(name: &str, separator: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let inner = format!("{name}{separator}{}", field.to_ascii_uppercase());
                flatten(&inner, "__", value, lines);
            }
        }
        Value::String(text) => lines.push((name.to_owned(), text.clone())),
        Value::Array(items) => {
            let items =
                items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            lines.push((name.to_owned(), items.collect::<Vec<_>>().join(",")));
        }
        other => lines.push((name.to_owned(), other.to_string())),
    }
}
