//! Proposes budgets from what a site measures.

use super::InitArgs;
use crate::client::Client;
use crate::client::answer::summary::SummaryAnswer;
use crate::client::answer::{MetricAnswer, Metrics};
use crate::exit::{Done, Exit, Failure};
use crate::output::plain;
use crate::progress::grouped;
use vitals::budget::{
    Budget, BudgetFilters, Limit, MIN_SAMPLES_DEFAULT, PERCENTILE_DEFAULT, ROUTE_DEFAULT, Severity,
};
use vitals::metric::{Metric, Unit, Value};

/// Asks for the measurements of the site and its routes with most page views, and proposes their budgets.
pub(super) async fn propose(args: &InitArgs) -> Result<Done, Failure> {
    let client = Client::new(&args.server)?;
    let site = client.site(args.server.site.as_deref()).await?;
    let limit = args.routes.max(1).to_string();
    let query =
        [("period", Some(args.period.as_str())), ("sort", Some("views")), ("limit", Some(limit.as_str()))];
    let (_, summary): (_, SummaryAnswer) = client.get(&["sites", &site, "summary"], &query).await?;
    let mut groups = vec![group(ROUTE_DEFAULT, "All routes", &summary.metrics)];
    for page in summary.pages.iter().take(args.routes.into()) {
        groups.push(group(&page.route, &page.route, &page.metrics));
    }
    let groups: Vec<String> = groups.into_iter().flatten().collect();
    if groups.is_empty() {
        return Err(Failure {
            exit: Exit::Inconclusive,
            message: format!("no metric of the last {} has {MIN_SAMPLES_DEFAULT} page views", args.period),
            hint: "A longer --period has more.".to_owned(),
        });
    }
    let title = format!("# Budgets that {} keeps, by the last {}.\n\n", plain(&site), args.period);
    Ok(Done { exit: Exit::Pass, stdout: title + &groups.join("\n"), warning: String::new() })
}

/// The budgets of one route; `None` without enough page views.
fn group(route: &str, title: &str, metrics: &Metrics) -> Option<String> {
    let budgets: Vec<String> = Metric::CORE
        .into_iter()
        .filter_map(|metric| {
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
            Some(format!("# Now {now} over {} page views.\n{}", grouped(measured.n), budget.toml()))
        })
        .collect();
    (!budgets.is_empty()).then(|| format!("# {}\n\n{}", plain(title), budgets.join("\n")))
}

/// The limit that a metric keeps: its good threshold, or the upper end of its interval, rounded up.
fn kept(metric: Metric, measured: &MetricAnswer) -> Option<Value> {
    let upper = measured.p75_interval.map_or(measured.p75, |[_, upper]| upper);
    let good = metric.thresholds().good;
    if upper <= good.number(metric) {
        return Some(good);
    }
    let step = match metric.unit() {
        Unit::Milliseconds => 50.0,
        Unit::Score => 0.01,
    };
    // Without the error of binary fractions: 0.15, not 0.15000000000000002.
    let number = ((upper / step).ceil() * step * 1_000.0).round() / 1_000.0;
    Value::new(metric, number.min(f64::from(metric.value_max()))).ok()
}
