//! `fieldvitals budget`: proposes, checks, shows and compares budget files, and keeps them on the server.

mod diff;
mod init;
pub(crate) mod kept;
mod state;

use crate::budget_file::{self, Source};
use crate::client::{ServerArgs, period};
use crate::exit::{Done, Exit, Failure, finish};
use crate::output::Terminal;
use crate::progress::count;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

/// The JSON Schema of budget files in TOML, for editors.
const SCHEMA: &str = include_str!("../../docs/budgets.schema.json");

/// Propose, lint, show and compare budget files, and keep them on the server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(InitArgs),
    /// Read files and name their first mistake: exit 0, or 2.
    Lint {
        /// The budget files; `-` reads standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    Show(kept::ShowArgs),
    /// Print what a file promises more, less or otherwise than another: exit 0 if nothing, else 1.
    Diff {
        /// The file before.
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The file after.
        #[arg(value_name = "NEW")]
        new: PathBuf,
    },
    Apply(kept::ApplyArgs),
    State(state::StateArgs),
    WhatIf(state::WhatIfArgs),
    /// Print the JSON Schema of budget files in TOML, for editors.
    Schema,
}

/// Print budgets that the site keeps today, as TOML: of its good metrics at their thresholds, of the others at what is
/// measured.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The last hours or days: 24h, 7d, 28d, 90d.
    #[arg(long, default_value = "7d", value_parser = period)]
    period: String,
    /// Routes with budgets of their own, those with most page views.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=50))]
    routes: u16,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(finish(execute(&args.command).await))
}

async fn execute(command: &Command) -> Result<Done, Failure> {
    match command {
        Command::Init(args) => init::propose(args).await,
        Command::Lint { files } => {
            let read: Vec<Source> =
                files.iter().map(|file| budget_file::read(file)).collect::<Result<_, _>>()?;
            Ok(done(Exit::Pass, read.iter().map(lint).collect()))
        }
        Command::Show(args) => kept::show(args).await,
        Command::Diff { old, new } => {
            let changes = diff::changes(
                &budget_file::read(old)?.parsed.budgets,
                &budget_file::read(new)?.parsed.budgets,
            );
            let exit = if changes.is_empty() { Exit::Pass } else { Exit::Fail };
            Ok(done(exit, changes.iter().map(|line| format!("{line}\n")).collect()))
        }
        Command::Apply(args) => kept::apply(args).await,
        Command::State(args) => state::state(args, Terminal::of_stdout()).await,
        Command::WhatIf(args) => state::what_if(args, Terminal::of_stdout()).await,
        Command::Schema => Ok(done(Exit::Pass, SCHEMA.to_owned())),
    }
}

fn done(exit: Exit, stdout: String) -> Done {
    Done { exit, stdout, warning: String::new() }
}

/// `budgets.toml: 3 budgets`, and a line for each limit that page views cannot judge.
fn lint(source: &Source) -> String {
    let tool = source.parsed.tool.map(|tool| format!(" of {tool}")).unwrap_or_default();
    let number = count(source.parsed.budgets.len() as u64, "budget");
    let not: String = not_evaluated(source).map(|line| format!("{line}\n")).collect();
    format!("{}: {number}{tool}\n{not}", source.name)
}

fn not_evaluated(source: &Source) -> impl Iterator<Item = String> {
    source
        .parsed
        .not_evaluated
        .iter()
        .map(|limit| format!("{}:{}: not evaluated: {}: {}", source.name, limit.line, limit.what, limit.why))
}

#[cfg(test)]
mod tests;
