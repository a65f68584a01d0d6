//! The site's page views beside Google's record of them in CrUX.

use crate::clock::now_ms;
use crate::closed_days::Reader;
use crate::crux::{CruxPages, CruxProblem, GoogleMetric, GoogleRecord, latest};
use crate::http::answer::ask;
use crate::http::api::Answer;
use crate::http::api::route::RouteParam;
use crate::http::error::ApiError;
use crate::http::question::{given, named, one_of, short};
use crate::http::responses::QuestionErrors;
use crate::http::{State, auth};
use crate::intake::{lookup, origin};
use crate::questions::{Busy, Cost};
use crate::report::{MetricReport, PeriodReport, unit_name};
use actix_web::{HttpRequest, web};
use fieldvitals_store::{CellQuery, Dimension, Filters, GroupBy, Site, Total, ValueCell};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use vitals::metric::{Metric, Metrics};
use vitals::view::{Device, NavigationType};

/// The metrics of CrUX with a distribution.
const METRICS: [Metric; 5] = [Metric::Lcp, Metric::Inp, Metric::Cls, Metric::Fcp, Metric::Ttfb];

/// The pages to compare.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CruxBesideParams {
    /// The origin, such as `https://shop.example`. Needed if the site has several origins, or takes beacons of any origin.
    origin: Option<String>,
    /// `phone`, `tablet` or `desktop`; all when absent.
    device: Option<String>,
}

/// One's own page views beside Google's record of the same pages.
#[derive(Debug, Serialize, ToSchema)]
pub struct CruxBeside {
    site: String,
    /// The origin that Google was asked for.
    origin: String,
    /// The route; `null` for the whole site.
    route: Option<String>,
    /// The URL that Google was asked for; `null` for the whole origin.
    url: Option<String>,
    device: Option<&'static str>,
    /// The own page views: the 28 UTC days up to yesterday.
    own: OwnSide,
    /// Google's record; `null` with a `problem`.
    crux: Option<CruxSide>,
    /// Why there is no record of Google's.
    problem: Option<CruxProblemReport>,
    /// By name: LCP, INP, CLS, FCP and TTFB.
    metrics: BTreeMap<&'static str, MetricBeside>,
    /// Why the numbers differ, as sentences.
    differences: Vec<String>,
}

/// The own page views.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnSide {
    /// The counted period.
    period: PeriodReport,
    /// Page views received.
    views: i64,
}

/// Google's record.
#[derive(Debug, Serialize, ToSchema)]
pub struct CruxSide {
    /// First day, `YYYY-MM-DD`.
    first_day: String,
    /// Last day, `YYYY-MM-DD`.
    last_day: String,
}

/// Why there is no record.
#[derive(Debug, Serialize, ToSchema)]
pub struct CruxProblemReport {
    /// `no_data`, `rate_limited`, `refused` or `unreachable`.
    code: &'static str,
    /// For people.
    message: String,
}

/// A metric on both sides.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricBeside {
    /// `ms` or `score`.
    unit: &'static str,
    /// Absent without values.
    own: Option<DistributionBeside>,
    /// Absent if Google has none.
    crux: Option<DistributionBeside>,
}

/// The 75th percentile and the shares of the ratings.
#[derive(Debug, Serialize, ToSchema)]
pub struct DistributionBeside {
    /// The 75th percentile.
    p75: f64,
    /// Page views with a value; `null` for CrUX, which does not tell.
    n: Option<i64>,
    /// The 90 % confidence interval of the 75th percentile; `null` for CrUX, and with too few page views.
    p75_interval: Option<[f64; 2]>,
    /// Share of good page views, 0 to 1.
    good: f64,
    /// Share of page views between good and poor.
    needs_improvement: f64,
    /// Share of poor page views.
    poor: f64,
}

/// One's own page views beside Google's record in CrUX, of the whole site or of one page. Asks Google with the key of
/// `--crux-key-file`, at most once a day a record. A problem of Google's is in `problem`, beside one's own numbers.
#[utoipa::path(get, path = "/api/v1/sites/{site}/crux", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), RouteParam, CruxBesideParams),
    responses((status = 200, body = CruxBeside), QuestionErrors))]
pub async fn crux(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    route: web::Query<RouteParam>,
    params: web::Query<CruxBesideParams>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let google = state.google_crux.clone().ok_or_else(ApiError::no_crux)?;
    let device = named("device", &params.device, Device::ALL, Device::name)?;
    let origin = origin_of(&params, &site)?;
    let url = route.text().map(|route| url_of(&origin, route)).transpose()?;
    if let Some(text) = route.text() {
        let names = state.store()?.route_names(site.id);
        check_known(text, &state.questions.look(names).await.map_err(|Busy| ApiError::busy())??, &site)?;
    }
    let pages = url.clone().map_or_else(|| CruxPages::Origin(origin.clone()), CruxPages::Url);
    // Before the question, which would occupy a thread meanwhile.
    let record = google.record(&pages, device).await;
    let days = Arc::clone(&state.closed_days);
    let question = move |store: Arc<dyn fieldvitals_store::Store>| async move {
        let route = route.asked(store.as_ref(), &site).await?.name;
        let now_ms = now_ms();
        let period = latest(now_ms);
        let query = CellQuery {
            route: route.clone(),
            filters: Filters { device, ..Filters::NONE },
            metrics: METRICS.into_iter().collect(),
            ..CellQuery::new(site.id, period.start, period.end)
        };
        let version = store.version(site.id).await?;
        let reader = Reader::new(store, days, version, now_ms);
        let Total { period: counted, cell } = reader.total(&query).await?;
        let own = |metric| {
            let report = MetricReport::new(metric, cell.metric(metric), false)?;
            let share = |count: i64| count as f64 / report.n.max(1) as f64;
            Some(DistributionBeside {
                p75: report.p75,
                n: Some(report.n),
                p75_interval: report.p75_interval,
                good: share(report.good),
                needs_improvement: share(report.needs_improvement),
                poor: share(report.poor),
            })
        };
        let of_google = |metric| Some(record.as_ref().ok()?.metrics.get(&metric).copied()?.into());
        let metrics = METRICS.into_iter().map(|metric| {
            let beside = MetricBeside { unit: unit_name(metric), own: own(metric), crux: of_google(metric) };
            (metric.name(), beside)
        });
        let counted = PeriodReport::from(counted);
        let google = record.as_ref().ok().map(Arc::as_ref);
        Ok(CruxBeside {
            site: site.name.clone(),
            metrics: metrics.collect(),
            differences: differences(&reader, &query, &counted, google).await?,
            own: OwnSide { period: counted, views: cell.views },
            crux: google.map(|record| {
                let [first_day, last_day] = record.days.clone();
                CruxSide { first_day, last_day }
            }),
            problem: record.as_ref().err().map(CruxProblemReport::from),
            device: device.map(Device::name),
            origin,
            route,
            url,
        })
    };
    ask(&state, &request, Cost::Usual, question).await
}

impl From<GoogleMetric> for DistributionBeside {
    fn from(GoogleMetric { p75, shares: [good, needs_improvement, poor] }: GoogleMetric) -> Self {
        Self { p75, n: None, p75_interval: None, good, needs_improvement, poor }
    }
}

impl From<&CruxProblem> for CruxProblemReport {
    fn from(problem: &CruxProblem) -> Self {
        Self { code: problem.name(), message: problem.to_string() }
    }
}

/// Returns the origin to ask Google for.
fn origin_of(params: &CruxBesideParams, site: &Site) -> Result<String, ApiError> {
    if let Some(text) = given(&params.origin) {
        let origin = origin::of_url(text).filter(|origin| is_on_the_web(origin)).ok_or_else(|| {
            let shown = short(text);
            ApiError::parameter(format!(
                "`origin` is `{shown}`: expected an origin such as https://shop.example"
            ))
        })?;
        if !origin::allowed(&origin, &site.origins) {
            let message = format!("the site `{}` takes no beacons of {}", site.name, short(&origin));
            return Err(ApiError::parameter(message));
        }
        return Ok(origin);
    }
    let named: Vec<&str> =
        site.origins.iter().map(String::as_str).filter(|origin| is_on_the_web(origin)).collect();
    match named.as_slice() {
        [origin] => Ok((*origin).to_owned()),
        [] => Err(ApiError::parameter(format!(
            "the site `{}` names no origin; add `origin=https://shop.example`",
            site.name
        ))),
        several => Err(ApiError::parameter(format!(
            "the site `{}` has several origins; add `origin=` with {}",
            site.name,
            one_of(several.iter().copied())
        ))),
    }
}

/// Whether an allowed origin is one of the web, and no pattern.
fn is_on_the_web(origin: &str) -> bool {
    (origin.starts_with("https://") || origin.starts_with("http://")) && !origin.contains('*')
}

/// Returns the URL of a path. CrUX knows pages, so a route with placeholders has no record.
fn url_of(origin: &str, route: &str) -> Result<String, ApiError> {
    let is_path = route.starts_with('/') && !route.contains('*') && !route.contains("/:");
    if is_path {
        return Ok(format!("{origin}{route}"));
    }
    Err(ApiError::parameter(format!(
        "CrUX has records of pages, and the route `{}` is no page; ask for the whole site, or for a path without placeholders",
        short(route)
    )))
}

/// Refuses a route that the site has no page views of, so that invented pages do not use up Google's quota.
fn check_known(route: &str, known: &[String], site: &Site) -> Result<(), ApiError> {
    if lookup::names(route, site).iter().any(|name| known.contains(name)) {
        return Ok(());
    }
    let mut message = format!("the site `{}` has no route `{}`", site.name, short(route));
    let nearest = lookup::nearest(route, known);
    if !nearest.is_empty() {
        message.push_str(&format!("; the nearest: {}", one_of(nearest)));
    }
    Err(ApiError::parameter(message))
}

/// Returns why the numbers differ, the most important first.
async fn differences(
    reader: &Reader,
    query: &CellQuery,
    counted: &PeriodReport,
    google: Option<&GoogleRecord>,
) -> Result<Vec<String>, ApiError> {
    let mut found = Vec::new();
    let mut chrome = "CrUX counts Chrome on desktops and Android, of visitors who share statistics with Google; here every \
                      browser counts"
        .to_owned();
    let mut soft = None;
    // Two dimensions would read page views.
    if query.filters.device.is_none() {
        let counted = CellQuery { metrics: Metrics::NONE, ..query.clone() };
        let browsers = reader.breakdown(&counted, GroupBy::Rolled(Dimension::Browser)).await?.rows;
        if let Some(share) = share(&browsers, "Chrome") {
            chrome.push_str(&format!(", and Chrome has {:.0} % of the page views", share * 100.0));
        }
        let types = reader.breakdown(&counted, GroupBy::Rolled(Dimension::NavigationType)).await?.rows;
        soft = share(&types, NavigationType::SoftNavigation.name());
    }
    found.push(chrome);
    if let Some(share) = soft.filter(|share| *share > 0.0) {
        let percent = share * 100.0;
        found.push(format!(
            "soft navigations are page views here ({percent:.0} % of them), and part of the page before in CrUX"
        ));
    }
    if let Some(GoogleRecord { days: [first, last], .. }) = google {
        let own_first = counted.from.get(..10).unwrap_or_default();
        if own_first != first {
            found.push(format!(
                "CrUX counts {first} to {last}, and here the counted page views start on {own_first}"
            ));
        }
    }
    if query.route.is_some() {
        found.push("CrUX has the page of this URL, and here all pages of the route count".to_owned());
    }
    found.push(
        "CrUX leaves out pages that search engines may not index, and combines URLs that differ in their query".to_owned(),
    );
    Ok(found)
}

/// The share of a value among known ones.
fn share(rows: &[ValueCell], value: &str) -> Option<f64> {
    let known = |row: &&ValueCell| row.value.is_some();
    let all: i64 = rows.iter().filter(known).map(|row| row.cell.views).sum();
    let of_value =
        rows.iter().find(|row| row.value.as_deref() == Some(value)).map_or(0, |row| row.cell.views);
    (all > 0).then(|| of_value as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldvitals_store::{RouteGroups, SiteId};

    #[test]
    fn route_without_page_views_is_refused() {
        let site = Site {
            id: SiteId(1),
            name: "shop".to_owned(),
            keys: Vec::new(),
            origins: Vec::new(),
            routes: Vec::new(),
            route_groups: RouteGroups::default(),
            timezone: Site::TIMEZONE_DEFAULT.to_owned(),
            created_ms: 0,
        };
        let known = ["/cart".to_owned(), "/p/:id".to_owned()];
        for route in ["/cart", "/p/12345"] {
            assert!(check_known(route, &known, &site).is_ok(), "{route}");
        }
        let refused = check_known("/crat", &known, &site).unwrap_err().to_string();
        assert!(refused.contains("has no route `/crat`; the nearest: /cart"), "{refused}");
        assert!(check_known("/invented", &known, &site).is_err());
    }

    #[test]
    fn url_is_that_of_a_path_without_placeholders() {
        let origin = "https://shop.example";
        assert_eq!(url_of(origin, "/cart").unwrap(), "https://shop.example/cart");
        for route in ["/p/:id", "/c/*", "cart", "https://shop.example/"] {
            assert!(url_of(origin, route).is_err(), "{route}");
        }
    }
}
