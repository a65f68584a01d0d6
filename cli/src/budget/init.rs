//! Proposes budgets from what a site measures. `check` passes what is proposed, on the data of today: the gate judges the
//! proposal first, and once more if a limit is another one since.

use super::InitArgs;
use crate::client::Client;
use crate::client::answer::gate::{BudgetAnswer, GateAnswer};
use crate::client::answer::summary::SummaryAnswer;
use crate::client::answer::{MetricAnswer, Metrics};
use crate::exit::{Done, Exit, Failure};
use crate::output::plain;
use crate::progress::grouped;
use serde_json::Value as Json;
use vitals::budget::{
    Budget, BudgetFilters, Limit, MIN_SAMPLES_DEFAULT, PERCENTILE_DEFAULT, ROUTE_DEFAULT, Severity,
};
use vitals::gate::Verdict;
use vitals::metric::{Metric, Unit, Value};

/// A budget, and what the gate found.
struct Proposal {
    budget: Budget,
    /// The measurement, for the comment.
    now: String,
    finding: Finding,
}

/// What the gate found about a proposal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// Not judged with this limit.
    Unjudged,
    /// The budget passes.
    Passes,
    /// The budget is not decided: page views that likely decide it, if known.
    Undecided(Option<u64>),
}

/// Asks for the measurements of the site and its routes with most page views, and proposes their budgets.
pub(super) async fn propose(args: &InitArgs) -> Result<Done, Failure> {
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let limit = args.routes.max(1).to_string();
    let period = ("period", Some(args.period.as_str()));
    let query = [period, ("sort", Some("views")), ("limit", Some(limit.as_str()))];
    let (_, summary): (_, SummaryAnswer) = client.get(&["sites", &site, "summary"], &query).await?;
    let mut groups = vec![("All routes", proposals(ROUTE_DEFAULT, &summary.metrics))];
    for page in summary.pages.iter().take(args.routes.into()) {
        groups.push((&page.route, proposals(&page.route, &page.metrics)));
    }
    let undecided = |missing: &str| Failure {
        exit: Exit::Inconclusive,
        message: format!(
            "no metric of the last {} has {MIN_SAMPLES_DEFAULT} page views{missing}",
            args.period
        ),
        hint: "A longer --period has more.".to_owned(),
    };
    let mut open: Vec<&mut Proposal> =
        groups.iter_mut().flat_map(|(_, proposals)| proposals.iter_mut()).collect();
    if open.is_empty() {
        return Err(undecided(""));
    }
    let rows = judged(&client, &site, period, &open).await?;
    for (proposal, row) in open.iter_mut().zip(&rows) {
        proposal.settle(row);
    }
    open.retain(|proposal| !matches!(proposal.finding, Finding::Undecided(_)));
    if open.iter().any(|proposal| proposal.finding == Finding::Unjudged) {
        let rows = judged(&client, &site, period, &open).await?;
        for (proposal, row) in open.iter_mut().zip(&rows) {
            proposal.finding = found(row);
        }
    }
    if open.iter().all(|proposal| proposal.finding != Finding::Passes) {
        return Err(undecided(" that decide a budget"));
    }
    let written = groups.iter().filter(|(_, proposals)| !proposals.is_empty()).map(|(title, proposals)| {
        let text: Vec<String> = proposals.iter().map(Proposal::written).collect();
        format!("# {}\n\n{}", plain(title), text.join("\n"))
    });
    let texts: Vec<String> = written.collect();
    let title = format!(
        "# Budgets that {} keeps, by the last {}: fieldvitals check --period {} passes them today.\n\n",
        plain(&site),
        args.period,
        args.period
    );
    Ok(Done { exit: Exit::Pass, stdout: title + &texts.join("\n"), warning: String::new() })
}

/// The budgets of one route that have enough page views to be judged at all.
fn proposals(route: &str, metrics: &Metrics) -> Vec<Proposal> {
    let proposed = Metric::CORE.into_iter().filter_map(|metric| {
        let measured = metrics.get(metric.name()).filter(|measured| measured.n >= MIN_SAMPLES_DEFAULT)?;
        let budget = Budget {
            route: route.to_owned(),
            except: Vec::new(),
            metric,
            limit: Limit::Max(kept(metric, measured)?),
            percentile: PERCENTILE_DEFAULT,
            filters: BudgetFilters::default(),
            severity: Severity::Error,
            min_samples: MIN_SAMPLES_DEFAULT,
            line: 0,
        };
        let now = crate::output::value(metric, measured.p75, &[]);
        let now = format!("{now} over {} page views", grouped(measured.n));
        Some(Proposal { budget, now, finding: Finding::Unjudged })
    });
    proposed.collect()
}

/// Asks the gate for its verdicts. Returns a row for each proposal.
async fn judged(
    client: &Client,
    site: &str,
    period: (&str, Option<&str>),
    proposals: &[&mut Proposal],
) -> Result<Vec<BudgetAnswer>, Failure> {
    let file: String = proposals.iter().map(|proposal| proposal.budget.toml()).collect();
    let (_, judged): (Json, GateAnswer) = client.post_toml(&["sites", site, "gate"], &[period], file).await?;
    if judged.budgets.len() < proposals.len() {
        let hint = "Does it run the same version as this command?";
        return Err(Failure::unreachable("the server judged fewer budgets than were sent", hint));
    }
    Ok(judged.budgets)
}

fn found(row: &BudgetAnswer) -> Finding {
    if row.verdict == Verdict::Pass { Finding::Passes } else { Finding::Undecided(row.samples_needed) }
}

impl Proposal {
    /// Follows the first verdict: a limit that does not pass becomes the upper end of the interval. The interval of the gate
    /// is wider than that of reports, because page views of a visitor resemble each other.
    fn settle(&mut self, row: &BudgetAnswer) {
        self.finding = found(row);
        if self.finding == Finding::Passes {
            return;
        }
        if let Some(max) = row.interval.and_then(|[_, upper]| rounded_up(self.budget.metric, upper)) {
            self.budget.limit = Limit::Max(max);
            self.finding = Finding::Unjudged;
        }
    }

    /// The budget, or a comment that says how many page views are missing.
    fn written(&self) -> String {
        let Self { budget, now, finding } = self;
        let needed = match finding {
            Finding::Unjudged | Finding::Passes => return format!("# Now {now}.\n{}", budget.toml()),
            Finding::Undecided(None) => "more page views are needed".to_owned(),
            Finding::Undecided(Some(needed)) => format!("about {} page views are needed", grouped(*needed)),
        };
        format!("# {}: now {now}; {needed} for a budget.\n", budget.metric.name())
    }
}

/// The limit that a metric keeps: its good threshold, or the upper end of its interval, rounded up.
fn kept(metric: Metric, measured: &MetricAnswer) -> Option<Value> {
    let upper = measured.p75_interval.map_or(measured.p75, |[_, upper]| upper);
    let good = metric.thresholds().good;
    if upper <= good.number(metric) { Some(good) } else { rounded_up(metric, upper) }
}

fn rounded_up(metric: Metric, number: f64) -> Option<Value> {
    let step = match metric.unit() {
        Unit::Milliseconds => 50.0,
        Unit::Score => 0.01,
    };
    // Without the error of binary fractions: 0.15, not 0.15000000000000002.
    let number = ((number / step).ceil() * step * 1_000.0).round() / 1_000.0;
    Value::new(metric, number.min(f64::from(metric.value_max()))).ok()
}
