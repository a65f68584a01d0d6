//! The server's own state.

use crate::answers::AnswersReport;
use crate::closed_days::ClosedDaysReport;
use crate::health::{self, CheckReport, Condition};
use crate::http::api::{Answer, json};
use crate::http::error::ErrorBody;
use crate::http::{State, assets, auth, watch};
use crate::live::LiveReport;
use crate::maintenance::MaintenanceReport;
use crate::questions::QuestionsReport;
use crate::report::time_text;
use crate::spool::Trouble;
use actix_web::{HttpRequest, web};
use fieldvitals_store::{Scope, SiteId};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The server's own state.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusReport {
    /// The worst state of `checks`: `ok`, `warning` or `critical`.
    health: Condition,
    /// Properties of the server with limits.
    checks: Vec<CheckReport>,
    /// The source of the limits: `defaults`, `api` or `file` (`--thresholds`).
    thresholds: &'static str,
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
    /// Questions to the store, which have threads and a queue of their own.
    questions: QuestionsReport,
    /// Answers kept in memory.
    answers: AnswersReport,
    closed_days: ClosedDaysReport,
    /// Live updates of dashboards.
    live: LiveReport,
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
    /// `bad_request`, `head_too_large`, `slow_head`, `unread_answer`, `handshake`.
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

/// Stands for a site that the token is not limited to, where a fault of the server has one.
const OTHER_SITE: &str = "(other)";

/// The state of the server. Counts are of all sites; a token that is limited to sites sees the names of these only.
#[utoipa::path(get, path = "/api/v1/status", tag = "read", security(("token" = [])),
    responses((status = 200, body = StatusReport), (status = 401, body = ErrorBody)))]
pub async fn status(state: web::Data<State>, request: HttpRequest) -> Answer {
    let access = auth::require(&state, &request, Scope::Read).await?;
    let checks = state.health.judge(&watch::sample(&state).await.0);
    let spool = state.spool.stats();
    let directory = state.directory.current();
    let name = |id: SiteId| {
        if !access.sees(id) {
            return OTHER_SITE.to_owned();
        }
        let site = directory.sites().iter().find(|site| site.id == id);
        site.map_or_else(|| id.0.to_string(), |site| site.name.clone())
    };
    let held = state.spool.held().into_iter().filter(|held| access.sees(held.site)).map(|held| HeldReport {
        site: name(held.site),
        since: time_text(held.since_ms),
        beacons: held.beacons,
        refused: held.refused,
        error: held.error,
    });
    Ok(json(StatusReport {
        health: health::worst(&checks),
        checks,
        thresholds: state.health.thresholds().1.name(),
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
        questions: state.questions.report(),
        answers: state.answers.report().await,
        closed_days: state.closed_days.report().await,
        live: state.live.report(),
        connections: ConnectionsReport {
            open: state.connections.open(),
            max: state.connections.limits().all_max,
            client_max: state.connections.limits().client_max,
            closed: state.connections.closed().filter(|&(_, count)| count > 0).collect(),
        },
        crowded: state
            .spool
            .crowded()
            .into_iter()
            .filter(|names| access.sees(names.site))
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
