//! `fieldvitals migrate`: migrates the schema of a store.

use crate::moment::day_text;
use crate::site::{print, print_text};
use crate::store_args::StoreArgs;
use fieldvitals_store::{RetentionEdges, Store};
use serde_json::json;
use std::process::ExitCode;

/// Migrate the schema of a store, as `serve` does at its start.
///
/// Use it to migrate before the new release serves. The migration is one transaction, so it happens entirely or not at
/// all. A second migration at the same time waits, and then finds nothing to do. The command refuses a store of a
/// newer release and leaves it as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Also distribute the tables over the nodes of the Citus cluster at --database-url, by site; distributed tables
    /// stay as they are.
    #[arg(long)]
    citus: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let look = async |store: &dyn Store| Ok((store.sites().await?.len(), store.retention_edges().await?));
    let (sites, retained) = args.store.with_new(look).await?;
    let spread = if args.citus { Some(args.store.url()?.spread().await?) } else { None };
    let (release, place) = (env!("CARGO_PKG_VERSION"), args.store.place().name());
    if args.json {
        print(&json!({
            "store": place, "release": release, "sites": sites, "views_from": edge(retained.views_from_ms),
            "hours_from": edge(retained.hours_from_ms), "days_from": edge(retained.days_from_ms),
            "citus": spread.map(|spread| json!({
                "tables": spread.tables, "moved": spread.moved, "nodes": spread.nodes,
            })),
        }));
    } else {
        let sites = if sites == 1 { "1 site".to_owned() } else { format!("{sites} sites") };
        print_text(&format!(
            "{place} is up to date for fieldvitals {release}: {sites}, {}",
            retention_text(&retained)
        ));
        if let Some(spread) = spread {
            let nodes =
                if spread.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", spread.nodes) };
            print_text(&format!(
                "{} tables are spread over {nodes} by site, {} of them now",
                spread.tables, spread.moved
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The first day within retention; `None` if nothing has been removed yet.
fn edge(from_ms: i64) -> Option<String> {
    (from_ms != i64::MIN).then(|| day_text(from_ms))
}

/// The retention edges as text.
pub(crate) fn retention_text(retained: &RetentionEdges) -> String {
    let edges = [
        ("page views", retained.views_from_ms),
        ("hourly rollups", retained.hours_from_ms),
        ("daily rollups", retained.days_from_ms),
    ];
    if edges.iter().all(|&(_, from_ms)| from_ms == i64::MIN) {
        return "nothing is past retention".to_owned();
    }
    let edges = edges.map(|(what, from_ms)| match edge(from_ms) {
        Some(day) => format!("{what} from {day} on"),
        None => format!("all {what}"),
    });
    format!("with {}", edges.join(", "))
}
