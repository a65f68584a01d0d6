//! `fieldvitals release`: marks deploys on the store, and lists releases.

use crate::moment::{day_text, text, time};
use crate::output::table::{Column, Table};
use crate::output::{ABSENT, Terminal, plain, print as print_table};
use crate::site::{print, print_text};
use crate::store_args::{StoreArgs, site_of};
use anyhow::ensure;
use clap::Subcommand;
use fieldvitals_server::releases::{self, Release};
use fieldvitals_server::report::time_text;
use fieldvitals_server::{clock, limits};
use fieldvitals_store::{DeployMark, Store};
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
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add { release, at, common } => {
            let mark = DeployMark { release: check(&release)?, at_ms: at.unwrap_or_else(clock::now_ms) };
            let add = async |store: &dyn Store| {
                let site = site_of(store, common.site.as_deref()).await?;
                store.deploy_marks_put(site.id, std::slice::from_ref(&mark)).await?;
                Ok(site)
            };
            let site = common.store.with(add).await?;
            if common.json {
                let deployed = time_text(mark.at_ms);
                print(&json!({"site": site.name, "release": mark.release, "deployed": deployed}));
            } else {
                let (release, at) = (plain(&mark.release), text(mark.at_ms));
                print_text(&format!("release {release} of `{}` is marked as deployed at {at}", site.name));
            }
        }
        Command::List { limit, common } => {
            let list = async |store: &dyn Store| {
                let site = site_of(store, common.site.as_deref()).await?;
                let days = releases::range(clock::now_ms());
                let found = releases::releases(store, site.id, days, usize::from(limit)).await?;
                Ok((site, found))
            };
            let (site, found) = common.store.with(list).await?;
            if common.json {
                let releases: Vec<Value> = found.iter().map(to_json).collect();
                print(&json!({"site": site.name, "releases": releases}));
            } else {
                print_table(&table(&site.name, &found, Terminal::of_stdout()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the name of a release by the rules of beacons.
fn check(release: &str) -> anyhow::Result<String> {
    let max = vitals::limits::RELEASE_BYTES_MAX;
    let release = release.trim();
    ensure!(!release.is_empty() && release.len() <= max, "a release is a text of 1 to {max} bytes");
    Ok(release.to_owned())
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

    #[test]
    fn names_of_releases_are_those_that_beacons_may_have() {
        assert_eq!(check(" 5.1.0 ").unwrap(), "5.1.0");
        for wrong in ["", "  ", "x".repeat(129).as_str()] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
