//! Proposes budgets from what a site measures. `check` passes what is proposed, on the data of today: the gate judges the
//! proposal first.

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

/// A budget before it is judged.
struct Proposal {
    budget: Budget,
    /// The measurement, for the comment.
    now: String,
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
    let file: String =
        groups.iter().flat_map(|(_, proposals)| proposals).map(|proposal| proposal.budget.toml()).collect();
    if file.is_empty() {
        return Err(undecided(""));
    }
    let (_, judged): (Json, GateAnswer) =
        client.post_toml(&["sites", &site, "gate"], &[period], file).await?;
    let mut rows = judged.budgets.iter();
    let (mut kept, mut texts) = (0, Vec::new());
    for (title, proposals) in groups {
        let mut text = Vec::new();
        for proposal in proposals {
            let row = rows.next().ok_or_else(|| {
                let hint = "Does it run the same version as this command?";
                Failure::unreachable("the server judged fewer budgets than were sent", hint)
            })?;
            let (is_kept, written) = settled(proposal, row);
            kept += usize::from(is_kept);
            text.push(written);
        }
        if !text.is_empty() {
            texts.push(format!("# {}\n\n{}", plain(title), text.join("\n")));
        }
    }
    if kept == 0 {
        return Err(undecided(" that decide a budget"));
    }
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
        Some(Proposal { budget, now: format!("{now} over {} page views", grouped(measured.n)) })
    });
    proposed.collect()
}

/// A proposal after its verdict: with a limit that passes, or a comment that says how many page views are missing. The
/// interval of the gate is wider than that of reports, because page views of a visitor resemble each other.
fn settled(proposal: Proposal, row: &BudgetAnswer) -> (bool, String) {
    let Proposal { mut budget, now } = proposal;
    if row.verdict != Verdict::Pass {
        let Some(max) = row.interval.and_then(|[_, upper]| rounded_up(budget.metric, upper)) else {
            let needed = row.samples_needed.map_or_else(
                || "more page views are needed".to_owned(),
                |needed| format!("about {} page views are needed", grouped(needed)),
            );
            return (false, format!("# {}: now {now}; {needed} for a budget.\n", budget.metric.name()));
        };
        budget.limit = Limit::Max(max);
    }
    (true, format!("# Now {now}.\n{}", budget.toml()))
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
