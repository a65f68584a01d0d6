//! `fieldvitals release`: marks deploys, and lists releases.

use crate::client::RemoteArgs;
use crate::moment::{day_text, text, time};
use crate::output::table::{Column, Table};
use crate::output::{ABSENT, Terminal, plain, print as print_table};
use crate::site::{here, print, print_text};
use crate::store_args::{StoreArgs, site_of};
use clap::Subcommand;
use fieldvitals_server::releases::{self, Release};
use fieldvitals_server::report::time_text;
use fieldvitals_server::{clock, limits};
use fieldvitals_store::Store;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Releases of a site.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mark the deploy of a release; series and comparisons show it. A second mark of a release replaces the first.
    Add {
        /// The release, as pages name it (`data-release`).
        release: String,
        /// Time of the deploy, such as 2026-11-21T14:30:00Z, or a day; now when absent.
        #[arg(long, value_name = "TIME", value_parser = time)]
        at: Option<i64>,
        #[command(flatten)]
        common: Common,
    },
    /// List the releases that were seen or deployed last.
    List {
        /// Releases to show, at most 100.
        #[arg(long, default_value_t = 20, value_name = "N",
              value_parser = clap::value_parser!(u16).range(1..=limits::RELEASE_ROWS_MAX as i64))]
        limit: u16,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The site; optional if the store has only one.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add { release, at, common } => {
            let marked = match common.remote.remote(&common.store)? {
                Some(remote) => {
                    let site = remote.site_name(common.site.as_deref()).await?;
                    remote.deploy_mark(&site, &release, at.map(time_text)).await?
                }
                None => {
                    let add = async |store: &dyn Store| {
                        let site = site_of(store, common.site.as_deref()).await?;
                        let mark = here(store).deploy_mark(&site, &release, at).await?;
                        let deployed = time_text(mark.at_ms);
                        Ok(json!({"site": site.name, "release": mark.release, "deployed": deployed}))
                    };
                    common.store.with(add).await?
                }
            };
            if common.json {
                print(&marked);
            } else {
                let said = |name: &str| plain(marked[name].as_str().unwrap_or_default());
                let [release, site, at] = [said("release"), said("site"), said("deployed")];
                print_text(&format!("release {release} of `{site}` is marked as deployed at {at}"));
            }
        }
        Command::List { limit, common } => {
            let (site, found) = match common.remote.remote(&common.store)? {
                Some(remote) => {
                    let site = remote.site_name(common.site.as_deref()).await?;
                    let found = remote.releases(&site, limit).await?;
                    (site, found)
                }
                None => {
                    let list = async |store: &dyn Store| {
                        let site = site_of(store, common.site.as_deref()).await?;
                        let days = releases::range(clock::now_ms());
                        let found = releases::releases(store, site.id, days, usize::from(limit)).await?;
                        Ok((site.name, found))
                    };
                    common.store.with(list).await?
                }
            };
            if common.json {
                let releases: Vec<Value> = found.iter().map(to_json).collect();
                print(&json!({"site": site, "releases": releases}));
            } else {
                print_table(&table(&site, &found, Terminal::of_stdout()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(release: &Release) -> Value {
    let [first_ms, last_ms] = release.seen.map_or([None; 2], |days| days.map(Some));
    json!({
        "release": release.name, "first_seen": first_ms.map(time_text), "last_seen": last_ms.map(time_text),
        "views": release.views, "deployed": release.deployed_ms.map(time_text),
    })
}

fn table(site: &str, releases: &[Release], terminal: Terminal) -> String {
    if releases.is_empty() {
        let text = format!(
            "{}: no release was seen or marked yet. Pages name theirs with `data-release`, and `fieldvitals release \
             add` marks a deploy.",
            plain(site)
        );
        return terminal.wrap("", &text);
    }
    let mut table = Table::new(&[
        Column::text("RELEASE"),
        Column::word("FIRST SEEN"),
        Column::word("LAST SEEN"),
        Column::number("VIEWS"),
        Column::word("DEPLOYED"),
    ]);
    for release in releases {
        let day = |place: usize| release.seen.map_or_else(|| ABSENT.to_owned(), |days| day_text(days[place]));
        table.row(vec![
            release.name.as_str().into(),
            day(0).into(),
            day(1).into(),
            release.views.to_string().into(),
            release.deployed_ms.map_or_else(|| ABSENT.to_owned(), text).into(),
        ]);
    }
    table.render(terminal) + &terminal.wrap("", "Days are UTC.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_listed_with_their_days_and_deploys() {
        let release =
            |name: &str, seen, deployed_ms| Release { name: name.to_owned(), seen, views: 12, deployed_ms };
        let day_ms = 86_400_000;
        let found = [
            release(
                "5.1.0\u{1b}[2J",
                Some([20_000 * day_ms, 20_003 * day_ms]),
                Some(20_000 * day_ms + 5_000),
            ),
            release("6.0", None, Some(20_009 * day_ms)),
        ];
        insta::assert_snapshot!(table("shop", &found, Terminal { color: false, columns: Some(80) }));
        assert!(table("shop", &[], Terminal::PIPE).contains("data-release"));
    }
}
