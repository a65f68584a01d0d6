//! The CrUX API over the site's own page views: `records:queryRecord` and `records:queryHistoryRecord`.
//!
//! Clients of Google's API read them after a change of the address alone. `query` parses requests, `site` finds the site of
//! an origin, `refusal` has the errors; [`crate::crux`] computes the answers.

mod query;
mod refusal;
mod site;

pub use query::CruxQuery;
pub use refusal::{CruxDetail, CruxError, CruxStatus};

use crate::clock::now_ms;
use crate::closed_days::{ClosedDays, Reader};
use crate::crux::{
    Cells, FormFactor, HistoryAnswer, NormalizedUrl, RecordAnswer, RecordKey, Weeks, column, latest,
    shared_values, weeks,
};
use crate::http::answer::ask;
use crate::http::api::Answer;
use crate::http::auth;
use crate::http::body::Body;
use crate::http::error::ApiError;
use crate::http::nearest::nearest;
use crate::http::question::{one_of, short};
use crate::http::{State, refuse};
use crate::intake::lookup;
use crate::intake::page_url::PageUrl;
use crate::limits;
use crate::questions::Cost;
use actix_web::http::{Method, header};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse, Route, web};
use fieldvitals_store::context::lcp_elements::LcpElements;
use fieldvitals_store::{
    CellQuery, Dimension, Filters, Lines, ScanQuery, SeriesQuery, Site, SiteId, StepCells, Store, Total,
    ValueCell,
};
use query::{Pages, Question};
use site::Wanted;
use std::sync::Arc;
use url::Url;
use utoipa::IntoParams;
use vitals::metric::Metrics;

/// The query parameters of Google's clients, and `site`.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CruxParams {
    /// An API token, or a read-only link to one site (the part of its address after `#link=`). The headers
    /// `X-Goog-Api-Key` and `Authorization: Bearer` take it, too.
    key: Option<String>,
    /// The name of the site; needed if several sites have the origin, or if the site takes beacons of any origin.
    site: Option<String>,
}

/// Further query parameters of Google's clients, which change nothing here.
const IGNORED: [&str; 3] = ["alt", "prettyPrint", "quotaUser"];

/// The paths.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    // A page of any origin may read an answer, because only a key opens it, and browsers add no key.
    let post = |path: &str, query: Route| {
        web::resource(path)
            .wrap(DefaultHeaders::new().add((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")))
            .default_service(web::to(|request| refuse(request, "POST, OPTIONS")))
            .route(query)
            .route(web::method(Method::OPTIONS).to(preflight))
    };
    config
        .service(post("/v1/records:queryRecord", web::post().to(query_record)))
        .service(post("/v1/records:queryHistoryRecord", web::post().to(query_history_record)));
}

/// Seconds for which browsers keep the answer of a preflight: the most that Chromium does.
const PREFLIGHT_KEPT_S: &str = "7200";

/// Allows the headers of a key and of JSON.
async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, x-goog-api-key"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_KEPT_S))
        .finish()
}

/// A body of a request.
type CruxBody = Body<{ limits::CRUX_BODY_BYTES_MAX }>;

/// The 28 days up to yesterday, in the shape of the CrUX API. `form_factors` and `navigation_types` are absent with a
/// `formFactor`; `navigate` includes pages from the HTTP cache. Metrics without values are absent, as is
/// `round_trip_time`.
#[utoipa::path(post, path = "/v1/records:queryRecord", tag = "read", security(("key" = [])),
    params(CruxParams), request_body(content = CruxQuery),
    responses((status = 200, body = RecordAnswer), (status = 400, description = "`INVALID_ARGUMENT`", body = CruxError), (status = 403, description = "No key: `PERMISSION_DENIED`", body = CruxError), (status = 404, description = "No data: `NOT_FOUND`; `details` says why", body = CruxError), (status = 503, description = "`UNAVAILABLE`; try again", body = CruxError), (status = 504, description = "`DEADLINE_EXCEEDED`", body = CruxError)))]
pub async fn query_record(state: web::Data<State>, request: HttpRequest, body: CruxBody) -> HttpResponse {
    record(&state, &request, body).await.unwrap_or_else(|error| refusal::response(&error))
}

/// Weekly periods of 28 days, in the shape of the CrUX API. The last period ends with the last Saturday.
#[utoipa::path(post, path = "/v1/records:queryHistoryRecord", tag = "read", security(("key" = [])),
    params(CruxParams), request_body(content = CruxQuery),
    responses((status = 200, body = HistoryAnswer), (status = 400, description = "`INVALID_ARGUMENT`", body = CruxError), (status = 403, description = "No key: `PERMISSION_DENIED`", body = CruxError), (status = 404, description = "No data: `NOT_FOUND`; `details` says why", body = CruxError), (status = 503, description = "`UNAVAILABLE`; try again", body = CruxError), (status = 504, description = "`DEADLINE_EXCEEDED`", body = CruxError)))]
pub async fn query_history_record(
    state: web::Data<State>,
    request: HttpRequest,
    body: CruxBody,
) -> HttpResponse {
    history(&state, &request, body).await.unwrap_or_else(|error| refusal::response(&error))
}

async fn record(state: &State, request: &HttpRequest, body: CruxBody) -> Answer {
    let access = CruxParams::of(request)?.access(state).await?;
    let question = query::record(&body.0.map_err(ApiError::body)?)?;
    let site = access.site(state, question.pages.origin()).await?;
    let days = Arc::clone(&state.closed_days);
    let ask_store = move |store: Arc<dyn Store>| async move {
        let of = Selected::find(store.as_ref(), &site, &question).await?;
        let cells = cells(&store, days, &of.query(&site, &question), &question).await?;
        let nothing = of.nothing(&site, &question, "in the 28 days up to yesterday");
        RecordAnswer::new(of.key, of.url, &question.metrics, cells).ok_or(nothing)
    };
    ask(state, request, Cost::Usual, ask_store).await
}

async fn history(state: &State, request: &HttpRequest, body: CruxBody) -> Answer {
    let access = CruxParams::of(request)?.access(state).await?;
    let (question, periods) = query::history(&body.0.map_err(ApiError::body)?)?;
    let site = access.site(state, question.pages.origin()).await?;
    let ask_store = move |store: Arc<dyn Store>| async move {
        let of = Selected::find(store.as_ref(), &site, &question).await?;
        let weeks = by_week(store.as_ref(), &of.query(&site, &question), &question, periods).await?;
        let nothing = of.nothing(&site, &question, "in these weeks");
        HistoryAnswer::new(of.key, of.url, &question.metrics, &weeks).ok_or(nothing)
    };
    ask(state, request, Cost::Usual, ask_store).await
}

impl CruxParams {
    /// Reads the query parameters; the key also from a header.
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let mut params = Self::default();
        for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            match name.as_ref() {
                "key" => params.key = Some(value.into_owned()),
                "site" => params.site = Some(value.into_owned()),
                name if name.is_empty() || IGNORED.contains(&name) => {}
                name => {
                    let (shown, known) = (short(name), ["key", "site"]);
                    let advice = match nearest(&shown, known) {
                        Some(near) => format!("did you mean '{near}'?"),
                        None => format!("expected {}", one_of(known)),
                    };
                    return Err(ApiError::parameter(format!("unknown query parameter '{shown}': {advice}")));
                }
            }
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let bearer =
            || header("authorization").and_then(|value| value.split_once(' ')).map(|(_, secret)| secret);
        params.key = params.key.or_else(|| header("x-goog-api-key").or_else(bearer).map(str::to_owned));
        Ok(params)
    }

    async fn access(self, state: &State) -> Result<Granted, ApiError> {
        let secret = self.key.as_deref().map(str::trim).filter(|key| !key.is_empty());
        let only = auth::by_secret(state, secret.ok_or_else(ApiError::no_key)?).await?.only();
        Ok(Granted { only, name: self.site.filter(|site| !site.is_empty()) })
    }
}

/// The sites that a key reads, and the name of the requested one.
struct Granted {
    only: Option<Vec<SiteId>>,
    name: Option<String>,
}

impl Granted {
    async fn site(&self, state: &State, origin: &str) -> Result<Arc<Site>, ApiError> {
        let wanted = Wanted { origin, name: self.name.as_deref(), only: self.only.as_deref() };
        match state.directory.find(|directory| wanted.find(directory.sites()).ok()).await {
            Some(site) => Ok(site),
            None => wanted.find(state.directory.current().sites()),
        }
    }
}

/// The page views of a record.
struct Selected {
    route: Option<String>,
    key: RecordKey,
    url: Option<NormalizedUrl>,
}

impl Selected {
    /// Finds the route of a URL.
    async fn find(store: &dyn Store, site: &Site, question: &Question) -> Result<Self, ApiError> {
        let form_factor = question.form_factor;
        let (asked, origin) = match &question.pages {
            Pages::Origin(origin) => {
                let key = RecordKey { form_factor, origin: Some(origin.clone()), url: None };
                return Ok(Self { route: None, key, url: None });
            }
            Pages::Url { url, origin } => (url, origin),
        };
        let known = store.route_names(site.id).await?;
        let mut names = lookup::names(asked, site).into_iter();
        let Some(route) = names.find(|name| known.contains(name)) else {
            let nearest = lookup::nearest(asked, &known);
            let nearest =
                if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) };
            return Err(ApiError::no_record(format!(
                "the site `{}` has no route of this URL{nearest}",
                site.name
            )));
        };
        let url = normalized(origin, &route, asked);
        let key = RecordKey { form_factor, origin: None, url: Some(url.clone()) };
        let url = NormalizedUrl { original_url: asked.clone(), normalized_url: url };
        Ok(Self { route: Some(route), key, url: Some(url) })
    }

    /// The query for the page views; the caller sets the period.
    fn query(&self, site: &Site, question: &Question) -> CellQuery {
        let filters = Filters { device: question.form_factor.map(FormFactor::device), ..Filters::NONE };
        let metrics = question.metrics.distributions();
        CellQuery { route: self.route.clone(), filters, metrics, ..CellQuery::new(site.id, 0, 0) }
    }

    /// The error if no requested metric has values.
    fn nothing(&self, site: &Site, question: &Question, when: &str) -> ApiError {
        let route = self.route.as_ref().map(|route| format!(" of {route}")).unwrap_or_default();
        let device = question.form_factor.map(|factor| format!(" on a {}", factor.device().name()));
        let device = device.unwrap_or_default();
        ApiError::no_record(format!(
            "the site `{}` has no page views{route}{device} with these metrics {when}",
            site.name
        ))
    }
}

/// The origin with a route. A route that is no path has the URL without query and fragment.
fn normalized(origin: &str, route: &str, asked: &str) -> String {
    let of_route = Url::parse(origin).ok().filter(|_| route.starts_with('/')).map(|mut url| {
        url.set_path(route);
        String::from(url)
    });
    let of_page = || PageUrl::read(asked).map(|url| url.text().into_owned());
    of_route.or_else(of_page).unwrap_or_else(|| origin.to_owned())
}

/// The dimensions with shares. With a form factor they would read page views, because rollups have one dimension.
const SHARED: [Dimension; 2] = [Dimension::Device, Dimension::NavigationType];

fn has_shares(question: &Question, dimension: Dimension) -> bool {
    question.form_factor.is_none() && question.metrics.has_shares(dimension)
}

/// Counts the page views of a record.
async fn cells(
    store: &Arc<dyn Store>,
    days: Arc<ClosedDays>,
    query: &CellQuery,
    question: &Question,
) -> Result<Cells, ApiError> {
    let now_ms = now_ms();
    let period = latest(now_ms);
    let query = CellQuery { from_ms: period.start, to_ms: period.end, ..query.clone() };
    let reader = Reader::new(Arc::clone(store), days, store.version(query.site).await?, now_ms);
    let Total { period, cell } = reader.total(&query).await?;
    let mut cells = Cells { period, total: cell, ..Cells::default() };
    let counted = CellQuery { metrics: Metrics::NONE, ..query.clone() };
    for (dimension, rows) in SHARED.into_iter().zip([&mut cells.devices, &mut cells.navigation_types]) {
        if has_shares(question, dimension) {
            *rows = reader.breakdown(&counted, column(dimension)).await?.rows;
        }
    }
    if question.metrics.has_elements() {
        cells.elements = elements(store.as_ref(), query).await?;
    }
    Ok(cells)
}

/// Reads the LCP elements of page views, or of a sample; none if they do not cover the period.
async fn elements(store: &dyn Store, views: CellQuery) -> Result<LcpElements, ApiError> {
    let from_ms = views.from_ms;
    let mut elements = LcpElements::default();
    let query = ScanQuery { views, views_max: Some(limits::CRUX_VIEWS_MAX) };
    let scanned = store.scan(&query, &mut elements).await?;
    let is_cut = scanned.period.start > from_ms || scanned.sample.is_some_and(|sample| sample.is_cut);
    Ok(if is_cut { LcpElements::default() } else { elements })
}

/// Counts the page views of a history by week.
async fn by_week(
    store: &dyn Store,
    query: &CellQuery,
    question: &Question,
    periods: usize,
) -> Result<Weeks, ApiError> {
    let bounds = weeks(now_ms(), periods);
    let kept_from_ms = store.retention_edges().await?.days_from_ms;
    let lost = bounds.partition_point(|bound| *bound < kept_from_ms);
    let kept = bounds.get(lost..).unwrap_or_default();
    let mut cells: Vec<Option<Cells>> = (0..lost.min(bounds.len() - 1)).map(|_| None).collect();
    if kept.len() < 2 {
        return Ok(Weeks { bounds, cells });
    }
    let series = |dimension: Option<Dimension>, metrics| {
        let lines = dimension.map(|dimension| Lines {
            by: column(dimension),
            values: shared_values(dimension).into_iter().map(|(_, value)| Some(value.to_owned())).collect(),
        });
        SeriesQuery { lines, ..SeriesQuery::new(CellQuery { metrics, ..query.clone() }, kept.to_vec()) }
    };
    let totals = store.series(&series(None, query.metrics)).await?;
    let mut shares: [Vec<StepCells>; 2] = Default::default();
    for (dimension, steps) in SHARED.into_iter().zip(&mut shares) {
        if has_shares(question, dimension) {
            *steps = store.series(&series(Some(dimension), Metrics::NONE)).await?;
        }
    }
    for (week, step) in totals.into_iter().enumerate() {
        let [devices, navigation_types] = [0, 1].map(|place| rows(SHARED[place], shares[place].get(week)));
        cells.push(Some(Cells {
            period: step.period,
            total: step.cells.into_iter().next().unwrap_or_default(),
            devices,
            navigation_types,
            elements: LcpElements::default(),
        }));
    }
    Ok(Weeks { bounds, cells })
}

/// The page views of a week by value; empty if not counted.
fn rows(dimension: Dimension, step: Option<&StepCells>) -> Vec<ValueCell> {
    let cells = step.map(|step| step.cells.as_slice()).unwrap_or_default();
    let values = shared_values(dimension).into_iter().zip(cells);
    values.map(|((_, value), cell)| ValueCell { value: Some(value.to_owned()), cell: cell.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_url_is_the_origin_with_the_route() {
        for (route, expected) in [
            ("/", "https://shop.example/"),
            ("/p/:id", "https://shop.example/p/:id"),
            ("/docs/*", "https://shop.example/docs/*"),
            ("/größe", "https://shop.example/gr%C3%B6%C3%9Fe"),
            ("/a?b#c", "https://shop.example/a%3Fb%23c"),
            ("checkout", "https://shop.example/pay"),
        ] {
            assert_eq!(normalized("https://shop.example", route, "https://shop.example/pay?x#y"), expected);
        }
    }
}
