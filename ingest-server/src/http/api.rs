//! The read API: bearer token in, JSON out.

use crate::gate::{self, GateReport};
use crate::http::auth;
use crate::http::body::ApiBody;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{State, assets, now_ms};
use crate::report::{
    self, Cursor, MetricReport, Order, PeriodReport, Range, Ranking, Sort, time_text, unit_name,
};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use fieldvitals_store::{Cell, CellQuery, Scope, Site};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use vitals::limits;
use vitals::metric::Metric;
use vitals::view::Device;

/// What an API handler answers.
pub type Answer = Result<HttpResponse, ApiError>;

fn json(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// `200` once the server takes beacons; `503` when it cannot keep them.
#[utoipa::path(get, path = "/healthz", tag = "read",
    responses((status = 200, description = "Beacons are taken"), (status = 503, description = "Beacons cannot be kept")))]
pub async fn healthz(state: web::Data<State>) -> HttpResponse {
    if state.spool.is_failed() {
        HttpResponse::ServiceUnavailable().body("the spool cannot be written; see the log\n")
    } else {
        HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
    }
}

/// The server's own state.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusReport {
    /// The server's version.
    version: &'static str,
    /// The first and last wire format version that it takes.
    wire_versions: [u32; 2],
    /// `wasm`, or `raw-queue` where the server was built without the module.
    collector: &'static str,
    /// Beacons that reached this server since it started; the sum of `outcomes`.
    received: u64,
    /// What became of them: `accepted`, `shed`, `filtered(…)`, `invalid(…)`.
    outcomes: BTreeMap<String, u64>,
    /// Accepted beacons, those of earlier starts included: where they are now.
    spool: SpoolReport,
}

/// Where accepted beacons are.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpoolReport {
    /// Accepted since this server started, or found in the spool then.
    appended: u64,
    /// In the store.
    loaded: u64,
    /// The store knew better.
    superseded: u64,
    /// Their site was deleted.
    discarded: u64,
    /// Waiting.
    waiting: u64,
    /// Bytes waiting.
    waiting_bytes: u64,
}

/// What the server itself is doing.
#[utoipa::path(get, path = "/api/v1/status", tag = "read", security(("token" = [])),
    responses((status = 200, body = StatusReport), (status = 401, body = ErrorBody)))]
pub async fn status(state: web::Data<State>, request: HttpRequest) -> Answer {
    auth::require(&state, &request, Scope::Read).await?;
    let spool = state.spool.stats();
    Ok(json(StatusReport {
        version: env!("CARGO_PKG_VERSION"),
        wire_versions: [*vitals::beacon::VERSIONS.start(), *vitals::beacon::VERSIONS.end()],
        collector: if assets::has_module() { "wasm" } else { "raw-queue" },
        received: state.outcomes.received(),
        outcomes: state.outcomes.counts().into_iter().collect(),
        spool: SpoolReport {
            appended: spool.appended,
            loaded: spool.loaded,
            superseded: spool.superseded,
            discarded: spool.discarded,
            waiting: spool.waiting,
            waiting_bytes: spool.bytes,
        },
    }))
}

/// A site as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct SiteReport {
    id: i64,
    name: String,
    keys: Vec<KeyReport>,
    origins: Vec<String>,
    created: String,
}

/// A site's key as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyReport {
    key: String,
    /// Until when it is taken; absent for the current key.
    until: Option<String>,
}

impl From<&Site> for SiteReport {
    fn from(site: &Site) -> Self {
        Self {
            id: site.id.0,
            name: site.name.clone(),
            keys: site
                .keys
                .iter()
                .map(|key| KeyReport { key: key.key.clone(), until: key.until_ms.map(time_text) })
                .collect(),
            origins: site.origins.clone(),
            created: time_text(site.created_ms),
        }
    }
}

/// All sites.
#[derive(Debug, Serialize, ToSchema)]
pub struct SitesReport {
    sites: Vec<SiteReport>,
    /// Whether this server serves the demo site under `/demo/`.
    demo: bool,
}

/// The sites of this server.
#[utoipa::path(get, path = "/api/v1/sites", tag = "read", security(("token" = [])),
    responses((status = 200, body = SitesReport), (status = 401, body = ErrorBody)))]
pub async fn sites(state: web::Data<State>, request: HttpRequest) -> Answer {
    auth::require(&state, &request, Scope::Read).await?;
    let directory = state.directory.current();
    Ok(json(SitesReport {
        sites: directory.sites().iter().map(|site| site.as_ref().into()).collect(),
        demo: state.demo,
    }))
}

/// Which page views a question is about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// The last hours or days, such as `24h`, `7d` (the default), `28d`.
    period: Option<String>,
    /// First start of a page view, RFC 3339, in place of `period`.
    from: Option<String>,
    /// End, excluded; now when absent.
    to: Option<String>,
    /// `phone`, `tablet` or `desktop`; all when absent.
    device: Option<String>,
    /// Only this release; answered from raw page views, within their retention.
    release: Option<String>,
}

impl Filter {
    fn range(&self) -> Result<Range, ApiError> {
        Range::parse(given(&self.period), given(&self.from), given(&self.to), now_ms())
            .map_err(ApiError::parameter)
    }

    fn device(&self) -> Result<Option<Device>, ApiError> {
        given(&self.device)
            .map(|name| {
                Device::from_name(name).ok_or_else(|| {
                    ApiError::parameter(format!(
                        "`device` is `{}`: expected phone, tablet or desktop",
                        short(name)
                    ))
                })
            })
            .transpose()
    }

    fn query(&self, site: &Site, range: Range, route: Option<&str>) -> Result<CellQuery, ApiError> {
        Ok(CellQuery {
            site: site.id,
            from_ms: range.from_ms,
            to_ms: range.to_ms,
            route: route.map(str::to_owned),
            device: self.device()?,
            release: given(&self.release).map(str::to_owned),
        })
    }
}

/// A parameter that is there and not empty.
fn given(parameter: &Option<String>) -> Option<&str> {
    parameter.as_deref().filter(|text| !text.is_empty())
}

fn short(text: &str) -> String {
    text.chars().take(32).collect()
}

/// How the ranking is sorted and paged.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RankingParams {
    /// The metric of the sort orders `p75` and `poor`; LCP when absent.
    metric: Option<String>,
    /// `views` (the default), `p75`, `poor` (share of poor page views) or `route`.
    #[param(value_type = Option<Sort>)]
    sort: Option<String>,
    /// `asc` or `desc` (the default; `asc` for routes).
    #[param(value_type = Option<Order>)]
    order: Option<String>,
    /// Routes in the answer, 1 to 500; 50 when absent.
    limit: Option<String>,
    /// `next_cursor` of the answer before.
    cursor: Option<String>,
}

impl RankingParams {
    fn ranking(&self) -> Result<Ranking, ApiError> {
        let wrong = |name: &str, text: &str, expected: &str| {
            ApiError::parameter(format!("`{name}` is `{}`: expected {expected}", short(text)))
        };
        let metric = match given(&self.metric) {
            Some(name) => Metric::from_name(name)
                .ok_or_else(|| ApiError::parameter(vitals::beacon::unknown_metric(name)))?,
            None => Metric::Lcp,
        };
        let sort = match given(&self.sort) {
            None | Some("views") => Sort::Views,
            Some("p75") => Sort::P75,
            Some("poor") => Sort::Poor,
            Some("route") => Sort::Route,
            Some(other) => return Err(wrong("sort", other, "views, p75, poor or route")),
        };
        let order = match given(&self.order) {
            None if sort == Sort::Route => Order::Asc,
            None | Some("desc") => Order::Desc,
            Some("asc") => Order::Asc,
            Some(other) => return Err(wrong("order", other, "asc or desc")),
        };
        let limit = match given(&self.limit) {
            None => 50,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=limits::PAGE_ROWS_MAX).contains(limit))
                .ok_or_else(|| wrong("limit", text, "1 to 500"))?,
        };
        let after = given(&self.cursor)
            .map(|text| {
                Cursor::decode(text).ok_or_else(|| wrong("cursor", text, "a next_cursor of this ranking"))
            })
            .transpose()?;
        Ok(Ranking { metric, sort, order, limit, after })
    }
}

/// A ranking of routes.
#[derive(Debug, Serialize, ToSchema)]
pub struct PagesReport {
    site: String,
    period: PeriodReport,
    device: Option<&'static str>,
    release: Option<String>,
    metric: &'static str,
    pages: Vec<PageReport>,
    /// Give it as `cursor` for the next page; absent after the last.
    next_cursor: Option<String>,
}

/// A route with its metrics; metrics without samples are absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageReport {
    route: String,
    views: i64,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
}

/// Routes ranked, with the percentiles and rating counts of each.
#[utoipa::path(get, path = "/api/v1/sites/{site}/pages", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter, RankingParams),
    responses((status = 200, body = PagesReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn pages(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    filter: web::Query<Filter>,
    ranking: web::Query<RankingParams>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    let ranking = ranking.ranking()?;
    let cells = state.store.cells(&filter.query(&site, range, None)?).await?;
    let (rows, next) = ranking.page(cells);
    Ok(json(PagesReport {
        site: site.name.clone(),
        period: range.into(),
        device: filter.device()?.map(Device::name),
        release: given(&filter.release).map(str::to_owned),
        metric: ranking.metric.name(),
        pages: rows
            .into_iter()
            .map(|row| PageReport {
                views: row.cell.views,
                metrics: report::metrics(&row.cell, false),
                route: row.route,
            })
            .collect(),
        next_cursor: next.map(|cursor| cursor.encode()),
    }))
}

/// The route of a report.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RouteParam {
    /// The route; the whole site when absent.
    route: Option<String>,
}

/// One route, or the whole site.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteReport {
    site: String,
    route: Option<String>,
    period: PeriodReport,
    device: Option<&'static str>,
    release: Option<String>,
    views: i64,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
}

/// The metrics of one route, or of the whole site, with their distributions.
#[utoipa::path(get, path = "/api/v1/sites/{site}/report", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), RouteParam, Filter),
    responses((status = 200, body = RouteReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn report(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    let route = given(&route.route);
    let cells = state.store.cells(&filter.query(&site, range, route)?).await?;
    let mut whole = Cell::default();
    for row in &cells {
        whole.merge(&row.cell);
    }
    Ok(json(RouteReport {
        site: site.name.clone(),
        route: route.map(str::to_owned),
        period: range.into(),
        device: filter.device()?.map(Device::name),
        release: given(&filter.release).map(str::to_owned),
        views: whole.views,
        metrics: report::metrics(&whole, true),
    }))
}

/// Why beacons were refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionsReport {
    rejections: Vec<RejectionReport>,
}

/// Refused beacons of one reason and origin.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionReport {
    /// The reason, as the error's `code`.
    reason: &'static str,
    /// The page's origin, empty where none was told.
    origin: String,
    /// How many since the server started.
    count: u64,
    /// When the last one came.
    last_seen: String,
    /// What was wrong with the last one.
    message: String,
}

/// Beacons that this server refused since it started, by reason and origin, latest first: those of the
/// site, and those whose site key is not known.
#[utoipa::path(get, path = "/api/v1/sites/{site}/rejections", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id")),
    responses((status = 200, body = RejectionsReport), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn rejections(state: web::Data<State>, request: HttpRequest, name: web::Path<String>) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let rejections = state
        .rejections
        .of(site.id)
        .into_iter()
        .map(|rejection| RejectionReport {
            reason: rejection.reason,
            origin: rejection.origin,
            count: rejection.count,
            last_seen: time_text(rejection.last_seen_ms),
            message: rejection.message,
        })
        .collect();
    Ok(json(RejectionsReport { rejections }))
}

/// Which violations are shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ViolationParams {
    /// `open` (the default) or `all`.
    status: Option<String>,
    /// Violations in the answer, 1 to 500; 50 when absent.
    limit: Option<String>,
    /// `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// Broken budgets.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViolationsReport {
    violations: Vec<ViolationReport>,
    next_cursor: Option<String>,
}

/// A broken budget.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViolationReport {
    id: i64,
    /// The route pattern of the budget.
    route: String,
    metric: &'static str,
    percentile: u8,
    max: f64,
    unit: &'static str,
    device: Option<&'static str>,
    release: Option<String>,
    /// The percentile measured when it was last found broken.
    measured: Option<f64>,
    /// Samples, and those at or under the budget.
    n: i64,
    within: i64,
    opened: String,
    last_seen: String,
    /// When it was found kept again; absent while it is open.
    resolved: Option<String>,
}

/// Budgets that a check found broken, open ones first, newest first.
#[utoipa::path(get, path = "/api/v1/sites/{site}/violations", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ViolationParams),
    responses((status = 200, body = ViolationsReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn violations(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    params: web::Query<ViolationParams>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let open_only = match given(&params.status) {
        None | Some("open") => true,
        Some("all") => false,
        Some(other) => {
            return Err(ApiError::parameter(format!("`status` is `{}`: expected open or all", short(other))));
        }
    };
    let number = |name: &str, text: Option<&str>, default: u32, max: u32| match text {
        None => Ok(default),
        Some(text) => text.parse().ok().filter(|number| *number <= max).ok_or_else(|| {
            ApiError::parameter(format!("`{name}` is `{}`: expected a number up to {max}", short(text)))
        }),
    };
    let rows_max = u32::try_from(limits::PAGE_ROWS_MAX).unwrap_or(u32::MAX);
    let limit = number("limit", given(&params.limit), 50, rows_max)?.max(1);
    let skip = number("cursor", given(&params.cursor), 0, u32::MAX / 2)?;
    let mut found = state.store.violations(site.id, open_only, skip, limit.saturating_add(1)).await?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > page;
    found.truncate(page);
    let violations = found
        .into_iter()
        .map(|violation| {
            let judgement = violation.judgement;
            let metric = judgement.metric;
            ViolationReport {
                id: violation.id,
                route: judgement.route,
                metric: metric.name(),
                percentile: judgement.percentile,
                max: judgement.at_most.number(metric),
                unit: unit_name(metric),
                device: judgement.device.map(Device::name),
                release: judgement.release,
                measured: judgement.measured.map(|value| value.number(metric)),
                n: judgement.n,
                within: judgement.within,
                opened: time_text(violation.opened_ms),
                last_seen: time_text(violation.last_seen_ms),
                resolved: violation.resolved_ms.map(time_text),
            }
        })
        .collect();
    Ok(json(ViolationsReport {
        violations,
        next_cursor: more.then(|| skip.saturating_add(limit).to_string()),
    }))
}

/// Judges a budget file with the stored page views; broken budgets become violations.
///
/// The answer is `200` for every verdict; `verdict` is `pass`, `fail` or `inconclusive`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/gate", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter),
    request_body(content = String, content_type = "application/toml", description = "A budget file (docs/budgets.md)"),
    responses((status = 200, body = GateReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn gate(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    filter: web::Query<Filter>,
    body: ApiBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let body = body.0.map_err(ApiError::body)?;
    let text = std::str::from_utf8(&body).map_err(|_| ApiError::budget("the budget file is not UTF-8"))?;
    let budgets = vitals::budget::parse(text).map_err(|error| ApiError::budget(error.to_string()))?;
    let question = gate::Question {
        range: filter.range()?,
        device: filter.device()?,
        release: given(&filter.release).map(str::to_owned),
    };
    Ok(json(gate::check(state.store.as_ref(), &site, &budgets, question, now_ms()).await?))
}
