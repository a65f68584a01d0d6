//! `fieldvitals rollup`: compares rollups with the page views that they count, and rebuilds them.

use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::moment::{day, day_text};
use crate::output::table::{Column, Table};
use crate::output::{Terminal, print};
use crate::progress::{Progress, count, grouped};
use crate::store_args::{StoreArgs, find_site};
use clap::Subcommand;
use fieldvitals_server::limits;
use fieldvitals_store::dimension::{Code, NO_VALUE, label_code};
use fieldvitals_store::rollup::{DAY_MS, Difference, Grain, Part, from_slot};
use fieldvitals_store::{CellQuery, Dimension, GroupBy, Site, SiteId, Store, StoreError};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;
use vitals::metric::Metrics;

/// Rollups: the hourly and daily sums of page views from which reports are made.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare rollups with the page views that they count: exit 0 if they agree, 1 if they differ.
    ///
    /// Servers may run meanwhile, because each day is compared in one snapshot of the store. Days with page views past
    /// retention cannot be compared.
    Verify {
        #[command(flatten)]
        days: Days,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Rebuild rollups from the page views that they count.
    ///
    /// Servers may run meanwhile. Days with page views past retention stay as they are.
    Rebuild {
        #[command(flatten)]
        days: Days,
    },
}

/// Selects days and sites.
#[derive(Debug, clap::Args)]
struct Days {
    /// The site; all sites if omitted.
    site: Option<String>,
    /// The first day, UTC.
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<i64>,
    /// The last day, UTC.
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<i64>,
    #[command(flatten)]
    store: StoreArgs,
}

/// A day of a site.
struct SiteDay {
    site: SiteId,
    name: String,
    day_ms: i64,
}

impl Days {
    fn has(&self, day_ms: i64) -> bool {
        self.from.is_none_or(|from_ms| from_ms <= day_ms) && self.to.is_none_or(|to_ms| day_ms <= to_ms)
    }

    /// The selected days that have stored page views.
    async fn of(&self, store: &dyn Store) -> anyhow::Result<Vec<SiteDay>> {
        if let (Some(from_ms), Some(to_ms)) = (self.from, self.to) {
            anyhow::ensure!(
                from_ms <= to_ms,
                "there is no day: --from {} is after --to {}",
                day_text(from_ms),
                day_text(to_ms)
            );
        }
        let sites: Vec<Site> = match &self.site {
            Some(name) => vec![find_site(store, name).await?],
            None => store.sites().await?,
        };
        let mut all = Vec::new();
        for site in sites {
            let days = store.view_days(site.id).await?;
            let days = days.into_iter().filter(|&day_ms| self.has(day_ms));
            all.extend(days.map(|day_ms| SiteDay { site: site.id, name: site.name.clone(), day_ms }));
        }
        Ok(all)
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Verify { days, json } => {
            let compare = async |store: &dyn Store| verify(store, &days.of(store).await?, "comparing").await;
            let found = days.store.with(compare).await?;
            print(&if json { found.to_json() } else { found.to_text(Terminal::of_stdout()) });
            Ok(found.exit().into())
        }
        Command::Rebuild { days } => {
            days.store.with(async |store: &dyn Store| rebuild(store, &days.of(store).await?).await).await
        }
    }
}

/// Result of a comparison.
pub(crate) struct Verified {
    days: usize,
    /// Number of days not reached.
    left: usize,
    differences: Vec<Value>,
}

/// Compares all days with stored page views, for these sites.
pub(crate) async fn verify_sites(store: &dyn Store, sites: &[Site]) -> anyhow::Result<Verified> {
    let mut all = Vec::new();
    for site in sites {
        let days = store.view_days(site.id).await?;
        all.extend(days.into_iter().map(|day_ms| SiteDay { site: site.id, name: site.name.clone(), day_ms }));
    }
    verify(store, &all, "comparing").await
}

async fn verify(store: &dyn Store, all: &[SiteDay], doing: &str) -> anyhow::Result<Verified> {
    let interrupt = Interrupt::watch("this day");
    let mut progress = Progress::new();
    let mut found = Verified { days: 0, left: all.len(), differences: Vec::new() };
    for one in all {
        if interrupt.asked() {
            break;
        }
        let name = day_text(one.day_ms);
        progress
            .say(|| format!("{doing}: day {} of {}, {} of {}", found.days + 1, all.len(), name, one.name));
        let differences = store.verify_day(one.site, one.day_ms).await?;
        if !differences.is_empty() {
            progress.note(&format!(
                "{name} of {}: {}",
                one.name,
                count(differences.len() as u64, "difference")
            ));
            let labels = labels(store, one, &differences).await?;
            found.differences.extend(differences.iter().map(|difference| row(one, difference, &labels)));
        }
        found.days += 1;
        found.left -= 1;
    }
    Ok(found)
}

impl Verified {
    /// `Fail` on any difference; otherwise `Inconclusive` if days were not reached.
    pub(crate) fn exit(&self) -> Exit {
        match (self.differences.is_empty(), self.left) {
            (true, 0) => Exit::Pass,
            (true, _) => Exit::Inconclusive,
            (false, _) => Exit::Fail,
        }
    }

    fn to_json(&self) -> String {
        let report = json!({"days": self.days, "days_left": self.left, "differences": self.differences});
        format!("{report:#}\n")
    }

    /// The result as text. Prints at most [`limits::PAGE_ROWS_MAX`] differences.
    pub(crate) fn to_text(&self, terminal: Terminal) -> String {
        let mut text = String::new();
        if !self.differences.is_empty() {
            let mut table = Table::new(&[
                Column::word("SITE"),
                Column::word("TIME"),
                Column::word("GRAIN").dropped(1),
                Column::word("DIMENSION"),
                Column::text("VALUE"),
                Column::text("ROUTE"),
                Column::word("COUNT"),
                Column::number("STORED"),
                Column::number("EXPECTED"),
            ]);
            for row in self.differences.iter().take(limits::PAGE_ROWS_MAX) {
                let cell = |name: &str| match &row[name] {
                    Value::String(text) => text.clone(),
                    Value::Null => "(unknown)".to_owned(),
                    other => other.to_string(),
                };
                let names =
                    ["site", "time", "grain", "dimension", "value", "route", "count", "stored", "expected"];
                table.row(names.into_iter().map(|name| cell(name).into()).collect());
            }
            text = table.render(terminal);
            if self.differences.len() > limits::PAGE_ROWS_MAX {
                let more = self.differences.len() - limits::PAGE_ROWS_MAX;
                text.push_str(&format!("… and {} more; --json prints all\n", grouped(more as u64)));
            }
            text.push('\n');
        }
        let days = count(self.days as u64, "day");
        let left = if self.left > 0 { format!("; {} not reached", self.left) } else { String::new() };
        text.push_str(&match self.differences.len() {
            0 if self.days == 0 && self.left == 0 => "there are no page views to compare rollups with\n".to_owned(),
            0 => format!("{days} compared{left}: rollups are what the page views come to\n"),
            n => format!(
                "{days} compared{left}: {}; `fieldvitals rollup rebuild` makes rollups again from page views\n",
                count(n as u64, "difference")
            ),
        });
        text
    }
}

/// A difference as JSON, with names instead of codes.
fn row(day: &SiteDay, difference: &Difference, labels: &HashMap<(Dimension, Code), String>) -> Value {
    let Difference { key, route, code, stored, expected } = difference;
    let start_ms = key.grain.start_ms(key.step);
    let (grain, time) = match key.grain {
        Grain::Hour => ("hour", fieldvitals_server::report::time_text(start_ms)),
        Grain::Day => ("day", day_text(start_ms)),
        Grain::Week => ("week", day_text(start_ms)),
    };
    let (dimension, counted) = match from_slot(key.slot) {
        Some((dimension, Part::Metric(metric))) => (Some(dimension), metric.name()),
        Some((dimension, Part::Views)) => (Some(dimension), "views"),
        None => (None, "?"),
    };
    let value = dimension.and_then(|dimension| {
        let label = labels.get(&(dimension, *code)).cloned();
        match *code {
            NO_VALUE => None,
            code => {
                dimension.fixed_name(code).map(str::to_owned).or(label).or_else(|| Some(format!("#{code}")))
            }
        }
    });
    let unnamed = || key.route_id.map_or_else(|| "(all)".to_owned(), |id| format!("#{id:016x}"));
    let route = route.clone().unwrap_or_else(unnamed);
    let dimension = dimension.map_or("?", Dimension::name);
    json!({
        "site": day.name, "time": time, "grain": grain, "dimension": dimension, "value": value, "route": route,
        "count": counted, "stored": stored, "expected": expected,
    })
}

/// The labels of the codes in the differences, as far as the site's page views of that day contain them.
async fn labels(
    store: &dyn Store,
    day: &SiteDay,
    differences: &[Difference],
) -> Result<HashMap<(Dimension, Code), String>, StoreError> {
    /// Attempts per label. A label whose code is taken gets the code of its next attempt; collisions are rare.
    const ATTEMPTS: u8 = 4;
    let mut labels = HashMap::new();
    for dimension in Dimension::LABELLED {
        let concerned = |one: &Difference| {
            one.code != NO_VALUE && from_slot(one.key.slot).is_some_and(|(of, _)| of == dimension)
        };
        if !differences.iter().any(concerned) {
            continue;
        }
        // Reads page views, because the rollups are wrong. Reads rollups only if there are too many page views.
        let mut query = CellQuery::new(day.site, day.day_ms, day.day_ms.saturating_add(DAY_MS));
        (query.metrics, query.exact) = (Metrics::NONE, true);
        let values = match store.breakdown(&query, GroupBy::Rolled(dimension)).await {
            Err(StoreError::TooManyViews { .. }) => {
                query.exact = false;
                store.breakdown(&query, GroupBy::Rolled(dimension)).await?
            }
            values => values?,
        };
        for label in values.rows.into_iter().filter_map(|cell| cell.value) {
            for attempt in (0..ATTEMPTS).rev() {
                labels.insert((dimension, label_code(&label, attempt)), label.clone());
            }
        }
    }
    Ok(labels)
}

async fn rebuild(store: &dyn Store, all: &[SiteDay]) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::watch("this day");
    let mut progress = Progress::new();
    let (mut days, mut views, mut rows) = (0, 0, 0);
    for one in all {
        if interrupt.asked() {
            break;
        }
        let name = day_text(one.day_ms);
        progress.say(|| format!("rebuilding: day {} of {}, {name} of {}", days + 1, all.len(), one.name));
        let rebuilt = store.rebuild_day(one.site, one.day_ms).await?;
        views += rebuilt.views;
        rows += rebuilt.rows;
        days += 1;
    }
    progress.clear();
    let of = if days == all.len() { String::new() } else { format!(" of {}", all.len()) };
    let what = format!("{} from {}", count(rows, "rollup row"), count(views, "page view"));
    print(&match all.len() {
        0 => "there are no page views to make rollups of\n".to_owned(),
        _ => format!("{days}{of} days rebuilt: {what}\n"),
    });
    if days < all.len() {
        eprintln!("the days that were not reached are as they were; the same command does them again");
        return Ok(Exit::Inconclusive.into());
    }
    for site in all.iter().map(|one| one.site).collect::<BTreeSet<SiteId>>() {
        store.free_names(site).await?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::rollup::{RowKey, slot};
    use vitals::metric::Metric;

    fn difference(dimension: Dimension, part: Part, code: Code, route: Option<&str>) -> Difference {
        let key = RowKey { grain: Grain::Day, slot: slot(dimension, part), step: 1, route_id: Some(255) };
        Difference { key, route: route.map(str::to_owned), code, stored: 3, expected: 4 }
    }

    #[test]
    fn a_difference_is_told_in_words() {
        let day = SiteDay { site: SiteId(1), name: "shop".to_owned(), day_ms: DAY_MS };
        let lcp = Part::Metric(Metric::Lcp);
        let labels = HashMap::from([((Dimension::Country, label_code("DE", 0)), "DE".to_owned())]);
        let value = |dimension, code| {
            row(&day, &difference(dimension, lcp, code, Some("/")), &labels)["value"].clone()
        };
        assert_eq!(value(Dimension::Country, label_code("DE", 0)), "DE");
        assert_eq!(value(Dimension::Country, NO_VALUE), Value::Null);
        assert_eq!(value(Dimension::Browser, 7), "#7");
        assert_eq!(value(Dimension::Device, Dimension::Device.fixed_code("phone").unwrap()), "phone");
        let views = row(&day, &difference(Dimension::Device, Part::Views, NO_VALUE, None), &labels);
        assert_eq!(
            (&views["count"], &views["time"], &views["route"]),
            (&"views".into(), &"1970-01-02".into(), &"#00000000000000ff".into())
        );
        let mut of_site = difference(Dimension::Device, Part::Views, NO_VALUE, None);
        of_site.key.route_id = None;
        assert_eq!(row(&day, &of_site, &labels)["route"], "(all)", "the whole site");
        let mut found = Verified { days: 1, left: 0, differences: vec![views] };
        let text = found.to_text(Terminal::PIPE);
        assert!(
            text.contains("(unknown)") && text.contains("1 difference;") && text.contains("rollup rebuild"),
            "{text}"
        );
        assert_eq!(found.exit(), Exit::Fail);
        found.differences.clear();
        assert_eq!(found.exit(), Exit::Pass);
        found.left = 1;
        assert_eq!(found.exit(), Exit::Inconclusive, "what was not compared is not told to agree");
    }
}
