//! Fills a new data folder with a month of a shop's page views, for `fieldvitals serve --data-dir FOLDER`.
//!
//! `cargo run --package fieldvitals-tests --bin month -- FOLDER --regression on`

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use fieldvitals_store::rollup::day_of;
use fieldvitals_store_sqlite::SqliteStore;
use fieldvitals_tests::beacon::now_ms;
use fieldvitals_tests::month::{Month, NAME};
use std::io::Write as _;
use std::path::PathBuf;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Fills a new data folder with 28 days of a shop's page views, up to yesterday.
#[derive(Parser)]
#[command(name = "month")]
struct Arguments {
    /// The data folder. It must not have a store.
    folder: PathBuf,
    /// Page views of a day.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    views: u64,
    /// Whether the last release makes LCP of one route longer by 40 % on phones.
    #[arg(long, default_value = "off")]
    regression: Switch,
    /// Seed of the page views.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { folder, views, regression, seed } = Arguments::parse();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let file = folder.join("store.db");
    ensure!(!file.exists(), "{} exists; choose a new folder", file.display());
    let month = Month {
        views_a_day: views,
        seed,
        has_regression: regression == Switch::On,
        end_ms: day_of(now_ms() as i64),
    };
    let store = SqliteStore::open(&file).await.with_context(|| format!("cannot open {}", file.display()))?;
    month.fill(&store).await;
    store.close().await;
    writeln!(std::io::stdout(), "{}: {} page views of the site {NAME}", folder.display(), views * 28)?;
    Ok(())
}
