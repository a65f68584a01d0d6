//! `fieldvitals config show`: prints the options of `serve`, and where each value comes from.

use super::{CONFIG, Options, Origin};
use crate::output::table::{Column, Table};
use crate::output::{ABSENT, Terminal, print};
use crate::serve;
use clap::{Arg, ArgAction, Subcommand};
use fieldvitals_store::Retention;
use serde_json::{Value, json};
use std::process::ExitCode;
use url::Url;

/// The options that replace the retention of the store.
const RETENTION: [&str; 3] = ["views", "hours", "rollups"];

/// Stands for a secret.
const MASK: &str = "****";

/// Show the options of the server, and check them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(Box<Show>),
}

/// Print each option of `serve` with its value, and where the value comes from: a flag, a variable, the file, or the
/// default. Passwords are masked. Takes the options of `serve`. Exits with 2 if `serve` would refuse them.
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    serve: serve::Args,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, options: &Options) -> anyhow::Result<ExitCode> {
    let Command::Show(show) = &args.command;
    show.serve.check()?;
    let is_shown = |arg: &&Arg| {
        arg.get_long().is_some_and(|long| long != "json")
            && !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version)
    };
    let rows = options.command.get_arguments().filter(is_shown).map(|arg| row(arg, options));
    if show.json {
        let rows: Vec<Value> = rows.map(|row| row.json()).collect();
        print(&format!("{:#}\n", Value::Array(rows)));
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[Column::word("OPTION"), Column::text("VALUE"), Column::text("FROM")]);
    for Row { option, values, from, .. } in rows {
        let value = if values.is_empty() { ABSENT.to_owned() } else { values.join(", ") };
        table.row(vec![option.into(), value.into(), from.into()]);
    }
    print(&table.render(Terminal::of_stdout()));
    Ok(ExitCode::SUCCESS)
}

/// An option with its value.
struct Row {
    option: String,
    /// Empty without a value.
    values: Vec<String>,
    from: String,
    variable: Option<String>,
}

impl Row {
    fn json(&self) -> Value {
        let value = match self.values.as_slice() {
            [] => Value::Null,
            [value] => json!(value),
            values => json!(values),
        };
        json!({"option": self.option, "value": value, "from": self.from, "environment": self.variable})
    }
}

fn row(arg: &Arg, options: &Options) -> Row {
    let id = arg.get_id().as_str();
    let values = match arg.get_action() {
        ArgAction::SetTrue => vec![options.matches.get_flag(id).to_string()],
        _ => options
            .matches
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .map(|value| if arg.is_hide_env_values_set() { masked(&value) } else { value })
            .collect(),
    };
    let from = match options.origin(arg) {
        Some(Origin::Flag) => "flag".to_owned(),
        Some(Origin::Environment(variable)) => format!("environment {variable}"),
        Some(Origin::File(name, line)) => format!("{name}:{line}"),
        Some(Origin::Default) => "default".to_owned(),
        None => ABSENT.to_owned(),
    };
    let (values, from) = retention(id, options).unwrap_or((values, from));
    let option = arg.get_long().unwrap_or(CONFIG).to_owned();
    Row {
        option,
        values,
        from,
        variable: arg.get_env().map(|variable| variable.to_string_lossy().into_owned()),
    }
}

/// The value of an absent option of the retention, and its source: the store, or the default beside another such option.
fn retention(id: &str, options: &Options) -> Option<(Vec<String>, String)> {
    let is_given = |id: &&str| options.matches.value_source(id).is_some();
    let place = RETENTION.iter().position(|known| *known == id && !is_given(known))?;
    if !RETENTION.iter().any(is_given) {
        return Some((Vec::new(), "the store (fieldvitals retention show)".to_owned()));
    }
    let Retention { raw_days, hourly_days, daily_days } = Retention::default();
    let days = [raw_days, hourly_days, daily_days].get(place)?.to_string();
    Some((vec![days], "default".to_owned()))
}

/// A database's address without its password.
fn masked(text: &str) -> String {
    let Ok(mut url) = Url::parse(text.trim()) else { return MASK.to_owned() };
    match url.scheme() {
        "sqlite" => return text.to_owned(),
        "postgres" | "postgresql" if text.contains("://") => {}
        // No address of a database, so a password may be anywhere.
        _ => return MASK.to_owned(),
    }
    // Fails for a URL without a host, which has no password there.
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    if url.query().is_some() {
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let shown = pairs.iter().map(|(name, value)| match name.as_str() {
            "password" | "sslpassword" => (name.as_str(), MASK),
            _ => (name.as_str(), value.as_str()),
        });
        url.query_pairs_mut().clear().extend_pairs(shown);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        for (text, shown) in [
            ("postgres://me:hush@h/v", "postgres://me:****@h/v"),
            ("postgres://me@h/v?sslmode=require", "postgres://me@h/v?sslmode=require"),
            ("postgres://h/v?password=hush&user=me", "postgres://h/v?password=****&user=me"),
            ("sqlite:///var/store.db", "sqlite:///var/store.db"),
            ("me:hush@h/v", "****"),
            ("postgres:/me:hush@h/v", "****"),
            ("hush", "****"),
        ] {
            let masked = masked(text);
            assert!(!masked.contains("hush"), "{masked}");
            assert_eq!(masked, shown, "{text}");
        }
    }
}
