//! `fieldvitals token`: adds, lists and revokes API tokens.

use crate::output::table::{Column, Table};
use crate::output::{self, Terminal};
use crate::site::{print, print_text};
use crate::store_args::StoreArgs;
use anyhow::{Context as _, ensure};
use clap::{Subcommand, ValueEnum};
use fieldvitals_server::{clock, directory::token_hash, keys, password, report::time_text};
use fieldvitals_store::{NewToken, Store, Token, TokenId};
use serde_json::{Value, json};
use std::process::ExitCode;

/// API tokens of this server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a token and print its secret, which is stored nowhere.
    Add {
        /// The purpose of the token, in your words.
        #[arg(default_value = "token")]
        name: String,
        /// The scope of the token; each scope includes the scopes before it.
        #[arg(long, value_enum, default_value_t = ScopeArg::Read)]
        scope: ScopeArg,
        #[command(flatten)]
        common: Common,
    },
    /// List tokens, without their secrets.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Revoke a token, within a second.
    Revoke {
        /// The id of the token, from `token list`.
        id: i64,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeArg {
    /// Reports, and checks without `--record`.
    Read,
    /// Also `check --record`, and all other calls that change data for others.
    Write,
    /// Reserved: currently the same as `write`. Sites and tokens are changed in the store itself.
    Admin,
}

impl From<ScopeArg> for fieldvitals_store::Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Read => Self::Read,
            ScopeArg::Write => Self::Write,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add { name, scope, common } => {
            ensure!(
                !password::is_password_name(&name),
                "the name `{name}` is that of a password; `fieldvitals password set` sets one"
            );
            let secret = keys::token()?;
            let token = NewToken {
                name,
                scope: scope.into(),
                hash: token_hash(&secret),
                created_ms: clock::now_ms(),
            };
            let token =
                common.store.with_new(async |store: &dyn Store| Ok(store.token_add(token).await?)).await?;
            if common.json {
                let mut shown = to_json(&token);
                shown["token"] = secret.into();
                print(&shown);
            } else {
                print_text(&secret);
                eprintln!(
                    "token {} `{}` with scope {}: keep it now, it is not shown again",
                    token.id.0,
                    token.name,
                    token.scope.name()
                );
            }
        }
        Command::List { common } => {
            let tokens = common.store.with(async |store: &dyn Store| Ok(store.tokens().await?)).await?;
            if common.json {
                print(&Value::Array(tokens.iter().map(to_json).collect()));
            } else if tokens.is_empty() {
                print_text("there is no token yet: `fieldvitals token add NAME --scope read` makes one");
            } else {
                output::print(&table(&tokens).render(Terminal::of_stdout()));
            }
        }
        Command::Revoke { id, common } => {
            let revoke = async |store: &dyn Store| {
                store.token_revoke(TokenId(id)).await.with_context(|| {
                    format!("token {id}: `fieldvitals token list` shows those that there are")
                })
            };
            common.store.with(revoke).await?;
            if common.json {
                print(&json!({"revoked": id}));
            } else {
                print_text(&format!("token {id} is revoked"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(tokens: &[Token]) -> Table {
    let columns = [
        Column::number("ID"),
        Column::word("SCOPE"),
        Column::word("CREATED").dropped(1),
        Column::text("NAME"),
    ];
    let mut table = Table::new(&columns);
    for token in tokens {
        table.row(vec![
            token.id.0.to_string().into(),
            token.scope.name().into(),
            time_text(token.created_ms).into(),
            token.name.as_str().into(),
        ]);
    }
    table
}

fn to_json(token: &Token) -> Value {
    json!({
        "id": token.id, "name": token.name, "scope": token.scope.name(), "created": time_text(token.created_ms),
    })
}
