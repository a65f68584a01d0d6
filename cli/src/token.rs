//! `fieldvitals token`: adds, lists and revokes API tokens.

use crate::client::RemoteArgs;
use crate::names::unknown;
use crate::output::table::{Column, Table};
use crate::output::{self, Terminal, plain};
use crate::site::{here, print, print_text};
use crate::store_args::{StoreArgs, site_named};
use anyhow::{Context as _, bail};
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
        /// The purpose of the token, in your words; no other token may have it. `token`, or `token-2` and so on when
        /// absent.
        name: Option<String>,
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
        /// The id of the token, from `token list`; or its name, if no other token has it.
        #[arg(value_name = "ID|NAME")]
        which: String,
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
                Some(remote) => {
                    let name = match name {
                        Some(name) => name,
                        None => free_name(&remote.tokens().await?),
                    };
                    remote.token_add(&name, scope.name(), &sites, rate).await?
                }
                None => {
                    let add = async |store: &dyn Store| add(store, name, scope, (&sites, rate)).await;
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
                None => common.store.with(shown).await?,
            };
            if common.json {
                print(&json!(tokens));
            } else if tokens.is_empty() {
                print_text("there is no token yet: `fieldvitals token add NAME --scope read` makes one");
            } else {
                output::print(&table(&tokens).render(Terminal::of_stdout()));
            }
        }
        Command::Revoke { which, common } => {
            let id = match common.remote.remote(&common.store)? {
                Some(remote) => {
                    let id = id_of(&which, async || Ok(remote.tokens().await?)).await?;
                    remote.token_revoke(id).await?;
                    id
                }
                None => {
                    let revoke = async |store: &dyn Store| {
                        let id = id_of(&which, async || shown(store).await).await?;
                        let revoked = here(store).token_revoke(TokenId(id)).await;
                        revoked
                            .with_context(|| format!("token {id} (`fieldvitals token list` shows them)"))?;
                        Ok(id)
                    };
                    common.store.with(revoke).await?
                }
            };
            if common.json {
                print(&json!({"revoked": id}));
            } else {
                print_text(&format!("token {id} is revoked"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The tokens of the store itself.
async fn shown(store: &dyn Store) -> anyhow::Result<Vec<Shown>> {
    let (tokens, known) = (store.tokens().await?, store.sites().await?);
    Ok(tokens.into_iter().map(|token| Shown::new(token, &known)).collect())
}

/// The name of a token that was given none: `token`, or the first of `token-2`, `token-3` … that no token has.
fn free_name(tokens: &[Shown]) -> String {
    let is_free = |name: &String| tokens.iter().all(|token| token.name != *name);
    let mut names =
        std::iter::once("token".to_owned()).chain((2_u32..).map(|number| format!("token-{number}")));
    names.find(is_free).unwrap_or_default()
}

/// The id of a token, which is given by its id or its name.
async fn id_of(given: &str, tokens: impl AsyncFnOnce() -> anyhow::Result<Vec<Shown>>) -> anyhow::Result<i64> {
    if let Ok(id) = given.parse() {
        return Ok(id);
    }
    let tokens = tokens().await?;
    let named: Vec<&Shown> = tokens.iter().filter(|token| token.name == given).collect();
    match named.as_slice() {
        [token] => Ok(token.id),
        [] => {
            let known: Vec<String> = tokens.into_iter().map(|token| token.name).collect();
            bail!("{}", unknown("token", given, "", &known))
        }
        several => {
            let ids: Vec<String> = several.iter().map(|token| token.id.to_string()).collect();
            bail!(
                "{} tokens are named `{}`: give the id of one, {}",
                ids.len(),
                plain(given),
                ids.join(" or ")
            )
        }
    }
}

/// Adds a token to the store itself.
async fn add(
    store: &dyn Store,
    name: Option<String>,
    scope: Scope,
    (sites, rate): (&[String], Option<u32>),
) -> anyhow::Result<Shown> {
    let name = match name {
        Some(name) => name,
        None => free_name(&shown(store).await?),
    };
    let known = store.sites().await?;
    let limited = sites.iter().map(|name| site_named(&known, name).map(|site| site.id));
    let limited = limited.collect::<anyhow::Result<Vec<SiteId>>>()?;
    let limited = (!limited.is_empty()).then_some(limited);
    let (token, secret) = here(store).token_add(&name, scope, limited, rate).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: i64, name: &str) -> Shown {
        let (name, scope, created) = (name.to_owned(), "read".to_owned(), String::new());
        Shown { id, name, scope, sites: None, created, rate: None, token: None }
    }

    #[test]
    fn token_without_a_name_gets_one_that_no_other_has() {
        assert_eq!(free_name(&[]), "token");
        assert_eq!(free_name(&[token(1, "token"), token(2, "token-3")]), "token-2");
    }

    #[tokio::test]
    async fn token_is_found_by_its_id_or_a_name_of_its_own() {
        let all = || vec![token(1, "ci"), token(2, "deploy"), token(5, "ci")];
        let of =
            async |given: &str| id_of(given, async || Ok(all())).await.map_err(|error| error.to_string());
        assert_eq!(of("7").await, Ok(7), "an id; the store says whether it exists");
        assert_eq!(of("deploy").await, Ok(2));
        assert_eq!(of("ci").await, Err("2 tokens are named `ci`: give the id of one, 1 or 5".to_owned()));
        assert_eq!(of("dploy").await, Err("there is no token `dploy`; did you mean `deploy`?".to_owned()));
    }
}
