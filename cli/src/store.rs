//! `fieldvitals store`: commands for whole stores.

mod compare;
mod copy;
pub(crate) mod place;

use clap::Subcommand;
use std::process::ExitCode;

/// Commands for whole stores.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Copy(copy::Args),
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Copy(args) => copy::run(args).await,
    }
}
