//! Slow page views: those near a percentile of a metric, or the slowest ones, each with everything that is known of it.

pub mod view;
pub mod waterfall;

use crate::closed_days::Reader;
use crate::http::answer::{Basis, ask_once};
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::error::ApiError;
use crate::http::question::{Filter, FiltersReport, given, metric, short};
use crate::http::responses::{QuestionErrors, Unchanged};
use crate::http::{State, auth};
use crate::questions::Cost;
use crate::report::SampledReport;
use crate::report::{PeriodReport, unit_name};
use actix_web::{HttpRequest, web};
use fieldvitals_store::context::samples::WORST_PERCENT;
use fieldvitals_store::limits::{SAMPLE_VIEWS_MAX, SAMPLES_MAX};
use fieldvitals_store::{Around, SampleQuery, estimate};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::metric::Metric;

/// Default number of page views in an answer.
const SAMPLE_ROWS: usize = 10;

/// Selects slow page views.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SamplesParams {
    /// The metric; LCP when absent.
    metric: Option<String>,
    /// A percentile of the metric, 1 to 99, around which page views are shown; or `worst`, for the slowest ones up to the
    /// 99th percentile. 75 when absent.
    around: Option<String>,
    /// Page views in the answer, 1 to 50; 10 when absent.
    limit: Option<String>,
}

impl SamplesParams {
    fn metric(&self) -> Result<Metric, ApiError> {
        given(&self.metric).map_or(Ok(Metric::Lcp), metric)
    }

    fn around(&self) -> Result<Around, ApiError> {
        match given(&self.around) {
            None => Ok(Around::Percentile(75)),
            Some("worst") => Ok(Around::Worst),
            Some(text) => {
                let percent = text.parse().ok().filter(|percent| (1..=99).contains(percent));
                percent.map(Around::Percentile).ok_or_else(|| {
                    ApiError::parameter(format!("`around` is `{}`: expected 1 to 99 or worst", short(text)))
                })
            }
        }
    }

    fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = given(&self.limit) else { return Ok(SAMPLE_ROWS) };
        let limit = text.parse().ok().filter(|limit| (1..=SAMPLES_MAX).contains(limit));
        limit.ok_or_else(|| {
            ApiError::parameter(format!("`limit` is `{}`: expected 1 to {SAMPLES_MAX}", short(text)))
        })
    }
}

/// Page views by their values of a metric.
#[derive(Debug, Serialize, ToSchema)]
pub struct SamplesReport {
    site: String,
    metric: &'static str,
    /// `ms` or `score`.
    unit: &'static str,
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
    /// As asked: a percentile, or `worst`.
    around: String,
    /// How the page views were chosen.
    rule: String,
    /// Page views received.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    /// Page views with a value of the metric, among which those below were chosen.
    measured: i64,
    /// The exact percentile of the metric; that of `worst` is the 99th. Absent without values.
    percentile: Option<f64>,
    /// The page views, the slowest first.
    samples: Vec<view::ViewReport>,
}

/// Page views near a percentile of a metric, or the slowest ones: each with its attributes, its values, their parts as a
/// waterfall, and what explains them. Nothing identifies a visitor: starts are rounded to minutes, and ids, URLs and
/// queries are left out. Reads retained page views, to the minute; of many, a sample.
#[utoipa::path(get, path = "/api/v1/sites/{site}/samples", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), SamplesParams, RouteParam, Filter),
    responses(Unchanged, (status = 200, body = SamplesReport), QuestionErrors))]
pub async fn samples(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<SamplesParams>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let (metric, around, limit) = (params.metric()?, params.around()?, params.limit()?);
    let range = filter.range()?;
    filter.without_metrics("`metric` says which one is meant")?;
    let views = filter.filtered(&site, range)?;
    let mut query = SampleQuery { views, metric, around, limit, views_max: SAMPLE_VIEWS_MAX };
    let owned = Arc::clone(&site);
    let question = move |store: Reader| async move {
        let site = owned;
        let route = route.asked(store.as_ref(), &site).await?;
        query.views.route.clone_from(&route.name);
        let found = store.samples(&query).await?;
        Ok(SamplesReport {
            site: site.name.clone(),
            metric: metric.name(),
            unit: unit_name(metric),
            route: route.name,
            nearest_routes: route.nearest,
            period: PeriodReport::counted(found.period, range),
            filters: query.views.filters.into(),
            sample: found.sample.map(SampledReport::from),
            around: match around {
                Around::Percentile(percent) => percent.to_string(),
                Around::Worst => "worst".to_owned(),
            },
            rule: rule(around, limit),
            views: found.views.count,
            views_estimated: estimate(found.views.weight_milli),
            measured: found.measured,
            percentile: found.percentile.map(|value| value.number(metric)),
            samples: found.found.iter().filter_map(|view| view::report(metric, &view.update)).collect(),
        })
    };
    ask_once(&state, &request, (&site, range, Basis::BeforeEnd), Cost::Large, question).await
}

/// Describes the choice of page views.
fn rule(around: Around, limit: usize) -> String {
    match (around, limit) {
        (Around::Percentile(percent), 1) => format!("the page view at percentile {percent}"),
        (Around::Percentile(percent), _) => format!(
            "the {limit} page views whose values are next to percentile {percent}, half of them above it"
        ),
        (Around::Worst, _) => {
            let slowest =
                if limit == 1 { "slowest page view" } else { &format!("{limit} slowest page views") };
            format!(
                "the {slowest} up to percentile {WORST_PERCENT}; larger values are mostly of suspended devices and broken \
                 clocks"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_says_how_page_views_were_chosen() {
        assert_eq!(rule(Around::Percentile(91), 1), "the page view at percentile 91");
        assert!(
            rule(Around::Percentile(75), 4)
                .starts_with("the 4 page views whose values are next to percentile 75,")
        );
        assert!(rule(Around::Worst, 1).starts_with("the slowest page view up to percentile 99;"));
        assert!(rule(Around::Worst, 3).starts_with("the 3 slowest page views up to percentile 99;"));
    }
}
