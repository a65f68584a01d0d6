//! `fieldvitals token`: adds, lists and revokes API tokens.

use crate::output::table::{Column, Table};
use crate::output::{self, Terminal};
use crate::site::{print, print_text};
use crate::store_args::{StoreArgs, site_named};
use anyhow::{Context as _, ensure};
use clap::{Subcommand, ValueEnum};
use fieldvitals_server::{clock, directory::token_hash, keys, password, report::time_text};
use fieldvitals_store::{NewToken, Site, SiteId, Store, Token, TokenId, limits};
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
        /// A site that the token is limited to; may be repeated. All other sites are as if they were not there. Without it,
        /// the token is for all sites, also later ones.
        #[arg(long = "site", value_name = "NAME")]
        sites: Vec<String>,
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
        Command::Add { name, scope, sites, common } => {
            ensure!(
                !password::is_password_name(&name),
                "the name `{name}` is that of a password; `fieldvitals password set` sets one"
            );
            let max = limits::TOKEN_SITES_MAX;
            ensure!(
                sites.len() <= max,
                "a token is limited to at most {max} sites; without --site it is for all"
            );
            let secret = keys::token()?;
            let add = async |store: &dyn Store| {
                let known = store.sites().await?;
                let limited = sites.iter().map(|name| site_named(&known, name).map(|site| site.id));
                let limited = limited.collect::<anyhow::Result<Vec<SiteId>>>()?;
                let token = NewToken {
                    name: name.clone(),
                    scope: scope.into(),
                    sites: (!limited.is_empty()).then_some(limited),
                    hash: token_hash(&secret),
                    created_ms: clock::now_ms(),
                };
                Ok((store.token_add(token).await?, known))
            };
            let (token, known) = common.store.with_new(add).await?;
            if common.json {
                let mut shown = to_json(&token, &known);
                shown["token"] = secret.into();
                print(&shown);
            } else {
                print_text(&secret);
                eprintln!(
                    "token {} `{}` with scope {} for {}: keep it now, it is not shown again",
                    token.id.0,
                    token.name,
                    token.scope.name(),
                    sites_text(&token, &known)
                );
            }
        }
        Command::List { common } => {
            let list = async |store: &dyn Store| Ok((store.tokens().await?, store.sites().await?));
            let (tokens, known) = common.store.with(list).await?;
            if common.json {
                print(&Value::Array(tokens.iter().map(|token| to_json(token, &known)).collect()));
            } else if tokens.is_empty() {
                print_text("there is no token yet: `fieldvitals token add NAME --scope read` makes one");
            } else {
                output::print(&table(&tokens, &known).render(Terminal::of_stdout()));
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

fn table(tokens: &[Token], known: &[Site]) -> Table {
    let columns = [
        Column::number("ID"),
        Column::word("SCOPE"),
        Column::word("CREATED").dropped(1),
        Column::text("SITES"),
        Column::text("NAME"),
    ];
    let mut table = Table::new(&columns);
    for token in tokens {
        table.row(vec![
            token.id.0.to_string().into(),
            token.scope.name().into(),
            time_text(token.created_ms).into(),
            sites_text(token, known).into(),
            token.name.as_str().into(),
        ]);
    }
    table
}

/// The names of the sites that a token is limited to; a deleted site by its id. `None` for all sites.
fn site_names(token: &Token, known: &[Site]) -> Option<Vec<String>> {
    let name = |id: &SiteId| {
        let site = known.iter().find(|site| site.id == *id);
        site.map_or_else(|| format!("#{}", id.0), |site| site.name.clone())
    };
    token.sites.as_ref().map(|sites| sites.iter().map(name).collect())
}

fn sites_text(token: &Token, known: &[Site]) -> String {
    match site_names(token, known) {
        None => "all sites".to_owned(),
        Some(names) if names.is_empty() => "no site".to_owned(),
        Some(names) => names.join(", "),
    }
}

fn to_json(token: &Token, known: &[Site]) -> Value {
    json!({
        "id": token.id, "name": token.name, "scope": token.scope.name(), "sites": site_names(token, known),
        "created": time_text(token.created_ms),
    })
}
