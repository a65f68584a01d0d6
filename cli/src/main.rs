//! `fieldvitals`: runs and administers the server, and queries it.

mod alert;
mod audit;
mod backup;
mod budget;
mod budget_file;
mod check;
mod client;
mod compare;
mod completions;
mod config;
mod doctor;
mod exit;
mod export;
mod interrupt;
mod limits;
mod load;
mod mcp;
mod migrate;
mod moment;
mod names;
mod output;
mod password;
mod progress;
mod release;
mod remote;
mod report;
mod retention;
mod rollup;
mod serve;
mod site;
mod status;
mod store;
mod store_args;
mod token;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The system allocator is slow here: a beacon makes dozens of small allocations on one thread and frees them on
/// another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Real-user Web Vitals that a team owns.
#[derive(Debug, Parser)]
#[command(name = "fieldvitals", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive, store and report beacons; serve the script, the dashboard and a demo site.
    Serve(Box<serve::Args>),
    Migrate(migrate::Args),
    /// Add, list, change and remove sites, rotate their keys, erase their measurements.
    Site(site::Args),
    /// Add, list and revoke API tokens.
    Token(token::Args),
    Audit(audit::Args),
    /// Set or remove the password of the dashboard.
    Password(password::Args),
    Retention(retention::Args),
    /// Compare rollups with the page views that they count, or rebuild them.
    Rollup(rollup::Args),
    /// Copy a store into another, such as the embedded one into Postgres.
    Store(store::Args),
    Backup(backup::Args),
    Restore(backup::restore::Args),
    Status(status::Args),
    Doctor(Box<doctor::Args>),
    Load(Box<load::Args>),
    Export(Box<export::Args>),
    /// Show measurements as a table.
    Report(Box<report::Args>),
    /// Compare two releases, two periods or two values of a property, with a verdict for each metric.
    Compare(compare::Args),
    /// Mark deploys of releases, and list releases.
    Release(release::Args),
    /// Judge budgets by measurements: exit 0 pass, 1 fail, 3 not enough data to say.
    Check(check::Args),
    Budget(budget::Args),
    Alert(alert::Args),
    Mcp(mcp::Args),
    Config(Box<config::Args>),
    Completions(completions::Args),
}

/// The whole command line.
#[cfg(test)]
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[tokio::main]
async fn main() -> ExitCode {
    let (cli, options) = match config::parse::<Cli>() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let done = match cli.command {
        Command::Serve(args) => serve::run(*args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Site(args) => site::run(args).await,
        Command::Token(args) => token::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Password(args) => password::run(args).await,
        Command::Retention(args) => retention::run(args).await,
        Command::Rollup(args) => rollup::run(args).await,
        Command::Store(args) => store::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Restore(args) => backup::restore::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Doctor(args) => doctor::run(*args).await,
        Command::Load(args) => load::run(*args).await,
        Command::Export(args) => export::run(*args).await,
        Command::Report(args) => report::run(*args).await,
        Command::Compare(args) => compare::run(args).await,
        Command::Release(args) => release::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Budget(args) => budget::run(args).await,
        Command::Alert(args) => alert::run(args).await,
        Command::Mcp(args) => mcp::run(args).await,
        Command::Config(args) => config::run(&args, &options),
        Command::Completions(args) => completions::run::<Cli>(&args),
    };
    done.unwrap_or_else(|error| match error.downcast::<exit::Failure>() {
        Ok(failure) => exit::finish(Err(failure)),
        Err(error) => {
            exit::print_error(&format!("{error:#}"), "");
            ExitCode::from(2)
        }
    })
}

/// Says how a command without `--json` prints JSON.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let unknown = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let is_json = error.kind() == ErrorKind::UnknownArgument && unknown.as_deref() == Some("--json");
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let has_format =
        ["report", "compare", "status", "check"].iter().any(|name| usage.contains(&format!(" {name} ")));
    if is_json && has_format {
        let tip = StyledStr::from("`--format json` prints JSON");
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// The help texts of a command and its subcommands.
    fn help(command: clap::Command, path: &str) -> String {
        let path = format!("{path} {}", command.get_name());
        // The environment of a test must not appear in the texts.
        let mut command = command.term_width(100).mut_args(|arg| arg.hide_env_values(true));
        let own = format!("== {}\n\n{}\n", path.trim(), command.render_long_help());
        let nested = command.get_subcommands().filter(|nested| nested.get_name() != "help").cloned();
        let nested: String = nested.map(|nested| help(nested, &path)).collect();
        own + &nested
    }

    #[test]
    fn json_flag_of_a_command_with_formats_has_a_tip() {
        let told = |line: &[&str]| with_tip(Cli::try_parse_from(line).unwrap_err()).to_string();
        for command in ["report", "compare", "status", "check"] {
            let message = told(&["fieldvitals", command, "--json"]);
            assert!(message.contains("--format json` prints JSON"), "{message}");
        }
        let other = told(&["fieldvitals", "serve", "--json"]);
        assert!(!other.contains("--format json"), "{other}");
    }

    #[test]
    fn help_texts_say_what_each_option_does() {
        let command = Cli::command();
        command.clone().debug_assert();
        for nested in command.get_subcommands() {
            insta::assert_snapshot!(
                format!("help_of_{}", nested.get_name()),
                help(nested.clone(), "fieldvitals")
            );
        }
    }
}
