//! `fieldvitals site erase`: erases measurements of a site.

use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::moment::{text, time};
use crate::progress::{Progress, count};
use crate::site::{print, print_text};
use crate::store_args::{StoreArgs, find_site};
use anyhow::{Context as _, bail, ensure};
use fieldvitals_server::intake::page_url::PageUrl;
use fieldvitals_store::limits;
use fieldvitals_store::{Erase, Erased, Store, StoreError};
use serde_json::json;
use std::process::ExitCode;

/// Selects the page views to erase.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The site's name.
    name: String,
    #[command(flatten)]
    which: Which,
    /// Only page views that started at this time or later: 2026-11-21 or 2026-11-21T14:30:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,
    /// Only page views that started before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,
    /// Confirm: this cannot be undone.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Only page views of this URL; its query and fragment are ignored, because they are never stored.
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
    /// Page views of every URL.
    #[arg(long)]
    all: bool,
}

/// Normalizes a URL to its stored form.
fn url(text: &str) -> Result<String, String> {
    PageUrl::read(text)
        .map(|url| url.text().into_owned())
        .ok_or_else(|| "expected the whole URL of a page, such as https://shop.example/orders/17".to_owned())
}

impl Args {
    fn erase(&self, site: fieldvitals_store::SiteId) -> anyhow::Result<Erase> {
        let (from_ms, to_ms) = (self.from.unwrap_or(0), self.to.unwrap_or(i64::MAX));
        ensure!(
            from_ms < to_ms,
            "there is no time in between: {}",
            if self.from.is_some() { "--from is not before --to" } else { "--to is before 1970" }
        );
        Ok(Erase { site, from_ms, to_ms, url: self.which.url.clone() })
    }

    /// Describes the selected page views.
    fn words(&self) -> String {
        let which = match &self.which.url {
            Some(url) => format!("every page view of {url}"),
            None => "every page view".to_owned(),
        };
        let range = match (self.from, self.to) {
            (None, None) => String::new(),
            (Some(from), None) => format!(" that started at {} (UTC) or later", text(from)),
            (None, Some(to)) => format!(" that started before {} (UTC)", text(to)),
            (Some(from), Some(to)) => {
                format!(" that started from {} to before {} (UTC)", text(from), text(to))
            }
        };
        let rollups = match self.which.url {
            Some(_) => {
                "Of days whose page views are past retention nothing is erased: their rollups are counts of routes, in \
                 which a URL cannot be told apart. --all without --url erases those days whole."
            }
            None => {
                "Of days whose page views are past retention, rollups are erased where the whole day (UTC) lies in the \
                 range."
            }
        };
        format!(
            "of site `{}`: {which}{range}, and what it counts in reports.\n{rollups}\nBeacons that still wait in a \
             server's spool, and those that a page that is still open sends later, are counted again.\nBackups of the \
             store keep what they have.",
            self.name
        )
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.store.with(async |store: &dyn Store| erase(store, &args).await).await
}

async fn erase(store: &dyn Store, args: &Args) -> anyhow::Result<ExitCode> {
    let site = find_site(store, &args.name).await?;
    let erase = args.erase(site.id)?;
    if !args.yes {
        let views = match store.erasable(&erase).await {
            Ok(views) if views > limits::ERASABLE_MAX => {
                format!("more than {}", count(limits::ERASABLE_MAX, "page view"))
            }
            Ok(views) => count(views, "page view"),
            Err(StoreError::TooSlow { .. }) => "more page views than can be counted in time".to_owned(),
            Err(error) => return Err(error.into()),
        };
        bail!("this erases, for good, {}\nThat is {views} at the moment. Say --yes to do it", args.words());
    }
    eprintln!("erasing {}", args.words());
    let interrupt = Interrupt::watch("this step");
    let mut progress = Progress::new();
    let mut all = Erased { more: true, ..Erased::default() };
    while all.more && !interrupt.asked() {
        progress.say(|| {
            format!("{} and {} erased", count(all.views, "page view"), count(all.rows, "rollup row"))
        });
        let step = store.erase(&erase).await.with_context(|| {
            format!("{} are erased so far; the same command goes on", count(all.views, "page view"))
        })?;
        all = Erased { views: all.views + step.views, rows: all.rows + step.rows, more: step.more };
    }
    progress.clear();
    if args.json {
        print(
            &json!({"site": site.name, "views": all.views, "rollup_rows": all.rows, "complete": !all.more}),
        );
    } else {
        print_text(&format!(
            "{} erased, and {} of days whose page views are past retention",
            count(all.views, "page view"),
            count(all.rows, "rollup row")
        ));
    }
    if all.more {
        eprintln!("stopped; the same command erases the rest");
        return Ok(Exit::Inconclusive.into());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use fieldvitals_store::SiteId;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(args: &[&str]) -> Result<Args, String> {
        let args = ["erase"].iter().chain(args);
        Command::try_parse_from(args).map(|command| command.args).map_err(|error| error.to_string())
    }

    #[test]
    fn either_a_url_or_all_is_named() {
        assert!(parse(&["shop"]).is_err_and(|message| message.contains("--all")));
        assert!(parse(&["shop", "--all", "--url", "https://a.example/"]).is_err());
        assert!(parse(&["shop", "--url", "/p/1"]).is_err_and(|message| message.contains("whole URL")));
        let args = parse(&["shop", "--url", "https://a.example/p/1?token=x#y"]).unwrap();
        let erase = args.erase(SiteId(3)).unwrap();
        assert_eq!(erase.url.as_deref(), Some("https://a.example/p/1"), "as it is kept");
        assert_eq!((erase.site, erase.from_ms, erase.to_ms), (SiteId(3), 0, i64::MAX));
    }

    #[test]
    fn what_is_erased_is_told() {
        let args = parse(&["shop", "--all", "--from", "2026-11-01", "--to", "2026-11-02T12:00:00Z"]).unwrap();
        let words = args.words();
        assert!(
            words.contains(
                "`shop`: every page view that started from 2026-11-01 to before 2026-11-02T12:00:00Z"
            ),
            "{words}"
        );
        assert!(words.contains("spool") && words.contains("past retention"), "{words}");
        let words = parse(&["shop", "--url", "https://a.example/"]).unwrap().words();
        assert!(words.contains("cannot be told apart"), "{words}");
        let turned = parse(&["shop", "--all", "--from", "2026-11-02", "--to", "2026-11-01"]).unwrap();
        assert!(turned.erase(SiteId(1)).is_err_and(|error| error.to_string().contains("--from")));
        let early = parse(&["shop", "--all", "--to", "1960-01-01"]).unwrap();
        assert!(early.erase(SiteId(1)).is_err_and(|error| error.to_string().contains("before 1970")));
    }
}
