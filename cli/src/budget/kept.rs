//! Budgets that are kept on the server: applies a file, and shows what is kept.

use super::diff;
use crate::budget_file::{self, Source};
use crate::client::answer::kept::{AppliedAnswer, KeptAnswer};
use crate::client::{Client, ServerArgs};
use crate::exit::{Done, Exit, Failure};
use crate::output::plain;
use crate::progress::count;
use std::path::{Path, PathBuf};
use vitals::budget::{self, Budget};

/// Keep a budget file on the server, as its newest version. The server judges its budgets all the time, and opens alerts.
/// Needs a token of the scope write.
#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    /// The budget file; `-` reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Applies a file.
pub(super) async fn apply(args: &ApplyArgs) -> Result<Done, Failure> {
    let source = budget_file::read(&args.file)?;
    if let Some(budget) = source.parsed.budgets.iter().find(|budget| budget.limit.max().is_none()) {
        return Err(Failure::usage(
            format!("{}:{}: the server watches budgets with `max`", source.name, budget.line),
            "Keep budgets with `max_increase` in the file of `check`, which knows the release.",
        ));
    }
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let kept = get(&client, &site, None).await?;
    let before = match kept.version {
        None => Vec::new(),
        Some(_) => of_server(&kept)?.parsed.budgets,
    };
    let changes = diff::changes(&before, &source.parsed.budgets);
    let mut stdout: String = changes.iter().map(|line| format!("{line}\n")).collect();
    let not: String = super::not_evaluated(&source).map(|line| format!("{line}\n")).collect();
    stdout.push_str(&not);
    if args.dry_run {
        let sum = match changes.len() {
            0 => "no budget would change".to_owned(),
            changes => format!("{} would change; nothing is applied", count(changes as u64, "budget")),
        };
        stdout.push_str(&format!("{sum}\n"));
        return Ok(super::done(Exit::Pass, stdout));
    }
    let replaces = kept.version.unwrap_or(0).to_string();
    let query = [("replaces", Some(replaces.as_str()))];
    let (_, applied): (_, AppliedAnswer) =
        client.put_toml(&["sites", &site, "budgets"], &query, source.text).await?;
    stdout.push_str(&format!(
        "version {} of {}: {}\n",
        applied.version,
        plain(&applied.site),
        count(applied.budgets, "budget")
    ));
    Ok(super::done(Exit::Pass, stdout))
}

/// Gets a version of the kept budgets, or the newest.
async fn get(client: &Client, site: &str, version: Option<i64>) -> Result<KeptAnswer, Failure> {
    let version = version.map(|version| version.to_string());
    let query = [("version", version.as_deref())];
    let (_, kept) = client.get(&["sites", site, "budgets"], &query).await?;
    Ok(kept)
}

/// Reads the kept budgets of an answer, like a file.
///
/// # Errors
/// If none are kept, or a newer server took a file that this command cannot read.
fn of_server(kept: &KeptAnswer) -> Result<Source, Failure> {
    let site = plain(&kept.site);
    let Some(version) = kept.version else {
        return Err(Failure::usage(
            format!("no budgets are kept for {site}"),
            "`fieldvitals budget apply FILE` keeps those of a file; --budget FILE judges a file without keeping it.",
        ));
    };
    let name = format!("budgets of {site}, version {version}");
    let parsed = budget::parse(&kept.text).map_err(|error| {
        Failure::usage(
            format!("{name}:{}", plain(&error.to_string())),
            "Does the server run a newer version?",
        )
    })?;
    Ok(Source { name, text: kept.text.clone(), parsed })
}

/// Gets the newest kept budgets of a site, like a file.
///
/// # Errors
/// If none are kept, and those of the client.
pub(crate) async fn newest(client: &Client, site: &str) -> Result<Source, Failure> {
    of_server(&get(client, site, None).await?)
}

/// Gets the budgets of a file, or the newest kept ones.
///
/// # Errors
/// If there are none.
pub(super) async fn file_or_newest(
    file: Option<&Path>,
    client: &Client,
    site: &str,
) -> Result<Source, Failure> {
    match file {
        Some(file) => budget_file::read(file),
        None => newest(client, site).await,
    }
}

/// Print budgets as TOML: of a file, also of other tools, or those that are kept on the server.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The budget file; `-` reads standard input. Without a file, the budgets that are kept on the server.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// This version of the budgets on the server; the last 20 are kept.
    #[arg(long, value_name = "N", conflicts_with = "file", value_parser = clap::value_parser!(i64).range(1..))]
    revision: Option<i64>,
    /// List the versions on the server.
    #[arg(long, conflicts_with_all = ["file", "revision"])]
    history: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Shows budgets.
pub(super) async fn show(args: &ShowArgs) -> Result<Done, Failure> {
    if let Some(file) = &args.file {
        return Ok(super::done(Exit::Pass, toml(&budget_file::read(file)?)));
    }
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let kept = get(&client, &site, args.revision).await?;
    if args.history {
        let lines = kept.versions.iter().map(|one| {
            format!("version {}, applied {} by {}\n", one.version, plain(&one.applied), plain(&one.by))
        });
        return Ok(super::done(Exit::Pass, lines.collect()));
    }
    let source = of_server(&kept)?;
    let applied = kept.applied.as_deref().unwrap_or_default();
    let by = kept.by.as_deref().unwrap_or_default();
    let title = format!("# {}, applied {} by {}\n\n", source.name, plain(applied), plain(by));
    Ok(super::done(Exit::Pass, title + &toml(&source)))
}

/// The budgets as TOML, after a comment for each limit that page views cannot judge.
fn toml(source: &Source) -> String {
    let tables: Vec<String> = source.parsed.budgets.iter().map(Budget::toml).collect();
    let not: String = super::not_evaluated(source).map(|line| format!("# {line}\n")).collect();
    format!("{not}{}", tables.join("\n"))
}
