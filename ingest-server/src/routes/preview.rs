//! What route rules would name: the page views of the last 30 days, by the rule that each would follow.

use super::period;
use crate::intake::page_url::PageUrl;
use crate::intake::{route, site_route};
use crate::report::{PeriodReport, SampledReport};
use fieldvitals_store::{Site, Store, StoreError};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use utoipa::ToSchema;

/// Pages of a rule that are named.
const EXAMPLES_MAX: usize = 5;

/// What route rules would name.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewReport {
    /// The period of the page views.
    period: PeriodReport,
    /// Page views read.
    views: u64,
    /// The sample that was read; absent if all page views were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<SampledReport>,
    /// Routes that these page views have.
    routes_now: usize,
    /// Routes that they would have.
    routes_then: usize,
    /// The rules in their order, in stored form.
    rules: Vec<RuleReport>,
}

/// What a rule would name.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleReport {
    /// The rule.
    pattern: String,
    /// Pages that it would join: paths with ids replaced.
    pages: usize,
    /// Their page views.
    views: u64,
    /// Page views of matching paths that keep their route, because their page names it.
    named_views: u64,
    /// Their share of the page views read, 0 to 1.
    share: f64,
    /// The largest of the pages.
    examples: Vec<String>,
    /// An earlier rule that takes pages of this one; absent if the rule has pages, or matches none.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadowed_by: Option<String>,
}

/// Counts what the rules of `site` would name. `rules` replaces those that the site has.
///
/// # Errors
/// Those of the store.
pub async fn preview(
    store: &dyn Store,
    site: &Site,
    rules: Vec<String>,
    now_ms: i64,
) -> Result<PreviewReport, StoreError> {
    let counts = store.urls(site.id, period(now_ms)).await?;
    let then = Site { routes: rules, ..site.clone() };
    let mut pages: Vec<HashMap<String, u64>> = then.routes.iter().map(|_| HashMap::new()).collect();
    let mut named = vec![0_u64; then.routes.len()];
    let mut shadows: Vec<Option<usize>> = vec![None; then.routes.len()];
    let (mut routes_now, mut routes_then) = (HashSet::new(), HashSet::new());
    let mut views = 0;
    for row in &counts.rows {
        views += row.views;
        // A route that only a rule of the present named follows from the URL again.
        let next = site_route::moved(&row.url, &row.route, site, &then).unwrap_or_else(|| row.route.clone());
        if let Some(url) = PageUrl::read(&row.url) {
            let mut matching =
                (0..then.routes.len()).filter(|&place| route::follows(&url, &then.routes[place]));
            if let Some(first) = matching.next() {
                if next == then.routes[first] {
                    *pages[first].entry(route::of_path(&url)).or_default() += row.views;
                } else {
                    named[first] += row.views;
                }
                for later in matching {
                    shadows[later].get_or_insert(first);
                }
            }
        }
        routes_now.insert(row.route.as_str());
        routes_then.insert(next);
    }
    let rules = then.routes.iter().zip(pages).zip(named).zip(shadows).map(
        |(((pattern, pages), named_views), shadow)| {
            let mut largest: Vec<(&String, &u64)> = pages.iter().collect();
            largest.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
            let of_rule: u64 = pages.values().sum();
            RuleReport {
                pattern: pattern.clone(),
                pages: pages.len(),
                views: of_rule,
                named_views,
                share: if views == 0 { 0.0 } else { of_rule as f64 / views as f64 },
                examples: largest.iter().take(EXAMPLES_MAX).map(|(page, _)| (*page).clone()).collect(),
                shadowed_by: shadow
                    .filter(|_| pages.is_empty())
                    .and_then(|place| then.routes.get(place).cloned()),
            }
        },
    );
    Ok(PreviewReport {
        rules: rules.collect(),
        sampled: counts.scanned.sample.map(Into::into),
        period: counts.scanned.period.into(),
        views,
        routes_now: routes_now.len(),
        routes_then: routes_then.len(),
    })
}
