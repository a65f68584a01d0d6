//! The layers of options: flag, environment, configuration file, default. The first layer that has a value wins.
//!
//! clap knows three of the layers. The values of the file become clap's defaults, so flags and variables win over them,
//! and clap parses each value as if it were a flag.

mod file;
mod show;

pub(crate) use show::Args;

use clap::builder::ArgPredicate;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, Parser};
use file::ConfigFile;
use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The option that names the configuration file. Commands without it have no file.
const CONFIG: &str = "config";

/// Two options of which one replaces the other: a flag for one hides the other's value in the file.
const ALTERNATIVES: [&str; 2] = ["database_url", "database_url_file"];

/// The options of a command line, with their origins.
pub(crate) struct Options {
    /// The command that runs, without its parents.
    command: Command,
    /// The values of its options.
    matches: ArgMatches,
    file: Option<ConfigFile>,
}

/// The layer that has the value of an option.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Flag,
    /// A variable, by its name.
    Environment(String),
    /// The configuration file: its name, and the line.
    File(String, usize),
    Default,
}

impl Options {
    /// The layer of an option; `None` without a value.
    fn origin(&self, arg: &Arg) -> Option<Origin> {
        let variable = || arg.get_env().unwrap_or_default().to_string_lossy().into_owned();
        match self.matches.value_source(arg.get_id().as_str())? {
            ValueSource::EnvVariable => Some(Origin::Environment(variable())),
            ValueSource::DefaultValue => match self.file.as_ref().and_then(|file| file.line(arg.get_long()?))
            {
                Some((name, line)) => Some(Origin::File(name, line)),
                None => Some(Origin::Default),
            },
            _ => Some(Origin::Flag),
        }
    }
}

/// Parses a command line, and its configuration file.
///
/// # Errors
/// The message names the mistake, in the file or on the command line. `--help` is such an error of clap.
fn parse_from<C: Parser>(args: impl IntoIterator<Item = OsString> + Clone) -> Result<(C, Options), Wrong> {
    let command = without_empty_variables(C::command());
    let matches = command.clone().try_get_matches_from(args.clone())?;
    let path = path_of(&matches);
    let named = leaf_matches(&matches).try_get_one::<PathBuf>(CONFIG).ok().flatten();
    let file = named.map(|named| ConfigFile::read(named, &serve())).transpose().map_err(Wrong::File)?;
    let Some(file) = file else { return finish(command, &matches, None, &path) };
    let command = with_defaults(command, &path, &file);
    let matches = command.clone().try_get_matches_from(args)?;
    finish(command, &matches, Some(file), &path)
}

/// Parses the command line of this process. Returns the exit code of a command that ends here: a mistake or `--help`.
pub(crate) fn parse<C: Parser>() -> Result<(C, Options), ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    parse_from(args).map_err(|wrong| match wrong {
        Wrong::File(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
        Wrong::Line(error) => crate::with_tip(error).exit(),
    })
}

/// A mistake.
#[derive(Debug)]
enum Wrong {
    File(String),
    Line(clap::Error),
}

impl From<clap::Error> for Wrong {
    fn from(error: clap::Error) -> Self {
        Self::Line(error)
    }
}

fn finish<C: Parser>(
    command: Command,
    matches: &ArgMatches,
    file: Option<ConfigFile>,
    path: &[String],
) -> Result<(C, Options), Wrong> {
    let parsed = C::from_arg_matches(matches).map_err(|error| error.format(&mut command.clone()))?;
    let matches = leaf_matches(matches).clone();
    let command = path.iter().fold(command, |command, name| {
        let nested = command.find_subcommand(name).cloned();
        nested.unwrap_or(command)
    });
    Ok((parsed, Options { command, matches, file }))
}

/// The command whose options a configuration file has.
fn serve() -> Command {
    crate::serve::Args::augment_args(Command::new("serve"))
}

/// The names of the subcommands that a command line chose.
fn path_of(matches: &ArgMatches) -> Vec<String> {
    let mut path = Vec::new();
    let mut at = matches;
    while let Some((name, nested)) = at.subcommand() {
        path.push(name.to_owned());
        at = nested;
    }
    path
}

/// The values of the innermost subcommand.
fn leaf_matches(mut matches: &ArgMatches) -> &ArgMatches {
    while let Some((_, nested)) = matches.subcommand() {
        matches = nested;
    }
    matches
}

/// Makes empty variables count as unset, because scripts and compose files pass unset variables as empty.
fn without_empty_variables(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|nested| nested.get_name().to_owned()).collect();
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.to_string_lossy().trim().is_empty())
    };
    let command = command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg });
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, without_empty_variables))
}

/// Gives the options of a subcommand the values of a file. An option with a name of `serve` means the same in each
/// command that takes a file.
fn with_defaults(command: Command, path: &[String], file: &ConfigFile) -> Command {
    match path.split_first() {
        None => command.mut_args(|arg| with_default(arg, file)),
        Some((name, rest)) => command.mut_subcommand(name, |nested| with_defaults(nested, rest, file)),
    }
}

fn with_default(arg: Arg, file: &ConfigFile) -> Arg {
    let Some(values) = arg.get_long().and_then(|long| file.values(long)) else { return arg };
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return if values == ["true"] { arg.default_value("true") } else { arg };
    }
    let id = arg.get_id().to_string();
    let arg = arg.default_values(values.to_vec());
    match ALTERNATIVES.iter().find(|other| ALTERNATIVES.contains(&id.as_str()) && **other != id) {
        Some(other) => arg.default_value_if(*other, ArgPredicate::IsPresent, None::<&str>),
        None => arg,
    }
}

/// Why `serve` would not take a configuration file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A mistake.
    Wrong(String),
    /// A variable of the file of channels is not set for this command. It may be set for `serve`.
    Unset(String),
}

/// Checks whether `serve` would take a configuration file, and the files that it names.
///
/// # Errors
/// The first reason why it would not.
pub(crate) fn check_serve(file: &Path) -> Result<(), Refused> {
    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        serve: crate::serve::Args,
    }
    let args = [OsString::from("serve"), format!("--{CONFIG}").into(), file.into()];
    let (line, _) = parse_from::<Line>(args).map_err(|wrong| match wrong {
        Wrong::File(message) => Refused::Wrong(message),
        Wrong::Line(error) => Refused::Wrong(error.to_string()),
    })?;
    let unset: RefCell<Option<String>> = RefCell::default();
    let variable = |name: &str| {
        let value = std::env::var(name).ok();
        if value.is_none() {
            unset.replace(Some(name.to_owned()));
        }
        value
    };
    let checked = line.serve.check_with(&variable).map(drop);
    // Reading ends at the first variable that is not set, so that is the reason.
    checked.map_err(|error| match unset.take() {
        Some(name) => Refused::Unset(name),
        None => Refused::Wrong(format!("{error:#}")),
    })
}

/// Runs `fieldvitals config`.
pub(crate) fn run(args: &Args, options: &Options) -> anyhow::Result<ExitCode> {
    show::run(args, options)
}

#[cfg(test)]
mod tests;
