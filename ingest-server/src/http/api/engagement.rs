//! Engagement by a metric's values: interactions, engaged visitors, and a mark.

use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::error::ApiError;
use crate::http::question::{Filter, FiltersReport, given, metric};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::proportion::ShareReport;
use crate::questions::Cost;
use crate::report::SampledReport;
use crate::report::{PeriodReport, unit_name};
use actix_web::{HttpRequest, web};
use fieldvitals_store::limits::SAMPLE_VIEWS_MAX;
use fieldvitals_store::{Engaged, EngagementQuery, estimate};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::metric::{Metric, Rating, Value};

/// The limit of the answer, for people who read it.
const NOTE: &str = "Correlation is not cause: fast page views differ from slow ones in device, network, page and visitor \
                    too, and a page view that is left early has fewer chances of an interaction. Only an experiment shows \
                    what speed changes.";

/// Selects the metric.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EngagementParams {
    /// The metric; LCP when absent.
    metric: Option<String>,
}

/// Engagement by buckets of a metric.
#[derive(Debug, Serialize, ToSchema)]
pub struct EngagementReport {
    site: String,
    metric: &'static str,
    /// `ms` or `score`.
    unit: &'static str,
    /// The counted mark.
    mark: Option<String>,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    /// Set if the question read a sample of the page views; all numbers of the answer are of the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampledReport>,
    /// Page views received.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    /// Page views with a value of the metric.
    measured: i64,
    /// Those whose engagement is known: the `n` of all buckets. Other libraries do not report it, and neither do browsers
    /// of visitors who opt out.
    known: i64,
    /// The three ratings: `good`, `needs-improvement`, `poor`.
    ratings: Vec<BucketReport>,
    /// Finer buckets.
    buckets: Vec<BucketReport>,
    /// What the numbers do not say.
    note: &'static str,
}

/// Page views with a value in a range.
#[derive(Debug, Serialize, ToSchema)]
pub struct BucketReport {
    /// Lower end, excluded; the first bucket contains 0.
    from: f64,
    /// Upper end, included; absent in the last bucket.
    to: Option<f64>,
    /// Rating of the values.
    rating: &'static str,
    /// Page views of known engagement.
    n: i64,
    /// Those with an interaction: a key press, a click, an INP or a FID.
    interaction: ShareReport,
    /// Those with an interaction, or in sight for 10 s.
    engaged: ShareReport,
    /// Those with the mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<ShareReport>,
}

/// The share of page views with an interaction, with an engaged visitor, or with a mark, by buckets of a metric, with
/// confidence intervals. `mark` is counted here, and is no filter. Correlation is not cause. Reads retained page views, to
/// the minute; of many, a sample.
#[utoipa::path(get, path = "/api/v1/sites/{site}/engagement", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), EngagementParams, RouteParam, Filter),
    responses(Unchanged, (status = 200, body = EngagementReport), QuestionErrors))]
pub async fn engagement(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<EngagementParams>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let metric: Metric = given(&params.metric).map_or(Ok::<_, ApiError>(Metric::Lcp), metric)?;
    let mut filter = filter.into_inner();
    let mark = filter.take_mark();
    let range = filter.range()?;
    filter.without_metrics("`metric` says which one is meant")?;
    let views = filter.filtered(&site, range)?;
    let ends = ends(metric);
    let mut query = EngagementQuery { views, metric, mark, ends, views_max: SAMPLE_VIEWS_MAX };
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let route = route.asked(store.as_ref(), &site).await?;
        query.views.route.clone_from(&route.name);
        let found = store.engagement(&query).await?;
        let buckets: Vec<BucketReport> =
            (0..found.buckets.len()).map(|place| bucket(&query, place..place + 1, &found.buckets)).collect();
        Ok(EngagementReport {
            site: site.name.clone(),
            metric: metric.name(),
            unit: unit_name(metric),
            route: route.name,
            nearest_routes: route.nearest,
            period: PeriodReport::counted(found.period, range),
            sample: found.sample.map(SampledReport::from),
            views: found.views.count,
            views_estimated: estimate(found.views.weight_milli),
            measured: found.measured,
            known: found.buckets.iter().map(|bucket| bucket.n).sum(),
            ratings: RATINGS.map(|places| bucket(&query, places, &found.buckets)).into(),
            buckets,
            note: NOTE,
            mark: query.mark,
            filters: query.views.filters.into(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Large, question).await
}

/// The buckets of each rating, by the order of [`ends`].
const RATINGS: [std::ops::Range<usize>; 3] = [0..4, 4..6, 6..9];

/// Returns the upper ends of buckets: four up to good, two up to poor, two more up to twice that, and an open last one.
fn ends(metric: Metric) -> Vec<Value> {
    let thresholds = metric.thresholds();
    let (good, poor) = (thresholds.good.micros(), thresholds.needs_improvement.micros());
    let quarters = (1..=4).map(|part| good / 4 * part);
    let others = [good + (poor - good) / 2, poor, poor + poor / 2, poor * 2];
    quarters.chain(others).filter_map(|micros| Value::from_micros(metric, micros)).collect()
}

/// Reports some buckets as one.
fn bucket(query: &EngagementQuery, places: std::ops::Range<usize>, buckets: &[Engaged]) -> BucketReport {
    let metric = query.metric;
    let end = |place: usize| query.ends.get(place).map(|end| end.number(metric));
    let mut sum = Engaged::default();
    for one in buckets.get(places.clone()).unwrap_or_default() {
        sum.n += one.n;
        sum.interacted += one.interacted;
        sum.engaged += one.engaged;
        sum.marked += one.marked;
    }
    let rating = query.ends.get(places.end.saturating_sub(1)).map_or(Rating::Poor, |&end| metric.rate(end));
    BucketReport {
        from: places.start.checked_sub(1).and_then(end).unwrap_or(0.0),
        to: end(places.end.saturating_sub(1)),
        rating: rating.name(),
        n: sum.n,
        interaction: ShareReport::new(sum.interacted, sum.n),
        engaged: ShareReport::new(sum.engaged, sum.n),
        mark: query.mark.as_ref().map(|_| ShareReport::new(sum.marked, sum.n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_whole_buckets_of_every_metric() {
        for metric in Metric::ALL {
            let ends = ends(metric);
            assert_eq!(ends.len() + 1, RATINGS[2].end, "{metric:?}");
            assert!(ends.windows(2).all(|two| two[0] < two[1]), "{metric:?}");
            let thresholds = metric.thresholds();
            assert_eq!(ends[RATINGS[0].end - 1], thresholds.good, "{metric:?}");
            assert_eq!(ends[RATINGS[1].end - 1], thresholds.needs_improvement, "{metric:?}");
        }
    }
}
