//! Reads a configuration file: TOML with the options of `serve` by their names.

use crate::names::unknown;
use crate::output::plain;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file whose values are checked one by one.
#[derive(Debug)]
pub(super) struct ConfigFile {
    /// The path, as the user gave it.
    name: String,
    /// By the name of the option.
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    line: usize,
    /// The values, as on the command line.
    values: Vec<String>,
}

impl ConfigFile {
    /// Reads a file with the options of a command.
    ///
    /// # Errors
    /// The message names file, line and column: `fieldvitals.toml:3:1: there is no option …`.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, String> {
        let name = plain(&path.to_string_lossy());
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!("cannot read the configuration file {name} (--config, FIELDVITALS_CONFIG): {error}")
        })?;
        let entries = parse(&text, command).map_err(|Fault { at, message }| {
            let (line, column) = position(&text, at);
            format!("{name}:{line}:{column}: {message}")
        })?;
        Ok(Self { name, entries })
    }

    /// The values of an option.
    pub(super) fn values(&self, option: &str) -> Option<&[String]> {
        self.entries.get(option).map(|entry| entry.values.as_slice())
    }

    /// The name of the file, and the line of an option.
    pub(super) fn line(&self, option: &str) -> Option<(String, usize)> {
        self.entries.get(option).map(|entry| (self.name.clone(), entry.line))
    }
}

/// A mistake at a byte of the file.
struct Fault {
    at: usize,
    message: String,
}

fn parse(text: &str, command: &Command) -> Result<BTreeMap<String, Entry>, Fault> {
    let document = DeTable::parse(text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let at = error.span().map_or(0, |span| span.start);
        Fault {
            at,
            message: format!("{}; expected TOML, such as listen = \"0.0.0.0:8080\"", plain(&message)),
        }
    })?;
    let names = || command.get_arguments().filter(|arg| is_option(arg)).filter_map(Arg::get_long);
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut keys: Vec<_> = document.get_ref().iter().collect();
    // The first mistake of the file is reported.
    keys.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in keys {
        let name = key.get_ref().as_ref();
        let arg = command.get_arguments().find(|arg| is_option(arg) && arg.get_long() == Some(name));
        let Some(arg) = arg else {
            let known: Vec<String> = names().map(str::to_owned).collect();
            return Err(Fault { at: key.span().start, message: unknown("option", name, "", &known) });
        };
        if let Some(first) = entries.keys().find(|first| are_alternatives(first, name)) {
            let message = format!("{name} and {first} both name a store; leave one out");
            return Err(Fault { at: key.span().start, message });
        }
        let values = values(name, value, arg)?;
        check(name, &values, arg).map_err(|message| Fault { at: value.span().start, message })?;
        let line = position(text, key.span().start).0;
        entries.insert(name.to_owned(), Entry { line, values });
    }
    Ok(entries)
}

/// Whether a file may have an option.
fn is_option(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| long != super::CONFIG) && !matches!(arg.get_action(), ArgAction::Help)
}

/// Whether one of two options replaces the other.
fn are_alternatives(one: &str, other: &str) -> bool {
    let is_one = |name: &str| super::ALTERNATIVES.iter().any(|id| id.replace('_', "-") == name);
    is_one(one) && is_one(other)
}

/// The values of an option, as they would be on the command line.
fn values(name: &str, value: &Spanned<DeValue<'_>>, arg: &Arg) -> Result<Vec<String>, Fault> {
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    let wrong = |value: &Spanned<DeValue<'_>>, expected: &str| Fault {
        at: value.span().start,
        message: format!("{name} is {}; expected {expected}", kind(value.get_ref())),
    };
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return match value.get_ref() {
            DeValue::Boolean(value) => Ok(vec![value.to_string()]),
            _ => Err(wrong(value, "true or false")),
        };
    }
    let one = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        _ => Err(wrong(
            value,
            if is_list { "texts in quotes: [\"a\", \"b\"]" } else { "a text in quotes, or a number" },
        )),
    };
    match value.get_ref() {
        DeValue::Array(items) if is_list => items.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(number) if number.radix() == 10 => "a number",
        DeValue::Integer(_) => "a number of another base than 10",
        DeValue::Float(_) => "a number with decimals",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Checks values by the rules of the command line.
fn check(name: &str, values: &[String], arg: &Arg) -> Result<(), String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Ok(());
    }
    let line = values.iter().map(|value| format!("--{name}={value}"));
    let command = Command::new("file").no_binary_name(true).disable_help_flag(true).arg(arg.clone());
    command.try_get_matches_from(line).map(drop).map_err(|error| {
        let shown = error.get(ContextKind::InvalidValue).map(ToString::to_string).unwrap_or_default();
        let reason = match (error.source(), error.get(ContextKind::ValidValue)) {
            (Some(reason), _) => reason.to_string(),
            (None, Some(ContextValue::Strings(valid))) => format!("expected one of {}", valid.join(", ")),
            _ => "expected a value".to_owned(),
        };
        let shown =
            if arg.is_hide_env_values_set() { String::new() } else { format!(" = {:?}", plain(&shown)) };
        format!("{name}{shown}: {reason}")
    })
}

/// Line and column of a byte, counted from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
