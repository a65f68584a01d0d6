//! `fieldvitals`: the server, its administration, and the commands that ask it.

mod check;
mod client;
mod exit;
mod output;
mod report;
mod serve;
mod site;
mod store_args;
mod token;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A beacon is dozens of small allocations, made on one thread and freed on another, which the system's
/// allocator is slow at.
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
    /// Take beacons, keep them, report them; serve the script, the dashboard and a demo site.
    Serve(serve::Args),
    /// Add, list, change and remove sites, and give them new keys.
    Site(site::Args),
    /// Add, list and revoke API tokens.
    Token(token::Args),
    /// Show what was measured, as a table.
    Report(report::Args),
    /// Judge budgets with what was measured: exit 0 pass, 1 fail, 3 not enough data to say.
    Check(check::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(args) => serve::run(args).await,
        Command::Site(args) => site::run(args).await,
        Command::Token(args) => token::run(args).await,
        Command::Report(args) => report::run(args).await,
        Command::Check(args) => check::run(args).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("fieldvitals: {error:#}");
        ExitCode::from(2)
    })
}
