//! `fieldvitals site routes`: groups of routes that have too few page views each.

use super::{here, print};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::names::unknown;
use crate::output::table::{Column, Table};
use crate::output::{Terminal, plain, print as print_text, share};
use crate::progress::{Progress, count, grouped};
use crate::store_args::{StoreArgs, find_site};
use anyhow::Context as _;
use clap::Subcommand;
use fieldvitals_server::clock::now_ms;
use fieldvitals_server::limits::ROUTES_STUDIED_VIEWS_MIN;
use fieldvitals_server::routes::{PresentReport, SuggestionsReport, rebuild, study};
use fieldvitals_store::limits::ROUTE_GROUPS_REMOVED_MAX;
use fieldvitals_store::{RouteGroups, Site, Store};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Time after which every running server has read changed groups; servers read them each second.
const SEEN_BY_SERVERS: Duration = Duration::from_secs(2);
/// Routes apart that a text names.
const APART_SHOWN: usize = 10;

/// Groups of routes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show groups that the page views of the last 30 days suggest, with what each would join. Changes nothing.
    Suggest {
        /// The site's name.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Add suggested groups: new page views count under them from now on.
    ///
    /// Without a pattern, adds the groups that are certain.
    Apply {
        /// The site's name.
        name: String,
        /// Suggested groups to add, such as /blog/:slug.
        patterns: Vec<String>,
        /// Add every suggested group.
        #[arg(long, conflicts_with = "patterns")]
        all: bool,
        #[command(flatten)]
        rebuild: Rebuild,
        #[command(flatten)]
        common: Common,
    },
    /// List the groups of a site, and the routes that keep their names beside them.
    List {
        /// The site's name.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Remove groups. Servers do not add them again.
    Remove {
        /// The site's name.
        name: String,
        /// The groups, such as /blog/:slug.
        #[arg(required = true)]
        patterns: Vec<String>,
        #[command(flatten)]
        rebuild: Rebuild,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Rebuild {
    /// Give stored page views their new routes too, and move their counts. Servers may run meanwhile.
    #[arg(long)]
    rebuild: bool,
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Suggest { name, common } => {
            let report = common.store.with(async |store: &dyn Store| suggestions(store, &name).await).await?;
            if common.json {
                print(&serde_json::to_value(&report)?);
            } else {
                print_text(&suggestions_text(&report, Terminal::of_stdout()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Apply { name, patterns, all, rebuild, common } => {
            let which = if all { Which::All } else { Which::of(&patterns) };
            let apply = async |store: &dyn Store| apply(store, &name, &which, rebuild.rebuild).await;
            done(&common, &common.store.with(apply).await?)
        }
        Command::List { name, common } => {
            let site = common.store.with(async |store: &dyn Store| find_site(store, &name).await).await?;
            if common.json {
                let mut present = serde_json::to_value(PresentReport::from(&site))?;
                present["site"] = site.name.into();
                present["auto"] = site.route_groups.auto.into();
                print(&present);
            } else {
                print_text(&list_text(&site, Terminal::of_stdout()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Remove { name, patterns, rebuild, common } => {
            let remove = async |store: &dyn Store| remove(store, &name, &patterns, rebuild.rebuild).await;
            done(&common, &common.store.with(remove).await?)
        }
    }
}

async fn suggestions(store: &dyn Store, name: &str) -> anyhow::Result<SuggestionsReport> {
    let site = find_site(store, name).await?;
    let study = study(store, &site, now_ms()).await?;
    Ok(SuggestionsReport::new(&site, study))
}

/// The suggestions to add.
enum Which<'a> {
    Certain,
    All,
    Named(&'a [String]),
}

impl<'a> Which<'a> {
    const fn of(patterns: &'a [String]) -> Self {
        if patterns.is_empty() { Self::Certain } else { Self::Named(patterns) }
    }
}

/// The result of a change.
struct Done {
    site: Site,
    before: RouteGroups,
    /// Suggestions that were left out, because they are doubtful.
    doubtful: usize,
    rebuilt: Option<Rebuilt>,
}

async fn apply(store: &dyn Store, name: &str, which: &Which<'_>, rebuild: bool) -> anyhow::Result<Done> {
    let site = find_site(store, name).await?;
    let lesson = study(store, &site, now_ms()).await?.lesson;
    let known: Vec<String> = lesson.proposals.iter().map(|proposal| proposal.pattern.clone()).collect();
    if let Which::Named(patterns) = which
        && let Some(wrong) = patterns.iter().find(|pattern| !known.contains(pattern))
    {
        anyhow::bail!(unknown("suggested group", wrong, &format!(" for site `{name}`"), &known));
    }
    let after = lesson.applied(&site.route_groups, |proposal| match which {
        Which::Certain => proposal.doubt.is_none(),
        Which::All => true,
        Which::Named(patterns) => patterns.contains(&proposal.pattern),
    });
    let doubtful = match which {
        Which::Certain => lesson.proposals.iter().filter(|proposal| proposal.doubt.is_some()).count(),
        _ => 0,
    };
    change(store, site, after, doubtful, rebuild).await
}

async fn remove(store: &dyn Store, name: &str, patterns: &[String], rebuild: bool) -> anyhow::Result<Done> {
    let site = find_site(store, name).await?;
    let known = &site.route_groups.groups;
    if let Some(wrong) = patterns.iter().find(|pattern| !known.contains(pattern)) {
        anyhow::bail!(unknown("group", wrong, &format!(" on site `{name}`"), known));
    }
    let after = site.route_groups.without(patterns);
    anyhow::ensure!(
        after.removed.len() <= ROUTE_GROUPS_REMOVED_MAX,
        "a site remembers at most {ROUTE_GROUPS_REMOVED_MAX} removed groups; `fieldvitals site update {name} \
         --auto-routes off` keeps servers from adding any"
    );
    change(store, site, after, 0, rebuild).await
}

async fn change(
    store: &dyn Store,
    site: Site,
    after: RouteGroups,
    doubtful: usize,
    is_rebuilt: bool,
) -> anyhow::Result<Done> {
    let before = site.route_groups.clone();
    let changed = here(store).site_route_groups(&site, &after).await?;
    let rebuilt = match is_rebuilt {
        false => None,
        true => {
            if changed.route_groups != before {
                tokio::time::sleep(SEEN_BY_SERVERS).await;
            }
            Some(rebuild_all(store, &changed).await?)
        }
    };
    Ok(Done { site: changed, before, doubtful, rebuilt })
}

/// The result of a rebuild.
struct Rebuilt {
    read: u64,
    moved: u64,
    is_complete: bool,
}

async fn rebuild_all(store: &dyn Store, site: &Site) -> anyhow::Result<Rebuilt> {
    let interrupt = Interrupt::watch("this step");
    let mut progress = Progress::new();
    let mut all = Rebuilt { read: 0, moved: 0, is_complete: false };
    let mut last = None;
    while !interrupt.asked() {
        progress.say(|| format!("{} read, {} moved", count(all.read, "page view"), grouped(all.moved)));
        let step = rebuild::step(store, site, last).await.with_context(|| {
            format!("{} have their routes; the same command goes on", count(all.read, "page view"))
        })?;
        let Some(step) = step else {
            all.is_complete = true;
            break;
        };
        (all.read, all.moved, last) = (all.read + step.read, all.moved + step.moved, Some(step.last));
    }
    progress.clear();
    // Also if an earlier run moved the last of them.
    if all.is_complete {
        store.free_names(site.id).await?;
    }
    Ok(all)
}

fn done(common: &Common, done: &Done) -> anyhow::Result<ExitCode> {
    if common.json {
        print(&done.to_json());
    } else {
        print_text(&done.to_text(Terminal::of_stdout()));
    }
    if done.rebuilt.as_ref().is_some_and(|rebuilt| !rebuilt.is_complete) {
        eprintln!("stopped; the same command moves the rest");
        return Ok(Exit::Inconclusive.into());
    }
    Ok(ExitCode::SUCCESS)
}

impl Done {
    fn added(&self) -> Vec<&String> {
        let groups = self.site.route_groups.groups.iter();
        groups.filter(|group| !self.before.groups.contains(group)).collect()
    }

    fn removed(&self) -> Vec<&String> {
        let groups = self.before.groups.iter();
        groups.filter(|group| !self.site.route_groups.groups.contains(group)).collect()
    }

    fn to_json(&self) -> Value {
        let rebuilt = self.rebuilt.as_ref().map(
            |rebuilt| json!({"views": rebuilt.read, "moved": rebuilt.moved, "complete": rebuilt.is_complete}),
        );
        json!({
            "site": self.site.name, "added": self.added(), "removed": self.removed(),
            "doubtful": self.doubtful, "rebuilt": rebuilt,
        })
    }

    fn to_text(&self, terminal: Terminal) -> String {
        let name = &self.site.name;
        let mut text = String::new();
        for (what, groups) in [("added", self.added()), ("removed", self.removed())] {
            for group in groups {
                text.push_str(&format!("{what} {}\n", plain(group)));
            }
        }
        if text.is_empty() {
            text.push_str("no group changed\n");
        }
        if self.doubtful > 0 {
            let doubtful = count(self.doubtful as u64, "doubtful suggestion");
            let why = format!(
                "{doubtful} left out; `fieldvitals site routes suggest {name}` says why, and `apply {name} PATTERN` or \
                 --all adds them"
            );
            text.push_str(&terminal.wrap("", &why));
        }
        match &self.rebuilt {
            Some(rebuilt) => text.push_str(&format!(
                "{} of {} got another route\n",
                grouped(rebuilt.moved),
                count(rebuilt.read, "page view")
            )),
            None if self.site.route_groups != self.before => {
                text.push_str("new page views count so from now on; --rebuild moves stored ones too\n");
            }
            None => {}
        }
        text
    }
}

fn suggestions_text(report: &SuggestionsReport, terminal: Terminal) -> String {
    let (name, read) = (&report.site, count(report.views, "page view"));
    let other = share(report.other_views, report.views);
    let of = if report.sampled.is_some() { "a sample of " } else { "" };
    let mut text =
        terminal.wrap("", &format!("{name}: {of}{read} of the last 30 days, {other} under (other)"));
    text.push('\n');
    if report.groups.is_empty() {
        text.push_str(&terminal.wrap(
            "",
            &match report.views < ROUTES_STUDIED_VIEWS_MIN {
                true => format!(
                    "no group is suggested of fewer than {} page views",
                    grouped(ROUTES_STUDIED_VIEWS_MIN)
                ),
                false => "no group is suggested: no segment of paths has very many small values".to_owned(),
            },
        ));
        return text;
    }
    let mut table = Table::new(&[
        Column::text("GROUP"),
        Column::number("PAGES"),
        Column::number("VIEWS"),
        Column::number("SHARE"),
        Column::word("CERTAIN"),
    ]);
    for group in &report.groups {
        let certain = if group.doubt.is_none() { "yes" } else { "no" };
        let doubt = group.message.map(|message| format!("{message}; ")).unwrap_or_default();
        let examples: Vec<String> = group.examples.iter().map(|example| plain(example)).collect();
        table.noted_row(
            vec![
                group.pattern.clone().into(),
                grouped(group.pages as u64).into(),
                grouped(group.views).into(),
                share(group.views, report.views).into(),
                certain.into(),
            ],
            format!("{doubt}such as {}", examples.join(", ")),
        );
    }
    text.push_str(&table.render(terminal));
    if !report.apart.is_empty() {
        let apart: Vec<String> =
            report.apart.iter().take(APART_SHOWN).map(|page| plain(&page.route)).collect();
        let more = report.apart.len().saturating_sub(APART_SHOWN);
        let heading = match more {
            0 => "\nThese pages keep their names:\n".to_owned(),
            more => format!("\nThese pages and {} more keep their names:\n", grouped(more as u64)),
        };
        text.push_str(&heading);
        text.push_str(&terminal.list("  ", &apart));
    }
    let next = format!(
        "`fieldvitals site routes apply {name}` adds the certain ones; --rebuild moves stored page views too"
    );
    text.push('\n');
    text.push_str(&terminal.wrap("", &next));
    text
}

fn list_text(site: &Site, terminal: Terminal) -> String {
    let groups = &site.route_groups;
    let auto = if groups.auto { "on: servers add certain groups" } else { "off" };
    let mut text = format!("{}\n  auto     {auto}\n", site.name);
    for (label, list) in
        [("  groups   ", &groups.groups), ("  apart    ", &groups.apart), ("  removed  ", &groups.removed)]
    {
        if !list.is_empty() {
            text.push_str(terminal.list(label, list).trim_end());
            text.push('\n');
        }
    }
    text
}
