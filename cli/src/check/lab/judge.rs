//! The rule of a lab: the exact binomial test of the median, on each page alone.
//!
//! Runs of one page on one machine vary by the machine, not by visitors. So the percentile of a budget has no meaning here,
//! and the median of the runs is judged: at a level of 5 %, five runs decide if all of them are on one side of the limit.

use super::device::LabDevice;
use fieldvitals_server::gate::routes_of;
use fieldvitals_server::intake::lookup;
use fieldvitals_store::{RouteGroups, Site, SiteId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use url::Url;
use vitals::budget::{Budget, BudgetFile, Severity, verdict};
use vitals::gate::{ALPHA, Looks, Sample, Verdict, judge};
use vitals::metric::{Metric, Unit, Values};
use vitals::view::NavigationType;

/// The percentile that is judged: the median.
const PERCENT: u8 = 50;
/// Fewest runs that can decide at a level of 5 %: all on one side have a probability of 1/32.
pub(super) const RUNS_MIN: u8 = 5;

/// The runs of a page.
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) runs: Vec<Values>,
}

/// A budget that no run can judge, and why.
struct Skipped<'a> {
    budget: &'a Budget,
    why: String,
}

/// Judges the budgets by the runs. Returns the answer in the shape of the API's, with `lab`.
pub(super) fn answer(
    file: &BudgetFile,
    pages: &[Page],
    lab: &Value,
    device: LabDevice,
    period: [String; 2],
) -> Value {
    let (mut rows, mut skipped, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for budget in &file.budgets {
        match limit(budget, device) {
            Err(why) => skipped.push(Skipped { budget, why }),
            Ok(max) => {
                let matched: Vec<&Page> = pages.iter().filter(|page| is_on(budget, &page.url)).collect();
                if matched.is_empty() {
                    let why = format!("no page of this check matches `{}`", budget.route);
                    skipped.push(Skipped { budget, why });
                }
                for page in matched {
                    let (row, verdict) = row(budget, max, page, device);
                    verdicts.push((budget.severity, verdict));
                    rows.push(row);
                }
            }
        }
    }
    let host = |url: &Url| match (url.host_str().unwrap_or_default(), url.port()) {
        (host, None) => host.to_owned(),
        (host, Some(port)) => format!("{host}:{port}"),
    };
    let is_opened = |name: &String| pages.iter().any(|page| host(&page.url) == *name);
    // A budget that cannot be judged is no pass: a file of such budgets alone is inconclusive.
    let not_evaluated: Vec<Value> = skipped
        .iter()
        .map(|Skipped { budget, why }| json!({"line": budget.line, "what": what(budget), "why": why}))
        .chain(
            file.not_evaluated
                .iter()
                .filter(|limit| !limit.host.as_ref().is_some_and(is_opened))
                .map(|limit| json!({"line": limit.line, "what": limit.what, "why": limit.why})),
        )
        .collect();
    let pages: Vec<Value> =
        pages.iter().map(|page| json!({"url": page.url.as_str(), "values": values(page)})).collect();
    let [from, to] = period;
    json!({
        "site": "lab", "release": null, "period": {"from": from, "to": to}, "looks": Looks::One.name(),
        "lab": lab, "verdict": verdict(verdicts.into_iter()).name(), "tool": file.tool, "budgets": rows,
        "not_evaluated": not_evaluated, "pages": pages,
    })
}

/// The limit of a budget that a lab can judge.
fn limit(budget: &Budget, device: LabDevice) -> Result<vitals::metric::Value, String> {
    let filters = &budget.filters;
    let own = device.class().name();
    if matches!(budget.metric, Metric::Inp | Metric::Fid) {
        return Err("not measured in a lab: nobody uses the page".to_owned());
    }
    if let Some(class) = filters.device.filter(|class| *class != device.class()) {
        return Err(format!(
            "a budget of {} page views, and the lab is a {own}; --device chooses",
            class.name()
        ));
    }
    let navigates = filters.navigation_type.is_none_or(|found| found == NavigationType::Navigate);
    if let Some((name, value)) = filters.further().find(|(name, _)| *name != "navigation_type" || !navigates)
    {
        return Err(format!("the lab has no visitors, so none of {} {value}", name.replace('_', " ")));
    }
    budget.limit.max().ok_or_else(|| "an increase compares field data".to_owned())
}

/// Whether a budget is about a page. A `:name` in its pattern stands for any segment, as the routes of the site are not
/// known here.
fn is_on(budget: &Budget, url: &Url) -> bool {
    let named = [&budget.route].into_iter().chain(&budget.except).filter(|route| route.contains(":"));
    let site = Site {
        id: SiteId(0),
        name: "lab".to_owned(),
        keys: Vec::new(),
        origins: Vec::new(),
        routes: named.cloned().collect(),
        route_groups: RouteGroups::default(),
        timezone: Site::TIMEZONE_DEFAULT.to_owned(),
        created_ms: 0,
    };
    let names = lookup::names(url.path(), &site);
    let matches = |pattern: &String| {
        let of = Budget { route: pattern.clone(), except: Vec::new(), ..budget.clone() };
        !routes_of(&of, &names, &site).is_empty()
    };
    matches(&budget.route) && !budget.except.iter().any(matches)
}

fn row(budget: &Budget, max: vitals::metric::Value, page: &Page, device: LabDevice) -> (Value, Verdict) {
    let metric = budget.metric;
    let mut found: Vec<vitals::metric::Value> = page.runs.iter().filter_map(|run| run.get(metric)).collect();
    found.sort_unstable();
    let (n, within) = (found.len(), found.iter().filter(|value| **value <= max).count());
    let sample = Sample {
        n: n as u64,
        within: within as u64,
        percent: PERCENT,
        // Few runs cannot decide by the test itself.
        min_samples: 1,
        design_effect: 1.0,
    };
    let verdict = verdict_of(&sample);
    let at = |rank: u64| {
        let place = usize::try_from(rank).ok()?.checked_sub(1)?;
        Some(found.get(place)?.number(metric))
    };
    let interval = sample.ranks(Looks::One, ALPHA, ALPHA).and_then(|(low, high)| Some([at(low)?, at(high)?]));
    let reason = match verdict {
        Verdict::Pass => format!("the median of the runs is within, beyond chance: {within} of {n} are"),
        Verdict::Fail => {
            format!("the median of the runs exceeds the limit, beyond chance: {} of {n} do", n - within)
        }
        Verdict::Inconclusive if n == 0 => format!("no run measured it{}", why_missing(metric)),
        Verdict::Inconclusive if n < usize::from(RUNS_MIN) => {
            format!("{n} of {} runs measured it, and fewer than {RUNS_MIN} decide nothing", page.runs.len())
        }
        Verdict::Inconclusive => {
            format!("{within} of {n} runs are within: more --runs, or a quieter machine, may tell")
        }
    };
    let unit = match metric.unit() {
        Unit::Milliseconds => "ms",
        Unit::Score => "score",
    };
    let row = json!({
        "lab": true, "line": budget.line, "route": page.url.path(), "metric": metric.name(), "percentile": PERCENT,
        "max": max.number(metric), "unit": unit, "device": device.class().name(), "filters": {},
        "severity": budget.severity.name(), "routes": 1, "n": n, "within": within, "measured": median(&found, metric),
        "interval": interval, "verdict": verdict.name(), "reason": reason, "samples_needed": null,
    });
    (row, verdict)
}

/// Each budget errs in at most 5 % of checks: a correction for many would ask for more runs than anyone waits for.
fn verdict_of(sample: &Sample) -> Verdict {
    judge(&[*sample], Looks::One, ALPHA).first().map_or(Verdict::Inconclusive, |judged| judged.verdict)
}

/// The lower median, so that it is the value of a run.
fn median(sorted: &[vitals::metric::Value], metric: Metric) -> Option<f64> {
    let middle = sorted.len().checked_sub(1)? / 2;
    Some(sorted.get(middle)?.number(metric))
}

fn why_missing(metric: Metric) -> &'static str {
    match metric {
        Metric::Tti => ": the page was never quiet for 5 s; a longer --settle may help",
        Metric::Lcp | Metric::Fcp => ": the page paints nothing",
        _ => "",
    }
}

/// The values of each metric, in the order of the runs; `null` if a run did not measure it.
fn values(page: &Page) -> BTreeMap<&'static str, Vec<Option<f64>>> {
    let measured = |metric: &Metric| page.runs.iter().any(|run| run.get(*metric).is_some());
    let of = |metric: Metric| {
        page.runs.iter().map(|run| run.get(metric).map(|value| value.number(metric))).collect()
    };
    Metric::ALL.into_iter().filter(measured).map(|metric| (metric.name(), of(metric))).collect()
}

/// `LCP of /cart, phone`
fn what(budget: &Budget) -> String {
    let device = budget.filters.device.map(|device| format!(", {}", device.name())).unwrap_or_default();
    let warns = if budget.severity == Severity::Warn { " (warn)" } else { "" };
    format!("{} of {}{device}{warns}", budget.metric.name(), budget.route)
}
