//! The read API: authenticates with a bearer token and answers JSON.

use crate::gate::{self, GateReport};
use crate::http::auth;
use crate::http::body::ApiBody;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::question::{ByParam, Filter, FiltersReport, RankingParams, given, short};
use crate::http::{State, assets, now_ms};
use crate::intake::asked;
use crate::maintenance::MaintenanceReport;
use crate::report::{self, MetricReport, PeriodReport, time_text, unit_name};
use crate::spool::{Cause, Trouble};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use fieldvitals_store::{Cell, Scope, Site, SiteId, estimate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use vitals::limits;
use vitals::view::Device;

/// Result of an API handler.
pub type Answer = Result<HttpResponse, ApiError>;

pub(super) fn json(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// `200` while the server accepts beacons; `503` with the reason while it cannot store them.
///
/// The answer is `503` while the spool refuses beacons: on a full disk, or after a store outage has filled the spool.
/// The server checks each second whether the refusal is over, even without beacons. An overloaded server that sheds
/// some beacons, because more arrive than its disk syncs, stays `200`. A stopping server answers `503` while it still
/// serves, so that balancers choose another server.
#[utoipa::path(get, path = "/healthz", tag = "read",
    responses((status = 200, description = "Beacons are taken"), (status = 503, description = "Beacons cannot be kept, or the server is starting or about to stop")))]
pub async fn healthz(state: web::Data<State>) -> HttpResponse {
    let trouble = if state.connections.is_draining() {
        "the server is about to stop; send beacons to another one".to_owned()
    } else if state.spool.is_failed() {
        "the spool cannot be written; see the log".to_owned()
    } else if let Some(refusal) = state.spool.refusal().filter(|refusal| refusal.cause > Cause::InFlight) {
        format!("the spool refuses beacons: {}", refusal.trouble.error)
    } else {
        return HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n");
    };
    HttpResponse::ServiceUnavailable()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(trouble + "\n")
}

/// The server's own state.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusReport {
    /// The server's version.
    version: &'static str,
    /// The first and last supported version of the wire format.
    wire_versions: [u32; 2],
    /// `wasm`, or `raw-queue` if the server was built without the module.
    collector: &'static str,
    /// Beacons received since the server started; the sum of `outcomes`.
    received: u64,
    /// Received beacons by outcome: `accepted`, `shed`, `filtered(…)`, `invalid(…)`.
    outcomes: BTreeMap<String, u64>,
    /// Beacons of `filtered(bot)`, by kind of bot.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    bots: BTreeMap<&'static str, u64>,
    /// Unusable fields that the server removed from accepted beacons, by name. `values` also counts metrics of the
    /// web-vitals library, `views` also page views that start more than 48 h from the server's clock, and `unknown`
    /// the fields that this server does not know.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    dropped_fields: BTreeMap<&'static str, u64>,
    /// Accepted beacons by state, including those of earlier starts.
    spool: SpoolReport,
    /// Connections of clients.
    connections: ConnectionsReport,
    /// Sites with full dictionaries in the last day. Page views with further names count under `(other)`. Absent if
    /// there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    crowded: Vec<CrowdedReport>,
    /// Maintenance of the store: folds rollups, removes old data.
    maintenance: MaintenanceReport,
}

/// Connections of clients.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectionsReport {
    /// Open connections.
    open: usize,
    /// Limit of open connections. Over the limit, the server closes the connections that have waited longest for their
    /// clients.
    max: usize,
    /// Limit of open connections of one client network; 0 for no limit.
    client_max: usize,
    /// Connections closed by the server since it started, by reason: `evicted` and `refused` at a limit,
    /// `bad_request`, `head_too_large`, `slow_head`, `unread_answer`.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    closed: BTreeMap<&'static str, u64>,
}

/// A full dictionary of a site.
#[derive(Debug, Serialize, ToSchema)]
pub struct CrowdedReport {
    /// The site's name; its id if the site is deleted.
    site: String,
    /// `routes`, `releases`, `browsers`, `countries` or `connection types`.
    kind: &'static str,
    /// Updates of page views that count under `(other)`, since this server started.
    updates: u64,
    /// Time of the last such update.
    last: String,
}

/// Accepted beacons by state.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpoolReport {
    /// Beacons accepted since this server started, or found in the spool at the start.
    appended: u64,
    /// Beacons loaded into the store.
    loaded: u64,
    /// Beacons without news: the store had an equal or newer update.
    superseded: u64,
    /// Beacons of deleted sites.
    discarded: u64,
    /// The backlog, in beacons.
    waiting: u64,
    /// The backlog, in bytes on disk.
    waiting_bytes: u64,
    /// Sites whose beacons are held because the store refuses them. Beacons of other sites are loaded meanwhile.
    /// Absent if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held: Vec<HeldReport>,
    /// Reason for stalled loading: the store is unreachable or fails. Absent while loading works.
    #[serde(skip_serializing_if = "Option::is_none")]
    stalled: Option<TroubleReport>,
    /// Reason for refusing beacons: the spool is full or cannot be written. Absent while beacons are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<RefusalReport>,
    /// Group commits since the start. One commit makes all queued beacons durable.
    commits: u64,
}

/// A site whose beacons the store refuses. The loader retries them and discards none.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldReport {
    /// The site's name; its id if the site is deleted.
    site: String,
    /// Start of the failure.
    since: String,
    /// Beacons of the site in the backlog.
    beacons: u64,
    /// Refused beacons of the site: the spool is more than half full, and the store refuses this site but not others.
    refused: u64,
    /// The store's last error.
    error: String,
}

/// A failure that persists at the moment.
#[derive(Debug, Serialize, ToSchema)]
pub struct TroubleReport {
    /// Start of the failure.
    since: String,
    /// The last error.
    error: String,
}

impl From<Trouble> for TroubleReport {
    fn from(trouble: Trouble) -> Self {
        Self { since: time_text(trouble.since_ms), error: trouble.error }
    }
}

/// Refusal of beacons by the spool, for example on a full disk.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusalReport {
    #[serde(flatten)]
    trouble: TroubleReport,
    /// Beacons refused for this reason.
    beacons: u64,
}

/// The state of the server.
#[utoipa::path(get, path = "/api/v1/status", tag = "read", security(("token" = [])),
    responses((status = 200, body = StatusReport), (status = 401, body = ErrorBody)))]
pub async fn status(state: web::Data<State>, request: HttpRequest) -> Answer {
    auth::require(&state, &request, Scope::Read).await?;
    let spool = state.spool.stats();
    let directory = state.directory.current();
    let name = |id: SiteId| {
        let site = directory.sites().iter().find(|site| site.id == id);
        site.map_or_else(|| id.0.to_string(), |site| site.name.clone())
    };
    let held = state.spool.held().into_iter().map(|held| HeldReport {
        site: name(held.site),
        since: time_text(held.since_ms),
        beacons: held.beacons,
        refused: held.refused,
        error: held.error,
    });
    Ok(json(StatusReport {
        version: env!("CARGO_PKG_VERSION"),
        wire_versions: [*vitals::beacon::VERSIONS.start(), *vitals::beacon::VERSIONS.end()],
        collector: if assets::has_module() { "wasm" } else { "raw-queue" },
        received: state.outcomes.received(),
        outcomes: state.outcomes.counts().into_iter().collect(),
        bots: state.outcomes.bots().collect(),
        dropped_fields: state.outcomes.dropped().collect(),
        spool: SpoolReport {
            appended: spool.appended,
            loaded: spool.loaded,
            superseded: spool.superseded,
            discarded: spool.discarded,
            waiting: spool.waiting,
            waiting_bytes: spool.bytes,
            held: held.collect(),
            stalled: state.spool.stalled().map(TroubleReport::from),
            refused: state
                .spool
                .refusal()
                .map(|refusal| RefusalReport { trouble: refusal.trouble.into(), beacons: refusal.beacons }),
            commits: spool.commits,
        },
        connections: ConnectionsReport {
            open: state.connections.open(),
            max: state.connections.limits().all_max,
            client_max: state.connections.limits().client_max,
            closed: state.connections.closed().collect(),
        },
        crowded: state
            .spool
            .crowded()
            .into_iter()
            .map(|names| CrowdedReport {
                site: name(names.site),
                kind: names.kind(),
                updates: names.updates,
                last: time_text(names.last_ms),
            })
            .collect(),
        maintenance: state.maintenance.report(name),
    }))
}

/// A site.
#[derive(Debug, Serialize, ToSchema)]
pub struct SiteReport {
    id: i64,
    name: String,
    keys: Vec<KeyReport>,
    origins: Vec<String>,
    /// Route patterns, in matching order.
    routes: Vec<String>,
    created: String,
}

/// A site key.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyReport {
    key: String,
    /// Time of expiry; absent for the current key.
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
            routes: site.routes.clone(),
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

/// A ranking of routes.
#[derive(Debug, Serialize, ToSchema)]
pub struct PagesReport {
    site: String,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    metric: &'static str,
    pages: Vec<PageReport>,
    /// Value of `cursor` for the next page; absent on the last page.
    next_cursor: Option<String>,
}

/// A route with its metrics; metrics without samples are absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageReport {
    route: String,
    /// Page views received: the `n` of statistics.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
}

/// Ranks routes, with percentiles and rating counts of each.
#[utoipa::path(get, path = "/api/v1/sites/{site}/pages", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter, RankingParams),
    responses((status = 200, body = PagesReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
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
    let mut query = filter.query(&site, range, None)?;
    query.metrics = query.metrics.with(ranking.metric);
    let cells = state.store()?.cells(&query).await?;
    let (rows, next) = ranking.page(cells.rows);
    Ok(json(PagesReport {
        site: site.name.clone(),
        period: cells.period.into(),
        filters: query.filters.into(),
        metric: ranking.metric.name(),
        pages: rows
            .into_iter()
            .map(|row| PageReport {
                views: row.cell.views,
                views_estimated: estimate(row.cell.weight_milli),
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
    /// The route as reported (`/größe`, `/p/:id`), or a path or URL of it (`/gr%C3%B6%C3%9Fe/`, `/p/12345`); the whole
    /// site when absent.
    route: Option<String>,
}

/// The route of a query.
pub(super) struct AskedRoute {
    /// Name of the route; `None` for the whole site.
    pub(super) name: Option<String>,
    /// Similar routes, if the site has none of this name.
    pub(super) nearest: Vec<String>,
}

impl RouteParam {
    /// Resolves the parameter to one of the site's route names. Fills `nearest` if there is no exact match.
    pub(super) async fn asked(&self, state: &State, site: &Site) -> Result<AskedRoute, ApiError> {
        let Some(text) = given(&self.route) else {
            return Ok(AskedRoute { name: None, nearest: Vec::new() });
        };
        let known = state.store()?.route_names(site.id).await?;
        let mut names = asked::names(text, &site.routes);
        if let Some(name) = names.iter().find(|name| known.contains(name)) {
            return Ok(AskedRoute { name: Some(name.clone()), nearest: Vec::new() });
        }
        let nearest = asked::nearest(text, &known).into_iter().map(str::to_owned).collect();
        Ok(AskedRoute { name: names.pop(), nearest })
    }
}

/// One route, or the whole site.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteReport {
    site: String,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    /// Page views received: the `n` of statistics.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
}

/// The metrics of one route, or of the whole site, with their distributions.
#[utoipa::path(get, path = "/api/v1/sites/{site}/report", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), RouteParam, Filter),
    responses((status = 200, body = RouteReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
pub async fn report(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    let route = route.asked(&state, &site).await?;
    let query = filter.query(&site, range, route.name.as_deref())?;
    let cells = state.store()?.cells(&query).await?;
    let mut whole = Cell::default();
    for row in &cells.rows {
        whole.merge(&row.cell);
    }
    Ok(json(RouteReport {
        site: site.name.clone(),
        route: route.name,
        nearest_routes: route.nearest,
        period: cells.period.into(),
        filters: query.filters.into(),
        views: whole.views,
        views_estimated: estimate(whole.weight_milli),
        metrics: report::metrics(&whole, true),
    }))
}

/// One route, or the whole site, grouped by a dimension.
#[derive(Debug, Serialize, ToSchema)]
pub struct BreakdownReport {
    site: String,
    by: &'static str,
    route: Option<String>,
    /// Routes with a similar name, if the site has none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest_routes: Vec<String>,
    period: PeriodReport,
    #[serde(flatten)]
    filters: FiltersReport,
    /// Values, by descending page views.
    values: Vec<ValueReport>,
}

/// A value with its metrics; metrics without samples are absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValueReport {
    /// The value; absent for page views without a known value. `(other)` holds the values beyond the site's limit.
    value: Option<String>,
    /// Page views received: the `n` of statistics.
    views: i64,
    /// Estimated page views, corrected for sampling (`data-sample`).
    views_estimated: i64,
    #[schema(value_type = std::collections::HashMap<String, MetricReport>)]
    metrics: BTreeMap<&'static str, MetricReport>,
}

/// The metrics of one route, or of the whole site, by device, browser, operating system, country, connection,
/// navigation type or release.
#[utoipa::path(get, path = "/api/v1/sites/{site}/breakdown", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ByParam, RouteParam, Filter),
    responses((status = 200, body = BreakdownReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
pub async fn breakdown(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    by: web::Query<ByParam>,
    route: web::Query<RouteParam>,
    filter: web::Query<Filter>,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let range = filter.range()?;
    let by = by.by()?;
    let route = route.asked(&state, &site).await?;
    let query = filter.query(&site, range, route.name.as_deref())?;
    let values = state.store()?.breakdown(&query, by).await?;
    Ok(json(BreakdownReport {
        site: site.name.clone(),
        by: by.name(),
        route: route.name,
        nearest_routes: route.nearest,
        period: values.period.into(),
        filters: query.filters.into(),
        values: values
            .rows
            .into_iter()
            .map(|row| ValueReport {
                value: row.value,
                views: row.cell.views,
                views_estimated: estimate(row.cell.weight_milli),
                metrics: report::metrics(&row.cell, false),
            })
            .collect(),
    }))
}

/// Refused beacons.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionsReport {
    rejections: Vec<RejectionReport>,
}

/// Refused beacons of one reason and origin.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionReport {
    /// The reason: the error's `code`.
    reason: &'static str,
    /// The page's origin; empty if unknown.
    origin: String,
    /// Refused beacons since the server started.
    count: u64,
    /// Time of the last refused beacon.
    last_seen: String,
    /// Error of the last refused beacon.
    message: String,
}

/// Beacons that this server refused since it started, by reason and origin, latest first. Contains beacons of the site
/// and beacons with an unknown site key.
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

/// Filter and paging of violations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ViolationParams {
    /// `open` (the default) or `all`.
    status: Option<String>,
    /// Violations per page, 1 to 500; 50 when absent.
    limit: Option<String>,
    /// `next_cursor` of the previous page.
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
    /// The measured percentile of the last check that found the budget broken.
    measured: Option<f64>,
    /// Samples of that check. `within` counts the samples at or under the budget.
    n: i64,
    within: i64,
    opened: String,
    last_seen: String,
    /// Time of the check that found the budget met again; absent while the violation is open.
    resolved: Option<String>,
}

/// Budgets that a check found broken: open violations first, newest first.
#[utoipa::path(get, path = "/api/v1/sites/{site}/violations", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), ViolationParams),
    responses((status = 200, body = ViolationsReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
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
    let mut found = state.store()?.violations(site.id, open_only, skip, limit.saturating_add(1)).await?;
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

/// Recording of a judgement.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordParam {
    /// `true` opens violations of broken budgets and resolves violations of met budgets, visible to all readers of the
    /// site; the token needs the scope `write`. `false` (the default) changes nothing.
    #[param(value_type = Option<bool>)]
    record: Option<String>,
}

impl RecordParam {
    fn record(&self) -> Result<bool, ApiError> {
        match given(&self.record) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(ApiError::parameter(format!("`record` is `{}`: expected true or false", short(other))))
            }
        }
    }
}

/// Judges a budget file against the stored page views.
///
/// The answer is `200` for every verdict; `verdict` is `pass`, `fail` or `inconclusive`.
#[utoipa::path(post, path = "/api/v1/sites/{site}/gate", tag = "read", security(("token" = [])),
    params(("site" = String, Path, description = "The site's name or id"), Filter, RecordParam),
    request_body(content = String, content_type = "application/toml", description = "A budget file (docs/budgets.md)"),
    responses((status = 200, body = GateReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, description = "`record` with a token of the scope `read`", body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, description = "The store is away (`store_away`); try again", body = ErrorBody), (status = 504, description = "The question took too long (`too_slow`); ask for less", body = ErrorBody)))]
pub async fn gate(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
    filter: web::Query<Filter>,
    record: web::Query<RecordParam>,
    body: ApiBody,
) -> Answer {
    let site = auth::site(&state, &request, &name).await?;
    let record = record.record()?;
    if record {
        auth::require(&state, &request, Scope::Write).await?;
    }
    let body = body.0.map_err(ApiError::body)?;
    let text = std::str::from_utf8(&body).map_err(|_| ApiError::budget("the budget file is not UTF-8"))?;
    let budgets = vitals::budget::parse(text).map_err(|error| ApiError::budget(error.to_string()))?;
    let (device, release) = filter.of_gate()?;
    let question = gate::Question { range: filter.range()?, device, release, record };
    Ok(json(gate::check(state.store()?, &site, &budgets, question, now_ms()).await?))
}
