//! `fieldvitals store`

mod compare;
mod copy;
pub(crate) mod place;

use clap::Subcommand;
use std::process::ExitCode;

/// Stores as a whole.
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
