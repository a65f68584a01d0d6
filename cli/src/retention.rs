//! `fieldvitals retention`: how long data is kept.

use crate::client::RemoteArgs;
use crate::names::as_options;
use crate::progress::count;
use crate::serve::Keep;
use crate::site::{here, print, print_text};
use crate::store_args::StoreArgs;
use anyhow::{anyhow, ensure};
use clap::Subcommand;
use fieldvitals_server::administration::{RetentionChange, check};
use fieldvitals_server::limits::{KEEP_DAYS_MAX, KEEP_VIEWS_DAYS_MIN};
use fieldvitals_store::{Retention, Store};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::process::ExitCode;

/// How long the servers of a store keep data. A server with `--keep-views-days`, `--keep-hours-days` or
/// `--keep-rollups-days` follows its own options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the retention: that of the server's options, if they are given here too, such as by its --config; else that of
    /// the store.
    Show {
        #[command(flatten)]
        keep: Keep,
        #[command(flatten)]
        common: Common,
    },
    /// Set the retention of all servers of the store; what is left out stays as it is. They remove what is older within a
    /// minute, and it does not come back.
    Set {
        /// Days to keep page views.
        #[arg(long, value_name = "N", value_parser = days(KEEP_VIEWS_DAYS_MIN))]
        views_days: Option<u32>,
        /// Days to keep hourly rollups; reports cover older days as a whole.
        #[arg(long, value_name = "N", value_parser = days(1))]
        hours_days: Option<u32>,
        /// Days to keep daily rollups: the range of reports.
        #[arg(long, value_name = "N", value_parser = days(KEEP_VIEWS_DAYS_MIN))]
        rollups_days: Option<u32>,
        /// Set a shorter retention, which removes data for good.
        #[arg(long)]
        yes: bool,
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

fn days(least: u32) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(least)..=i64::from(KEEP_DAYS_MAX))
}

/// A retention, as the API shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    from: String,
    views_days: u32,
    hours_days: u32,
    rollups_days: u32,
}

impl Shown {
    fn new(from: &str, retention: Retention) -> Self {
        let Retention { raw_days, hourly_days, daily_days } = retention;
        Self {
            from: from.to_owned(),
            views_days: raw_days,
            hours_days: hourly_days,
            rollups_days: daily_days,
        }
    }

    fn days(&self) -> Retention {
        Retention { raw_days: self.views_days, hourly_days: self.hours_days, daily_days: self.rollups_days }
    }
}

async fn of_store(store: &dyn Store) -> anyhow::Result<Shown> {
    let set = store.retention().await?;
    Ok(set.map_or_else(|| Shown::new("defaults", Retention::default()), |set| Shown::new("store", set)))
}

/// Refuses a change that removes data, unless it was asked for.
fn confirm(before: Retention, change: RetentionChange, yes: bool) -> anyhow::Result<()> {
    let named =
        |message: String| anyhow!(as_options(&message, &["views_days", "hours_days", "rollups_days"]));
    let after = check::retention(change.of(before)).map_err(named)?;
    let lost: Vec<String> = [
        ("page views", before.raw_days, after.raw_days),
        ("hourly rollups", before.hourly_days, after.hourly_days),
        ("daily rollups", before.daily_days, after.daily_days),
    ]
    .into_iter()
    .filter(|(_, before, after)| after < before)
    .map(|(what, _, after)| format!("{what} older than {}", count(u64::from(after), "day")))
    .collect();
    ensure!(
        yes || lost.is_empty(),
        "this removes {}, of all sites and for good; say --yes to do it",
        lost.join(" and ")
    );
    Ok(())
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (shown, json) = match args.command {
        Command::Show { keep, common } => {
            let shown = match (common.remote.remote(&common.store)?, keep.retention()?) {
                (Some(remote), _) => remote.retention().await?,
                (None, Some(options)) => Shown::new("options", options),
                (None, None) => common.store.with(of_store).await?,
            };
            (shown, common.json)
        }
        Command::Set { views_days, hours_days, rollups_days, yes, common } => {
            let change = RetentionChange { views_days, hours_days, rollups_days };
            ensure!(
                change != RetentionChange::default(),
                "nothing to set: give --views-days, --hours-days or --rollups-days"
            );
            let shown = match common.remote.remote(&common.store)? {
                Some(remote) => {
                    confirm(remote.retention::<Shown>().await?.days(), change, yes)?;
                    let body = json!({"views_days": views_days, "hours_days": hours_days, "rollups_days": rollups_days});
                    remote.set_retention(&body).await?
                }
                None => {
                    let set = async |store: &dyn Store| {
                        confirm(of_store(store).await?.days(), change, yes)?;
                        Ok(Shown::new("store", here(store).retention_set(change).await?))
                    };
                    common.store.with(set).await?
                }
            };
            (shown, common.json)
        }
    };
    if json {
        print(&json!(shown));
    } else {
        print_text(&text(&shown));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(shown: &Shown) -> String {
    let from = match shown.from.as_str() {
        "options" => "set by the options of this server",
        "store" => "set for all servers of the store; a server with --keep-… options follows those",
        _ => "the defaults; a server with --keep-… options follows those",
    };
    let days = |days: u32| count(u64::from(days), "day");
    format!(
        "page views      {}\nhourly rollups  {}\ndaily rollups   {}\n{from}",
        days(shown.views_days),
        days(shown.hours_days),
        days(shown.rollups_days)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_retention_must_be_confirmed() {
        let before = Retention { raw_days: 30, hourly_days: 14, daily_days: 400 };
        let longer = RetentionChange { views_days: Some(60), ..RetentionChange::default() };
        assert!(confirm(before, longer, false).is_ok());
        let shorter = RetentionChange { views_days: Some(7), hours_days: Some(1), rollups_days: Some(400) };
        assert!(confirm(before, shorter, true).is_ok());
        assert_eq!(
            confirm(before, shorter, false).unwrap_err().to_string(),
            "this removes page views older than 7 days and hourly rollups older than 1 day, of all sites and for good; say \
             --yes to do it"
        );
        let turned = RetentionChange { views_days: Some(500), ..RetentionChange::default() };
        let error = confirm(before, turned, true).unwrap_err().to_string();
        assert!(
            error.starts_with("--rollups-days is 400, less than --views-days (500) or --hours-days (14): "),
            "{error}"
        );
    }

    #[test]
    fn retention_is_shown_with_its_source() {
        let text = text(&Shown::new("store", Retention { raw_days: 1, hourly_days: 14, daily_days: 762 }));
        let expected = "page views      1 day\nhourly rollups  14 days\ndaily rollups   762 days\nset for all servers of \
                        the store; a server with --keep-… options follows those";
        assert_eq!(text, expected);
    }
}
