//! `fieldvitals password`: sets or removes the password of the dashboard.

use crate::site::print_text;
use crate::store_args::StoreArgs;
use anyhow::{Context as _, bail};
use clap::Subcommand;
use fieldvitals_server::{clock, password};
use fieldvitals_store::{Store, Token};
use std::io::{IsTerminal as _, stdin};
use std::process::ExitCode;

/// The password of this server, for people who sign in to the dashboard.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set the password: asks for it, or reads one line of standard input. Ends the sessions of the former password.
    Set {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Remove the password, and end its sessions. Tokens stay.
    Remove {
        #[command(flatten)]
        store: StoreArgs,
    },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Set { store } => {
            let token = password::token_of(&read()?, clock::now_ms())?;
            let set = async |store: &dyn Store| {
                let token = store.token_add(token).await?;
                remove(store, |old| old.id != token.id).await
            };
            store.with_new(set).await?;
            print_text("the password is set: sign in to the dashboard with it");
        }
        Command::Remove { store } => {
            let removed = store.with(async |store: &dyn Store| remove(store, |_| true).await).await?;
            print_text(if removed == 0 { "there was no password" } else { "the password is removed" });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the new password: twice from a terminal, once from anything else.
fn read() -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        let mut line = String::new();
        stdin().read_line(&mut line).context("standard input cannot be read")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let ask = |prompt| rpassword::prompt_password(prompt).context("the terminal cannot be read");
    let first = ask("New password: ")?;
    if ask("Again: ")? != first {
        bail!("the two passwords differ; nothing is changed");
    }
    Ok(first)
}

/// Removes the chosen ones of the tokens that are passwords. Returns their number.
async fn remove(store: &dyn Store, is_chosen: impl Fn(&Token) -> bool) -> anyhow::Result<usize> {
    let mut removed = 0;
    let tokens = store.tokens().await?;
    for token in tokens.iter().filter(|token| password::is_password(token) && is_chosen(token)) {
        store.token_revoke(token.id).await?;
        removed += 1;
    }
    Ok(removed)
}
