//! `fieldvitals token`: adds, lists and revokes API tokens.

use crate::client::RemoteArgs;
use crate::output::table::{Column, Table};
use crate::output::{self, Terminal};
use crate::site::{here, print, print_text};
use crate::store_args::{StoreArgs, site_named};
use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use fieldvitals_server::{limits, password::is_password, report::time_text};
use fieldvitals_store::{Scope, Site, SiteId, Store, Token, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::json;
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
        /// Requests a second that the token may make, with bursts of ten times as many [default: 100].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::TOKEN_RATE_PER_S_MAX)))]
        rate: Option<u32>,
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
    #[command(flatten)]
    remote: RemoteArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeArg {
    /// Reports, and checks without `--record`.
    Read,
    /// Also `check --record`, deploy marks, and settings of sites: name, origins, routes, time zone, keys.
    Write,
    /// Also adding and removing sites and tokens, and the audit log.
    Admin,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Read => Self::Read,
            ScopeArg::Write => Self::Write,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

/// A token, as it is shown.
#[derive(Serialize, Deserialize)]
struct Shown {
    id: i64,
    name: String,
    scope: String,
    /// The sites that it is limited to, a deleted one as `#ID`; `None` for all sites.
    sites: Option<Vec<String>>,
    created: String,
    /// Requests a second; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    /// The secret of a new token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Shown {
    fn new(token: Token, known: &[Site]) -> Self {
        let name = |id: &SiteId| {
            let site = known.iter().find(|site| site.id == *id);
            site.map_or_else(|| format!("#{}", id.0), |site| site.name.clone())
        };
        // The name of a password has its salt.
        let of_token = if is_password(&token) { "password".to_owned() } else { token.name };
        Self {
            id: token.id.0,
            name: of_token,
            scope: token.scope.name().to_owned(),
            sites: token.sites.map(|sites| sites.iter().map(name).collect()),
            created: time_text(token.created_ms),
            rate: token.rate_per_s,
            token: None,
        }
    }

    /// The sites in words.
    fn sites(&self) -> String {
        match self.sites.as_deref() {
            None => "all sites".to_owned(),
            Some([]) => "no site".to_owned(),
            Some(names) => names.join(", "),
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add { name, scope, sites, rate, common } => {
            let scope = Scope::from(scope);
            let token: Shown = match common.remote.remote(&common.store)? {
                Some(remote) => remote.token_add(&name, scope.name(), &sites, rate).await?,
                None => {
                    let add = async |store: &dyn Store| add(store, &name, scope, (&sites, rate)).await;
                    common.store.with_new(add).await?
                }
            };
            if common.json {
                print(&json!(token));
            } else {
                print_text(token.token.as_deref().unwrap_or_default());
                eprintln!(
                    "token {} `{}` with scope {} for {}: keep it now, it is not shown again",
                    token.id,
                    token.name,
                    token.scope,
                    token.sites()
                );
            }
        }
        Command::List { common } => {
            let tokens: Vec<Shown> = match common.remote.remote(&common.store)? {
                Some(remote) => remote.tokens().await?,
                None => {
                    let list = async |store: &dyn Store| Ok((store.tokens().await?, store.sites().await?));
                    let (tokens, known) = common.store.with(list).await?;
                    tokens.into_iter().map(|token| Shown::new(token, &known)).collect()
                }
            };
            if common.json {
                print(&json!(tokens));
            } else if tokens.is_empty() {
                print_text("there is no token yet: `fieldvitals token add NAME --scope read` makes one");
            } else {
                output::print(&table(&tokens).render(Terminal::of_stdout()));
            }
        }
        Command::Revoke { id, common } => {
            match common.remote.remote(&common.store)? {
                Some(remote) => remote.token_revoke(id).await?,
                None => {
                    let revoke = async |store: &dyn Store| {
                        here(store)
                            .token_revoke(TokenId(id))
                            .await
                            .with_context(|| format!("token {id} (`fieldvitals token list` shows them)"))
                    };
                    common.store.with(revoke).await?;
                }
            }
            if common.json {
                print(&json!({"revoked": id}));
            } else {
                print_text(&format!("token {id} is revoked"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds a token to the store itself.
async fn add(
    store: &dyn Store,
    name: &str,
    scope: Scope,
    (sites, rate): (&[String], Option<u32>),
) -> anyhow::Result<Shown> {
    let known = store.sites().await?;
    let limited = sites.iter().map(|name| site_named(&known, name).map(|site| site.id));
    let limited = limited.collect::<anyhow::Result<Vec<SiteId>>>()?;
    let limited = (!limited.is_empty()).then_some(limited);
    let (token, secret) = here(store).token_add(name, scope, limited, rate).await?;
    Ok(Shown { token: Some(secret), ..Shown::new(token, &known) })
}

fn table(tokens: &[Shown]) -> Table {
    let columns = [
        Column::number("ID"),
        Column::word("SCOPE"),
        Column::word("CREATED").dropped(1),
        Column::number("RATE").dropped(2),
        Column::text("SITES"),
        Column::text("NAME"),
    ];
    let mut table = Table::new(&columns);
    for token in tokens {
        table.row(vec![
            token.id.to_string().into(),
            token.scope.as_str().into(),
            token.created.as_str().into(),
            token.rate.unwrap_or(limits::TOKEN_RATE_PER_S).to_string().into(),
            token.sites().into(),
            token.name.as_str().into(),
        ]);
    }
    table
}
